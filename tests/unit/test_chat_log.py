"""The export of a chat becomes conversations, and every message of it is accounted for."""

import json

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook import data
from cookbook.data.chats import chat_log
from cookbook.data.chats.chat_messages import moment
from cookbook.errors import DataError

HEAD = "is_sender,talker,room_name,type_name,msg,CreateTime"


def log(tmp_path, *lines, head=HEAD, name="log.csv"):
    path = tmp_path / name
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


def talks(cleaned):
    """Return the contents of each row, once the numbers were seen to add up."""
    numbers = [*cleaned.row_numbers, *cleaned.rows_gone, *cleaned.rows_left]
    assert sorted(numbers) == list(range(1, cleaned.read + 1))
    return [[m["content"] for m in row["messages"]] for row in cleaned]


def reasons(cleaned):
    """Return why each line was left out."""
    return {c.line: c.message for c in cleaned.changes if c.code == "left-out"}


def test_what_one_says_in_a_row_is_one_message(tmp_path):
    path = log(
        tmp_path,
        "0,小禾,小禾,文本,在吗,2024-05-01 09:00:00",
        "0,小禾,小禾,文本,东西到了吗,2024-05-01 09:00:30",
        "1,我,小禾,文本,到了,2024-05-01 09:01:00",
        "0,小禾,小禾,文本,好,2024-05-01 09:02:00",
        "1,我,小禾,文本,再见,2024-05-01 09:03:00",
    )
    cleaned = data.from_chat_log(path)
    assert talks(cleaned) == [["在吗\n东西到了吗", "到了", "好", "再见"]]
    assert cleaned.row_numbers == [1] and cleaned.rows_gone == [2, 3, 4, 5]


def test_a_long_silence_or_another_room_begins_a_conversation(tmp_path):
    path = log(
        tmp_path,
        "0,小禾,小禾,文本,早,2024-05-01 09:00:00",
        "0,阿松,阿松,文本,几号开会,2024-05-01 09:00:10",
        "1,我,小禾,文本,早啊,2024-05-01 09:01:00",
        "1,我,阿松,文本,三号,2024-05-01 09:02:00",
        "0,小禾,小禾,文本,晚上好,2024-05-01 21:00:00",
        "1,我,小禾,文本,你好,2024-05-01 21:00:10",
    )
    expected = [["早", "早啊"], ["几号开会", "三号"], ["晚上好", "你好"]]
    assert talks(data.from_chat_log(path)) == expected
    joined = data.from_chat_log(path, gap_minutes=24 * 60, system="你是店员")
    assert [len(talk) for talk in talks(joined)] == [5, 3]


def test_what_is_no_text_is_left_out_with_its_reason(tmp_path):
    path = log(
        tmp_path,
        "0,小禾,小禾,系统通知,以上是打招呼的内容,2024-05-01 09:00:00",
        "1,我,小禾,文本,欢迎,2024-05-01 09:00:10",
        "0,小禾,小禾,图片,图片,2024-05-01 09:01:00",
        "0,小禾,小禾,文本,,2024-05-01 09:01:10",
        "0,小禾,小禾,文本,[语音],2024-05-01 09:01:20",
        "0,小禾,小禾,文本,开门吗,2024-05-01 09:02:00",
        '1,我,小禾,文本,"小禾"" 撤回了一条消息",2024-05-01 09:02:10',
        "1,我,小禾,文本,开,2024-05-01 09:03:00",
        "0,小禾,小禾,文本,好的,2024-05-01 09:04:00",
    )
    cleaned = data.from_chat_log(path)
    assert talks(cleaned) == [["开门吗", "开"]]
    said = reasons(cleaned)
    assert sorted(said) == [2, 3, 4, 5, 6, 8, 10]
    words = {
        2: "系统通知",
        3: "前面没有提问",
        4: "图片",
        5: "空消息",
        8: "系统通知",
        10: "没有回答",
    }
    assert all(word in said[line] for line, word in words.items())


def test_messages_out_of_order_are_sorted_and_that_is_said(tmp_path):
    path = log(
        tmp_path,
        "1,我,小禾,文本,六点,2024-05-01 09:01:00",
        "0,小禾,小禾,文本,几点,2024-05-01 09:00:00",
    )
    cleaned = data.from_chat_log(path)
    assert talks(cleaned) == [["几点", "六点"]]
    assert "sorted" in {change.code for change in cleaned.changes}


