import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import make_row

from cookbook import data
from cookbook.data import sensitive
from cookbook.data.near_duplicates import groups
from cookbook.data.reading import read
from cookbook.errors import DataError
from cookbook.paths import DATA


def codes(source, **options):
    return [p.code for p in data.check(source, **options).problems if p.code != "row-count-low"]


def ask(i):
    """A question that is like no other."""
    return "怎么用" + "".join(chr(0x4E00 + (i * k) % 9973) for k in (37, 1009, 5003, 7001))


def write(path, *lines):
    path.write_text(
        "\n".join(x if isinstance(x, str) else json.dumps(x, ensure_ascii=False) for x in lines)
        + "\n",
        encoding="utf-8",
    )
    return path


def test_a_good_file_has_no_problems(tmp_path, row):
    assert codes(write(tmp_path / "a.jsonl", *[row(user=ask(i)) for i in range(100)])) == []


MESSAGES = {
    "messages-missing": {"message": []},
    "messages-empty": {"messages": []},
    "message-not-object": {"messages": ["你好"]},
    "role-missing": {"messages": [{"content": "你好"}, {"role": "assistant", "content": "好"}]},
    "role-unknown": {
        "messages": [{"role": "客官", "content": "你好"}, {"role": "assistant", "content": "好"}]
    },
    "tool-calls": {
        "messages": [{"role": "tool", "content": "你好"}, {"role": "assistant", "content": "好"}]
    },
    "content-missing": {"messages": [{"role": "user"}, {"role": "assistant", "content": "好"}]},
    "content-type": {
        "messages": [{"role": "user", "content": 3}, {"role": "assistant", "content": "好"}]
    },
    "content-empty": {
        "messages": [{"role": "user", "content": " "}, {"role": "assistant", "content": "好"}]
    },
    "system-position": {
        "messages": [*[{"role": r, "content": "x"} for r in ("user", "assistant", "system")]]
    },
    "first-not-user": {"messages": [{"role": "assistant", "content": "好"}]},
    "alternation": {
        "messages": [{"role": r, "content": "x"} for r in ("user", "user", "assistant")]
    },
    "no-assistant": {"messages": [{"role": "user", "content": "你好"}]},
    "not-object": [],
    "json": "{",
    "duplicate-key": '{"messages": [], "messages": []}',
}


@pytest.mark.parametrize("code", MESSAGES)
def test_each_broken_rule_is_named_with_its_line(tmp_path, row, code):
    report = data.check(write(tmp_path / "a.jsonl", row(), MESSAGES[code], row(user="另一个问题")))
    assert code in [p.code for p in report.problems if p.line == 2 and p.severity == "error"]
    assert len(report.rows) == 2


def test_one_bad_line_never_hides_another(tmp_path):
    report = data.check(write(tmp_path / "a.jsonl", *MESSAGES.values()))
    assert set(MESSAGES) <= {p.code for p in report.problems}
    assert [p.line or 0 for p in report.problems] == sorted(p.line or 0 for p in report.problems)


def test_a_trailing_question_has_no_answer(row):
    rows = [row()]
    rows[0]["messages"].append({"role": "user", "content": "还有呢？"})
    assert codes(rows) == ["alternation"]


@pytest.mark.parametrize(
    "name, content, code",
    [
        ("a.json", b"{}", "file-suffix"),
        ("a.jsonl", b"", "file-empty"),
        ("a.jsonl", "你好".encode("gbk"), "encoding"),
        ("a.jsonl", "你好".encode("utf-16"), "encoding"),
        ("a.jsonl", b" " * (data.MAX_BYTES + 1), "file-size"),
        ("a.jsonl", b"[" * 100_000, "json"),
        ("a.jsonl", b"\xef\xbb\xbf{}", "bom"),
        (
            "a.jsonl",
            b'{"messages": [{"role": "user", "content": "\\ud800"},'
            b' {"role": "assistant", "content": "x"}]}',
            "encoding",
        ),
    ],
)
def test_odd_bytes_have_a_code_of_their_own(name, content, code):
    assert code in [p.code for p in data.check_bytes(content, name).problems]