def test_who_answers_is_asked_for_where_the_log_does_not_say(tmp_path):
    rows = ["小禾,几点,2024-05-01 09:00", "阿松,六点,2024-05-01 09:01"]
    path = log(tmp_path, *rows, head="发送人,内容,时间")
    with pytest.raises(DataError, match='小禾 × 1.*from_chat_log.*log.csv", assistant="小禾"'):
        data.from_chat_log(path)
    with pytest.raises(DataError, match="没有叫 '小和' 的人"):
        data.from_chat_log(path, assistant="小和")
    assert talks(data.from_chat_log(path, assistant="阿松")) == [["几点", "六点"]]
    assert talks(data.from_chat_log(path, user="小禾")) == [["几点", "六点"]]


@pytest.mark.parametrize(
    "head, who",
    [
        ("会话ID,角色,内容,时间", ("客户", "客服")),
        ("session_id,role,content,created_at", ("user", "assistant")),
        ("工单号,发送方,消息内容,发送时间", ("王女士", "客服小李")),
        ("TalkerId,IsSender,StrContent,StrTime", ("0", "1")),
        ("群名,昵称,消息,时间", ("小禾", "我")),
    ],
)
def test_exports_of_several_tools_are_known(tmp_path, head, who):
    rows = []
    for room in ("s1", "s2"):
        rows.append(f"{room},{who[0]},几点,2024/5/1 9:00")
        rows.append(f"{room},{who[1]},六点,2024/5/1 9:01")
    path = log(tmp_path, *rows, head=head)
    assert talks(data.from_chat_log(path)) == [["几点", "六点"]] * 2
    with pytest.raises(DataError, match="from_chat_log"):
        data.from_table(path)


def test_in_a_group_nobody_is_guessed(tmp_path):
    rows = [
        "小禾,几点开会,2024-05-01 09:00",
        "阿松,我也想知道,2024-05-01 09:01",
        "我,三点,2024-05-01 09:02",
    ]
    path = log(tmp_path, *rows, head="昵称,内容,时间")
    with pytest.raises(DataError, match="user="):
        data.from_chat_log(path, assistant="我")
    cleaned = data.from_chat_log(path, assistant="我", user="小禾")
    assert talks(cleaned) == [["几点开会", "三点"]]
    assert "阿松" in reasons(cleaned)[3]
    both = data.from_chat_log(path, assistant="我", user=["小禾", "阿松"])
    assert talks(both) == [["几点开会\n我也想知道", "三点"]]


def test_a_group_among_other_rooms_needs_a_person(tmp_path):
    rows = [
        "家,小禾,在吗,2024-05-01 09:00",
        "家,我,在,2024-05-01 09:01",
        "班,小禾,在吗,2024-05-01 09:00",
        "班,阿松,在吗,2024-05-01 09:00",
        "班,我,在,2024-05-01 09:01",
    ]
    cleaned = data.from_chat_log(log(tmp_path, *rows, head="群名,昵称,内容,时间"))
    assert talks(cleaned) == [["在吗", "在"]]
    assert cleaned.rows_left == [3, 4, 5]


@pytest.mark.parametrize(
    "text",
    [
        "消息记录\n\n2024-05-01 9:00:00 小禾(12345)\n几点\n关门\n\n2024-05-01 9:01:00 我\n六点\n",
        "小禾 2024/5/1 9:00:00\n几点\n关门\n\n我 2024/5/1 9:01:00\n六点\n",
        "[2024/5/1, 9:00:00] 小禾: 几点\n关门\n[2024/5/1, 9:01:00] 我: 六点\n",
        "5/1/24, 9:00 AM - 小禾: 几点\n关门\n5/1/24, 9:01 AM - 我: 六点\n",
        "\u200e[01.05.24, 09:00:00] 小禾: 几点\n关门\n[01.05.24, 09:01:00] 我: 六点\n",
        "=========\n消息对象:小禾\n=========\n"
        "2024-05-01 9:00:00 【新人】小禾<a@b.cn>\n几点\n关门\n"
        "2024-05-01 9:01:00 我(1)\n六点\n",
        "用户：几点\n关门\n客服：六点\n",
        "小禾 9:00\n几点\n关门\n我 9:01\n六点\n小禾 9:02\n[图片]\n我 9:03\n[图片]\n",
    ],
)
def test_logs_in_plain_text_are_read(tmp_path, text):
    path = tmp_path / "log.txt"
    path.write_text(text, encoding="utf-8")
    cleaned = data.from_chat_log(path)
    assert talks(cleaned) == [["几点\n关门", "六点"]]
    assert cleaned.source == path
    # All others say the same of it.
    found = [p for p in data.check(path).problems if p.code not in ("file-suffix", "row-count-low")]
    assert [p.code for p in found] == ["other-shape"] and "data.from_chat_log(" in found[0].fix
    assert data.recognize(path).name == "chat-log"
    assert {p.code for p in data.clean(path).left.problems} == {"other-shape"}
    assert len(data.from_messages(path)) == 1


def test_a_message_with_broken_bytes_is_left_and_no_other(tmp_path):
    path = tmp_path / "log.txt"
    lines = ["小禾 9:00", "几点", "我 9:01", "六点", "小禾 9:02", "好", "我 9:03", "慢走"]
    path.write_bytes("\n".join(lines).encode()[:-1] + b"\n")
    cleaned = data.from_chat_log(path)
    assert talks(cleaned) == [["几点", "六点"]]
    assert [(p.line, p.code) for p in cleaned.left.problems] == [(7, "encoding")]
    assert "第 8 行" in cleaned.left.problems[0].message
    assert cleaned.rows_left == [4] and cleaned.read == 4


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01 9:00:00 INFO start\n2024-05-01 9:00:00 INFO end\n",
        "几点：六点\n有票：有\n",
        "[1, 2]",
    ],
)
def test_what_is_no_talk_is_no_chat(tmp_path, text):
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    assert data.recognize(path).name != "chat-log"


def test_what_a_program_says_between_messages_is_left_out(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(
        "5/1/24, 9:00 AM - Ana: open?\n5/1/24, 9:01 AM - Ana changed the subject\n"
        "5/1/24, 9:02 AM - Shop: yes\n",
        encoding="utf-8",
    )
    cleaned = data.from_chat_log(path, assistant="Shop")
    assert talks(cleaned) == [["open?", "yes"]] and list(reasons(cleaned)) == [2]


def test_which_number_is_the_day_is_known_from_all_times():
    from cookbook.data.chats.chat_messages import moments

    assert [m.month for m in moments(["1/3/2024 9:00", "13/3/2024 9:00"])] == [3, 3]
    assert [m.month for m in moments(["3/1/24 9:00", "3/13/24 9:00"])] == [3, 3]
    assert [m.day for m in moments(["30/1/24 9:00", "1/2/24 9:00"])] == [30, 1]
    assert [m.hour for m in moments(["3/1/24, 12:05 AM", "3/1/24, 12:05 PM"])] == [0, 12]


def test_an_owner_who_is_marked_the_wrong_way_round_is_refused(tmp_path):
    rows = ["1,客户,在吗,2024-5-1 9:00", "0,客服,在,2024-5-1 9:01"]
    path = log(tmp_path, *rows, head="is_sender,talker,msg,CreateTime")
    with pytest.raises(DataError, match='log.csv", assistant="客服"'):
        data.from_chat_log(path)
    assert talks(data.from_chat_log(path, assistant="客服")) == [["在吗", "在"]]


def test_the_call_in_a_refusal_works(tmp_path):
    rows = ["甲,几点", "乙,六点", "丙,在哪", "甲,好", "乙,东门"]
    lines = [f"{row},2024-5-1 9:0{minute}" for minute, row in enumerate(rows)]
    path = log(tmp_path, *lines, head="发送人,内容,时间")
    with pytest.raises(DataError) as caught:
        data.from_chat_log(path)
    arguments = str(caught.value).rpartition('log.csv", ')[2].rstrip(")")
    assert len(data.from_chat_log(path, **eval(f"dict({arguments})"))) == 1
    lonely = log(tmp_path, "甲,几点,2024-5-1 9:00", head="发送人,内容,时间")
    with pytest.raises(DataError, match="只有一个人"):
        data.from_chat_log(lonely)


def test_agents_of_any_name_answer_customers(tmp_path):
    rows = ["s1,客户,能退吗", "s1,小王,能", "s1,小李,带小票", "s2,客户,几点", "s2,小李,六点"]
    path = log(tmp_path, *rows, head="会话ID,发送人,消息内容")
    assert talks(data.from_chat_log(path)) == [["能退吗", "能\n带小票"], ["几点", "六点"]]


def test_system_rows_are_system_messages_beside_roles_of_training(tmp_path):
    rows = ["1,system,你是店员", "1,user,在吗", "1,assistant,在", "2,user,几点", "2,assistant,六点"]
    path = log(tmp_path, *rows, head="conversation_id,role,content")
    assert talks(data.from_chat_log(path)) == [["你是店员", "在吗", "在"], ["几点", "六点"]]
    assert talks(data.from_chat_log(path, system="x")) == [
        ["x", "在吗", "在"],
        ["x", "几点", "六点"],
    ]


def test_a_quoted_message_is_not_said_again(tmp_path):
    quoted = '"「我：到了」\n- - - - - -\n好的"'
    rows = ["0,小禾,到了吗", "1,我,到了", f"0,小禾,{quoted}", "1,我,嗯"]
    cleaned = data.from_chat_log(log(tmp_path, *rows, head="is_sender,talker,msg"))
    assert talks(cleaned) == [["到了吗", "到了", "好的", "嗯"]]
    assert "quote" in {change.code for change in cleaned.changes}


def test_the_export_of_telegram_is_read(tmp_path):
    messages = [
        {"type": "service", "date": "2024-05-01T08:00:00", "actor": "小禾", "text": ""},
        {
            "type": "message",
            "date": "2024-05-01T09:00:00",
            "from": "小禾",
            "text": ["几", {"text": "点"}],
        },
        {"type": "message", "date": "2024-05-01T09:01:00", "from": "阿松", "text": "六点"},
    ]
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"name": "小禾", "messages": messages}), encoding="utf-8")
    assert talks(data.from_chat_log(path, assistant="阿松")) == [["几点", "六点"]]