def test_the_row_limit_is_the_guides(row):
    rows = [row(user=ask(i)) for i in range(1001)]
    assert codes(rows[:1000]) == []
    assert codes(rows) == ["row-count"]


def test_warnings_leave_the_file_usable(tmp_path, row):
    varied = row(system="你是另一个助手")
    path = write(
        tmp_path / "a.jsonl", row(), "", row(), row(assistant="另一个回答"), varied | {"id": 1}
    )
    report = data.check(path)
    assert report.ok
    assert {"blank-line", "duplicate-row", "conflict", "extra-key", "system-varies"} <= {
        p.code for p in report.problems
    }


def test_an_answer_that_repeats_its_word_is_pointed_out(row):
    assert codes([row(user="加班", assistant="加班是一盏灯。")]) == ["answer-repeats-input"]


def test_rows_over_max_tokens_are_pointed_out(row):
    assert codes([row()], max_tokens=8) == ["too-long"]


def test_load_refuses_with_the_whole_report(tmp_path):
    with pytest.raises(DataError) as caught:
        data.load(write(tmp_path / "a.jsonl", "{}", "["))
    assert caught.value.report.errors == 2


def test_a_file_that_cannot_be_read_is_reported(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.jsonl"):
        report = data.check(path)
        assert not report.readable and not report.ok


@pytest.mark.parametrize(
    "text, encoding, title",
    [("你好，请问怎么借书？", "gbk", "GBK"), ("你好，请问怎么借书？", "utf-16", "UTF-16")],
)
def test_another_encoding_is_named_once_and_the_rows_are_checked_all_the_same(
    row, text, encoding, title
):
    rows = data.to_jsonl([row(user=text), row(user=3), row(user=ask(3))]).decode()
    report = data.check_bytes(rows.encode(encoding), "a.jsonl")
    assert [(p.line, p.code) for p in report.problems if p.severity == "error"] == [
        (None, "encoding"),
        (2, "content-type"),
    ]
    assert title in report.problems[0].message and "data.clean(" in report.problems[0].fix
    assert len(report.rows) == 2


def test_bytes_that_are_in_no_encoding_are_pointed_at_by_line_and_column():
    content = '{}\n{"messages": "好'.encode() + b'\xff\xfe\xfd"}\n{}\n'
    found = [p for p in data.check_bytes(content, "a.jsonl").problems if p.code == "encoding"]
    assert [(p.line, p.column) for p in found] == [(2, 16)]


def test_a_line_that_is_not_utf8_hides_no_other(row):
    content = b'{"messages": "\xff"}\n' + data.to_jsonl([row()])
    report = data.check_bytes(content, "a.jsonl")
    assert len(report.rows) == 1 and report.lines == 2


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1" * 5000])
def test_what_only_python_takes_for_json_is_refused(value):
    assert codes_of(f'{{"messages": [], "x": {value}}}') == ["json"]


def codes_of(line):
    return [p.code for p in data.check_bytes(line.encode(), "a.jsonl").problems if p.line]


def test_a_huge_file_is_not_read_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        # Text at its ends, where its kind is looked for.
        file.write(b"{}\n" * 2**18)
        file.seek(200 * 2**20)
        file.write(b"{}\n" * 2**18)
    import tracemalloc

    tracemalloc.start()
    report = data.check(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [p.code for p in report.problems] == ["file-size"] and peak < 12 * 2**20


def test_a_row_of_which_nothing_would_be_learned_is_an_error(row):
    found = data.check([row(user="请问" * 6000)], max_tokens=4096).problems
    assert [(p.code, p.severity) for p in found if p.line] == [("too-long", "error")]


SECRETS = {
    "13800000000": "手机号",
    "zhang@example.com": "邮箱",
    "sk-EXAMPLE0EXAMPLE0EXAMPLE0": "密钥",
    "99999919900307123": "身份证号",
    "+8613800138000": "手机号",
    "138-0013-8000": "手机号",
    "a@b.cn": "邮箱",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEAu1\n-----END RSA PRIVATE KEY-----": "密钥",
}


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_pointed_out_and_never_shown_whole(row, text):
    if SECRETS[text] == "身份证号":
        total = sum(
            int(d) * w
            for d, w in zip(
                text, [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], strict=True
            )
        )
        text, kind = text + "10X98765432"[total % 11], "身份证号"
    else:
        kind = SECRETS[text]
    report = data.check([row(assistant=f"请联系{text}。")])
    (found,) = [p for p in report.problems if p.code == "secret"]
    assert kind in found.message and found.message_index == 2
    shown = str(report) + report._repr_html_()
    assert text not in shown and (len(text) < 12 or text[3:-2] not in shown)


def test_secrets_are_found_in_broken_rows_and_masked_in_every_excerpt(row):
    lines = [
        '{"messages": "我的号码13800138000", }',
        json.dumps(row(assistant="打13800138000")),
        "{}",
    ]
    report = data.check_bytes("\n".join(lines).encode(), "a.jsonl")
    assert report.counts["warning", "secret"] == 2
    same = [row(assistant="我的号码是13800138001，请打。"), row(assistant="别打。")]
    assert (
        "13800138001"
        not in str(report) + report._repr_html_() + data.check(same[::-1])._repr_html_()
    )


@given(st.text(), st.from_regex(sensitive._PATTERN), st.text())
def test_no_text_with_a_secret_is_passed_over_at_the_first_glance(before, found, after):
    assert sensitive.may_hold_secrets(before + found + after)


@pytest.mark.parametrize(
    "text", ["订单号 2138000000001", "999999199003071235", "价格@ 3", "sk-short"]
)
def test_what_only_looks_a_little_like_a_secret_is_left_alone(row, text):
    assert "secret" not in codes([row(assistant=text)])


def test_nearly_the_same_row_is_found_whatever_the_punctuation(row):
    question, answer = (
        "怎样修改订单的收货地址？",
        "请进入订单详情，点击修改地址，输入新的地址，然后保存。",
    )
    near = row(
        user=question.replace("？", ""), assistant=answer.replace("，", "、").replace("新的", "新")
    )
    other = row(user="怎样查询物流？", assistant=answer)
    assert codes([row(user=question, assistant=answer), other, near]) == ["near-duplicate"]


def test_rows_in_both_files_are_found(row):
    train = [row(user=ask(i), assistant=ask(i) * 3) for i in range(120)]
    held = [train[5], row(user=ask(7), assistant=ask(7) * 3 + "！"), row(user=ask(500))]
    found = data.check(train, validation=held).problems
    assert [(p.line, p.code) for p in found] == [(6, "duplicate-row"), (8, "near-duplicate")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_later_stages_read_the_rows_that_the_check_found(row, end):
    lines = [json.dumps(row(user=ask(i)) | {"id": i}, ensure_ascii=False) for i in range(3)]
    content = ("\ufeff" + end.join([*lines, "", "\u3000"])).encode()
    report = data.check_bytes(content, "a.jsonl")
    assert report.ok and len(report.rows) == 3
    assert read.rows(content) == report.rows


def test_the_errors_of_a_validation_file_are_reported_too(tmp_path, row):
    for held in (
        write(tmp_path / "a.jsonl", row(), "{bad"),
        tmp_path / "nowhere.jsonl",
        [{"x": 1}],
        [1],
    ):
        assert not data.check([row()], validation=held).ok


@pytest.mark.parametrize("answer", ["句子没有句号", "This one is in English.", "太长了。" * 60])
def test_an_answer_unlike_the_rest_is_pointed_out(row, answer):
    rows = [row(user=ask(i), assistant=f"{ask(i)}是一件好事。") for i in range(40)]
    found = data.check([*rows, row(user=ask(50), assistant=answer)]).problems
    assert ("answer-style", 41) in [(p.code, p.line) for p in found]
    assert not [p for p in found if p.code == "answer-style" and p.line != 41]


def test_the_report_marks_the_offending_text(row):
    shown = data.check([row(user="加班", assistant="都说加班<b>好。")])._repr_html_()
    assert ">加班</mark>&lt;b&gt;" in shown


def test_the_messy_export_holds_exactly_the_mess_that_its_readme_counts():
    """Kinds of `data/raw/README.md` against codes of the report: none is missed, none invented.

    A row may have several: two keys too many, two unknown roles. The over-long row is also longer
    than the rest; of the rows without an answer, three have no assistant at all; four
    near-duplicates change the answer to a question.
    """
    counts = {code: n for (_, code), n in data.check(DATA / "raw" / "export.jsonl").counts.items()}
    assert counts == {
        "bom": 1,
        "blank-line": 6,
        "json": 6,
        "duplicate-key": 2,
        "role-unknown": 14,
        "content-missing": 3,
        "content-empty": 3,
        "content-type": 3,
        "system-position": 3,
        "alternation": 5,
        "no-assistant": 3,
        "extra-key": 7,
        "too-long": 1,
        "duplicate-row": 10,
        "near-duplicate": 8,
        "conflict": 10,
        "system-varies": 1,
        "answer-repeats-input": 5,
        "answer-style": 4,
        "secret": 11,
    }


def looped():
    row = make_row(user="循环")
    row["x"] = row
    return row


ODD = [
    looped(),
    3,
    None,
    {2: 3},
    {"messages": [{"role": ["user"], "content": {1, 2}}]},
    {"messages": {"role": "user"}},
    {**make_row(user="怪键"), (1, 2): 3, "\ud800": 4},
    make_row(user=b"bytes"),
    make_row(user=float("nan")),
    make_row(user="\u200b"),
    make_row(user="\0"),
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_any_object_in_memory_gets_an_answer(odd, row):
    sound = odd is ODD[0] or odd is ODD[6]  # odd keys, but a conversation all the same
    report = data.check([row(), odd])
    cleaned = data.clean([row(), odd])
    for shown in (report, cleaned):
        assert (str(shown) + shown._repr_html_()).encode() and shown.to_frame() is not None
    assert len(report.rows) == len(cleaned.rows) == 1 + sound


def test_a_flood_of_warnings_hides_no_error(row):
    rows = [row(user=ask(i)) | {"id": i} for i in range(6000)]
    report = data.check([*rows, row(user=3)])
    assert [p.line for p in report.problems if p.code == "content-type"] == [6001]
    assert len(report.problems) < report.counts.total()


def test_repeats_are_kept_together_whatever_boilerplate_rows_share():
    boilerplate = "感谢您的耐心等待，" * 40
    rows = [make_row(user=ask(i), assistant=boilerplate) for i in range(300)]
    repeated = make_row(user=ask(999), assistant=boilerplate)
    found = groups([*rows, repeated, repeated])
    assert [300, 301] in found


def test_likeness_is_handed_on():
    text, other = ("".join(chr(0x4E00 + i * k % 9973) for i in range(200)) for k in (37, 1009))
    near_both, begins, ends = (
        make_row(assistant=t) for t in (text, other[:20] + text[20:], text[:-20] + other[-20:])
    )
    assert groups([begins, ends]) == [[0], [1]]
    assert groups([begins, ends, near_both]) == [[0, 1, 2]]


def test_long_answers_that_are_alike_only_where_a_sketch_looks_are_not_the_same():
    text, other = ("".join(chr(0x4E00 + i * k % 9973) for i in range(3000)) for k in (37, 1009))
    alike_in_sketches = (
        text[:64] + other[64:1468] + text[1468:1532] + other[1532:2936] + text[2936:]
    )
    alike = text[:700] + other[:300] + text[1000:]
    rows = [make_row(assistant=answer) for answer in (text, alike_in_sketches, alike)]
    assert groups(rows[:2]) == [[0], [1]]
    assert groups([rows[0], rows[2]]) == [[0, 1]]


def test_numbers_and_signs_are_not_punctuation(row):
    assert codes([row(user="12+3", assistant="15"), row(user="12-3", assistant="9")]) == []


def test_a_contradiction_is_told_even_between_rows_that_are_nearly_the_same(row):
    long = (
        "运费按重量计算，首重一公斤，续重每公斤另算，偏远地区加收，"
        "运费是{}元，下单前请先核对收货地址。"
    )
    found = codes([row(user="寄一箱书要多少运费？", assistant=long.format(n)) for n in (10, 20)])
    assert found == ["conflict", "near-duplicate"]


@given(st.binary(max_size=300))
def test_any_bytes_get_an_answer(content):
    report = data.check_bytes(content, "a.jsonl")
    assert report.ok or report.errors


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["role", "user", "content"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["messages", "role", "content", "x"]), inner, max_size=3)
    ),
)


@given(st.lists(JSON, max_size=4))
def test_any_json_gets_an_answer(lines):
    report = data.check_bytes("\n".join(map(json.dumps, lines)).encode(), "a.jsonl")
    assert report.ok or report.errors
    assert (
        str(report)
        and report.to_dict()
        and report._repr_html_() is not None
        and report.to_frame() is not None
    )


def test_rows_nearly_the_same_stay_on_one_side(row):
    rows = [
        row(user=ask(i), assistant=ask(i + j) * 4 + mark)
        for i in range(0, 80, 2)
        for j, mark in enumerate("。！")
    ]
    rows += [row(user=ask(i), assistant=ask(i) * 4 + "？") for i in range(0, 80, 2)]
    train, held = data.split(rows, 0.2)
    assert not [p for p in data.check(train, validation=held).problems if "验证集" in p.message]


def test_a_given_validation_file_is_kept_out_of_the_training_rows(tmp_path, row):
    rows = [row(user=ask(i)) for i in range(20)]
    path = tmp_path / "held.jsonl"
    path.write_bytes(data.to_jsonl(rows[:3]))
    train, held = data.split(rows, path)
    assert (train, held) == (rows[3:], rows[:3])


def test_no_file_without_errors_is_too_small_to_train_on(row):
    with pytest.warns(UserWarning, match="切分后太少"):
        assert data.split([row()] * 3, 0.5) == ([row()] * 3, [])
    # Groups larger than the share: more is held back than asked for, rather than nothing.
    alike = [
        row(user=ask(i) * 2, assistant=ask(i) * 8 + mark) for i in range(3) for mark in "。！？，"
    ]
    assert [len(side) for side in data.split(alike, 0.1)] == [8, 4]
    with pytest.raises(DataError, match="都在验证集里"):
        data.split([row()], [row()])


def test_a_split_is_seeded_and_keeps_identical_rows_together(row):
    rows = [row(user=ask(i % 50)) for i in range(100)]
    train, held = data.split(rows, 0.1, seed=1)
    assert (train, held) == data.split(rows, 0.1, seed=1)
    assert len(train) + len(held) == 100 and len(held) == 10
    assert not [r for r in held if r in train]


def test_a_written_file_reads_back_the_same(tmp_path, row):
    path = tmp_path / "a.jsonl"
    path.write_bytes(data.to_jsonl([row(), row(user="换行\n和\u2028分隔符")]))
    assert data.load(path) == [row(), row(user="换行\n和\u2028分隔符")]


def masked(row):
    row["messages"][-1]["weight"] = 0
    return row


def test_rows_that_differ_in_weight_are_no_duplicates_and_no_contradiction(row):
    learned = row()["messages"][1:]
    rows = [{"messages": r["messages"] + learned} for r in (row(), masked(row()))]
    assert not {"duplicate-row", "conflict"} & set(codes(rows))
    assert "duplicate-row" in codes([rows[1], rows[1]])


def test_a_contradiction_is_found_past_an_answer_of_weight_0(row):
    rows = [masked(row(assistant="不清楚。")), row(), row(assistant="不能修改。")]
    found = data.check(rows).problems
    assert [p.message for p in found if p.code == "conflict"] == ["与第 2 行问题相同，回答不同"]


def test_an_answer_of_weight_0_breaks_no_habit_and_may_repeat_its_question(row):
    usual = [row(user=ask(i), assistant=f"可以，第{i}天就能修改好。") for i in range(30)]
    odd = row(user="退货", assistant="No way, 退货")
    assert {"answer-style", "answer-repeats-input"} <= set(codes([*usual, odd]))
    assert not {"answer-style", "answer-repeats-input"} & set(codes([*usual, masked(odd)]))