def test_a_log_in_a_workbook_is_read(tmp_path):
    book = openpyxl.Workbook()
    for row in (["昵称", "内容", "时间"], ["小禾", "几点", "2024-05-01 09:00"], ["我", 6, None]):
        book.active.append(row)
    book.save(tmp_path / "log.xlsx")
    cleaned = data.from_chat_log(tmp_path / "log.xlsx")
    assert talks(cleaned) == [["几点", "6"]]
    assert "no-time" in {change.code for change in cleaned.changes}


def test_a_table_of_questions_is_no_log(tmp_path):
    assert not chat_log.is_chat_log(["问题", "回答", "时间", "昵称"])
    assert not chat_log.is_chat_log(["标题", "内容", "时间"])
    rows = [{"姓名": f"读者{i}", "内容": "好书", "时间": "2024-05-01"} for i in range(6)]
    assert not chat_log.is_chat_log(["姓名", "内容", "时间"], rows)
    path = log(tmp_path, "a,b", head="问题,回答")
    with pytest.raises(DataError, match="不像聊天记录"):
        data.from_chat_log(path)


def test_times_are_read_as_logs_write_them():
    written = ["2024-05-01 14:00:00", "2024/5/1 14:00", "2024年5月1日 下午2:00", 1714572000]
    assert len({moment(value) for value in [*written, "1714572000000"]}) == 1
    assert moment("昨天") is None and moment("2024-13-45 99:99") is None


SPOKEN = st.tuples(
    st.sampled_from("01"),
    st.sampled_from(["甲", "乙"]),
    st.sampled_from(["文本", "图片", "系统通知"]),
    st.sampled_from(["好", "", "[图片]", "在吗"]),
    st.integers(0, 300),
)


@given(st.lists(SPOKEN, max_size=12))
def test_every_message_is_accounted_for(spoken):
    rows = [
        {
            "is_sender": own,
            "room": room,
            "type": kind,
            "msg": text,
            "time": 1714525200 + minute * 60,
        }
        for own, room, kind, text, minute in spoken
    ]
    try:
        cleaned = data.from_chat_log(rows)
    except DataError:
        return  # nobody answers
    talks(cleaned)


def test_a_message_that_ends_within_a_character_is_left(tmp_path):
    path = tmp_path / "log.txt"
    path.write_bytes("用户：几点\n客服：六点\n用户：周末呢\n客服：也是六点".encode()[:-1])
    log = data.from_chat_log(path)
    assert ("encoding", 4) in [(p.code, p.line) for p in log.left.problems]
    assert talks(log) == [["几点", "六点"]] and log.rows_left == [4]
