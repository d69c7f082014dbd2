"""Write the messy export of the cleaning lesson:  python tools/make_messy_export.py

- `export.csv`     a spreadsheet of 智说新语 sentences: GBK, CRLF, white space, duplicates, gaps
- `export.jsonl`   chat rows of both corpora: a byte order mark, two kinds of line end, and the
                   problems counted in `COUNTS`
- `sharegpt.json`  twelve customer-service conversations in the ShareGPT format
- `alpaca.json`    twelve questions and answers in the Alpaca format
- `chat_log.csv`   ten conversations as a service desk exports them: one message a line, notices and
                   pictures among them, answers in two messages
- `questions.xlsx` twelve questions and answers below a title, with merged cells and a second sheet

No row of the corpora is in two of the files. Seeded: running it again changes nothing. Every
telephone number, e-mail address, key and identity number below is invented.
"""

import copy
import csv
import io
import json
import random
import re
import zipfile
from collections.abc import Callable, Container
from datetime import datetime, timedelta
from typing import Any

from openpyxl import Workbook

from cookbook.paths import DATA, shipped_rows

Row = dict[str, Any]
Entry = tuple[str, str, str]  # word, sentence, remark
Kind = Callable[[Row, int], Row | str]  # a kind of problem: (row, its number) -> row or line

FOLDER = DATA / "raw"

# The spreadsheet.
COLUMNS = ["编号", "栏目", "词语", "金句", "编辑", "备注"]
EDITORS = ["陶小满", "周既明", "贺知秋", "苏禾", "冯一诺"]
REMARKS = ["", "已审", "待改"]
REMARK_WEIGHTS = [6, 3, 1]
PADDED = ["　{}", "{}　", " {}", "{} ", "　{} "]
CSV_CLEAN = 159
CSV_PADDED = 30
CSV_DUPLICATES = 8
CSV_NEAR_DUPLICATES = 6
CSV_EMPTY = 5
CSV_REPEATED = {
    "会议": "开会的人都盼着会议结束，会议却盼着下一场会议替它收尾。",
    "排队": "排队的人只数前面还有几个，从不回头，身后排队的也正数着他。",
    "日历": "撕日历的人以为撕掉的是昨天，日历却晓得，越撕越薄的是谁。",
    "借条": "写借条时他称你恩人，还借条时，你倒像是上门讨饭的。",
    "自律": "他的自律全写在计划表里，计划表倒真自律，年年准时更新。",
    "行李箱": "行李箱越买越大，装得下四季衣裳，却没有哪只行李箱装得下一句舍不得。",
}

# The log of a service desk.
LOG_COLUMNS = ["会话编号", "时间", "发送人", "类型", "内容"]
LOG_CONVERSATIONS = 10
LOG_BEGIN = datetime(2026, 11, 2, 9, 5)
AGENT = "小禾"

# The workbook.
TITLE = "青禾小铺 常见问题"
HEADINGS = ["分类", "问题", "答案", "更新日期"]
TOPICS = {"售前": 4, "订单": 5, "会员": 3}  # topic -> rows below it
UNANSWERED = (3, 9)  # rows whose answer nobody has written
WRITTEN = datetime(2026, 11, 20)
STAMP = re.compile(rb"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")

# The chat rows: texts written for one kind of mess each.
REPEATED = {
    "镜子": "镜子从不骗人，骗人的是灯光，于是大家都夸这面镜子照得好。",
    "承诺": "承诺说出口的时候最重，往后每过一天，承诺便轻一两。",
    "外卖": "点外卖是为了省下做饭的时间，省下的时间，全用来挑外卖。",
    "熬夜": "熬夜的人总说明天早睡，可熬夜熬到那一刻，已经是明天了。",
    "存款": "他把存款看得比孩子还紧，孩子摔了说不疼，存款摔了要躺三年。",
}
CONFLICTS = {
    "快递": "拆开的那一下最快活，往后便只是一件东西，和一只等着下楼的纸箱。",
    "路灯": "它只管照亮脚下三步，偏偏有人怪它，没把前程一并照清楚。",
    "雨伞": "撑开时嫌它小，两个人挤一挤，倒成了一辈子说起来最大的屋檐。",
    "我只买一支笔，也要付运费吗？": "您好，不用付运费，本店全场包邮，一支笔也给您寄到家。",
    "你们店有价保吗？": "抱歉，本店没有价保，下单以后再降价，差额不能退还。",
    "我要注销账号。": "很抱歉，账号注册以后不能注销，您可以退出登录，不再使用。",
}
ENGLISH = {"面试": "Two strangers sell each other a future that neither of them has seen."}
TEN_TIMES = {
    "电梯": "这只铁匣子每天要把整栋楼的人咽下去又吐出来，早晚各一遍，从不挑食。"
    "早上它咽下去的是困倦："
    "十七楼进来的是豆浆味，十二楼进来的是香水味，九楼那位总抱着一摞文件，像抱着一个还没睡醒的孩子。"
    "大家面朝同一个方向站好，盯着头顶那个往下跳的数字，仿佛谁先移开眼睛，谁就得先开口说话。"
    "住了六年，彼此的楼层都背得出来，姓什么却没人问过。傍晚它再把人一层一层吐回去，文件换成了青菜，"
    "香水换成了汗味，数字改成往上跳，眼睛照旧不敢移开。只有停电那一次，灯灭了，匣子悬在七楼和八楼之间，"
    "黑暗里忽然有人讲起了笑话，有人分了一包饼干，有人哭着给家里打电话，旁边的人便替她把手机举高，"
    "好让信号强一点。四十分钟后门开了，众人道过谢，各自回家。第二天早上，豆浆味和香水味照常进来，"
    "大家面朝同一个方向站好，又盯住了那个数字。",
}
OTHER_PROMPTS = [
    "你是一个有用的助手。",
    "You are a helpful assistant.",
    "你是毒舌段子手，只许说一句。",
]
GREETINGS = ["在吗？", "你好。", "请问有人吗？", "急，在线等。"]

RULES_QUESTION = "把退换货的规矩全发给我看看。"
RULE = (
    "商品到手，先看外箱，再看里头。外箱破了别急着签字，拍张照片，请快递员等一等；里头少了东西也别慌，"
    "照着装箱单一样一样点，缺哪样就记哪样。照片和清单都留好，客服问起来，一句话就能说明白。"
)
RULES = 90

# Leaks, all invented: numbers of repeated digits, an address at example.com, a key that spells
# EXAMPLE, and identity numbers whose check digit is right and whose area, 999999, does not exist.
PHONES = [
    "步骤走不通的话，打我手机 19900000000，我替您办。",
    "仓库夜里也有人，电话 13800000000，找老冯就行。",
    "您留的号码 13900001111 打不通，方便换一个吗？",
    "我下周换岗，往后请打 19900002222 找小杜。",
]
EMAILS = [
    "截图请发到 service@example.com，当天就回。",
    "表格发我邮箱吧，luyao@example.com，我转给财务。",
]
KEY = "sk-" + "EXAMPLE0" * 6
KEYS = [f"后台接口的密钥是 {KEY}，查完记得退出。", f"机器人又掉线了，先用这个密钥顶着：{KEY}。"]
IDENTITIES = [
    "已按身份证号 {} 为您登记。",
    "您报的证件号是 {}，请核对一遍。",
    "实名信息已经更新，号码 {}。",
]
IDENTITY_STEMS = ["99999919900101001", "99999919851231018", "99999920000229005"]

# Lines of export.jsonl: the clean rows, then each kind of mess under the name of its function.
COUNTS = {
    "clean_words": 100,
    "clean_services": 61,
    "clean_but_contradicted": len(CONFLICTS),
    "blank_line": 6,
    "exact_duplicate": 10,
    "near_duplicate": 8,
    "conflict": len(CONFLICTS),
    "unknown_role": 5,
    "missing_content": 3,
    "empty_content": 3,
    "content_as_list": 3,
    "two_users_in_a_row": len(GREETINGS),
    "no_answer": 4,
    "system_not_first": 3,
    "extra_key_in_row": 4,
    "extra_key_in_message": 3,
    "single_quotes": 2,
    "trailing_comma": 2,
    "cut_in_half": 2,
    "content_twice": 2,
    "leaked_phone": len(PHONES),
    "leaked_email": len(EMAILS),
    "leaked_key": len(KEYS),
    "leaked_identity": len(IDENTITIES),
    "word_in_answer": len(REPEATED),
    "over_long": 1,
    "other_system_prompt": len(OTHER_PROMPTS),
    "no_full_stop": 1,
    "in_english": len(ENGLISH),
    "ten_times_as_long": len(TEN_TIMES),
}
CRLF_LINES = 90
CONVERTED = 12


def question(row: Row) -> str:
    return row["messages"][1]["content"]


def answer(row: Row) -> str:
    return row["messages"][2]["content"]


def take(pool: list[Row], count: int) -> list[Row]:
    return [pool.pop() for _ in range(count)]


def pick(pool: list[Row], questions: Container[str]) -> list[Row]:
    """Take the rows with these first questions out of the pool, and return them."""
    picked: list[Row] = []
    others: list[Row] = []
    for row in pool:
        rows = picked if question(row) in questions else others
        rows.append(row)
    pool[:] = others
    return picked


def change(row: Row, i: int, **values: Any) -> Row:
    """Return a copy of the row whose message `i` has these values."""
    row = copy.deepcopy(row)
    row["messages"][i].update(values)
    return row


def add_to_answer(row: Row, line: str) -> Row:
    return change(row, 2, content=f"{answer(row)}\n{line}")


def slip(text: str, i: int) -> str:
    """Return the text with one character changed, as when it is typed a second time."""
    slips = []
    for right, wrong in (("，", ","), ("的", ""), ("？", "?")):
        if right in text:
            slips.append(text.replace(right, wrong, 1))
    if not slips:
        return text + "？"
    return slips[i % len(slips)]


def identity_number(stem: str) -> str:
    """Return the 17 digits and their check digit after GB 11643."""
    total = 0
    for place, digit in enumerate(stem):
        weight = 2 ** (17 - place)
        total += weight * int(digit)
    return stem + "10X98765432"[total % 11]


# Every kind of problem: from a row and its number among its kind to a row, or to a line's text.


def blank_line(row: Row, i: int) -> str:
    """Return what a deleted row leaves behind."""
    return ""


def exact_duplicate(row: Row, i: int) -> Row:
    return row


def near_duplicate(row: Row, i: int) -> Row:
    """Return another sentence for a word, another question for a service, by one character."""
    if "\n" in answer(row):
        return change(row, 1, content=slip(question(row), i))
    return change(row, 2, content=slip(answer(row), i))


def conflict(row: Row, i: int) -> Row:
    return change(row, 2, content=CONFLICTS[question(row)])


def unknown_role(row: Row, i: int) -> Row:
    names = {"system": "system", "user": "human", "assistant": "bot"}
    renamed = []
    for message in row["messages"]:
        renamed.append({**message, "role": names[message["role"]]})
    return {"messages": renamed}


def missing_content(row: Row, i: int) -> Row:
    row = copy.deepcopy(row)
    del row["messages"][2]["content"]
    return row


def empty_content(row: Row, i: int) -> Row:
    return change(row, 2, content="")


def content_as_list(row: Row, i: int) -> Row:
    return change(row, 1, content=[{"type": "text", "text": question(row)}])


def two_users_in_a_row(row: Row, i: int) -> Row:
    system, *rest = row["messages"]
    greeting = {"role": "user", "content": GREETINGS[i]}
    return {"messages": [system, greeting, *rest]}


def no_answer(row: Row, i: int) -> Row:
    return {"messages": row["messages"][:-1]}


def system_not_first(row: Row, i: int) -> Row:
    system, user, *rest = row["messages"]
    return {"messages": [user, system, *rest]}


def extra_key_in_row(row: Row, i: int) -> Row:
    day, minute = 3 + i, 12 + 7 * i
    created_at = f"2025-03-{day:02} 09:{minute}:00"
    return {"id": f"conv-{1001 + i}", "created_at": created_at, **row}


def extra_key_in_message(row: Row, i: int) -> Row:
    return change(row, 1, name="顾客")


def single_quotes(row: Row, i: int) -> str:
    return str(row)


def trailing_comma(row: Row, i: int) -> str:
    return to_line(row)[:-1] + ",}"


def cut_in_half(row: Row, i: int) -> str:
    line = to_line(row)
    return line[: len(line) // 2]


def content_twice(row: Row, i: int) -> str:
    role = '"role": "assistant", '
    return to_line(row).replace(role, role + '"content": "待补", ', 1)


def leaked_phone(row: Row, i: int) -> Row:
    return add_to_answer(row, PHONES[i])


def leaked_email(row: Row, i: int) -> Row:
    return add_to_answer(row, EMAILS[i])


def leaked_key(row: Row, i: int) -> Row:
    return add_to_answer(row, KEYS[i])


def leaked_identity(row: Row, i: int) -> Row:
    number = identity_number(IDENTITY_STEMS[i])
    return add_to_answer(row, IDENTITIES[i].format(number))


def word_in_answer(row: Row, i: int) -> Row:
    return change(row, 2, content=REPEATED[question(row)])


def over_long(row: Row, i: int) -> Row:
    """Return a row with a whole rule book for an answer; only the system prompt is its own."""
    rules = [f"第 {number} 条　{RULE}" for number in range(1, RULES + 1)]
    first_turn = {"messages": row["messages"][:3]}
    asked = change(first_turn, 1, content=RULES_QUESTION)
    return change(asked, 2, content="\n".join(rules))


def other_system_prompt(row: Row, i: int) -> Row:
    return change(row, 0, content=OTHER_PROMPTS[i])


def no_full_stop(row: Row, i: int) -> Row:
    return change(row, 2, content=answer(row).removesuffix("。"))


def in_english(row: Row, i: int) -> Row:
    return change(row, 2, content=ENGLISH[question(row)])


def ten_times_as_long(row: Row, i: int) -> Row:
    return change(row, 2, content=TEN_TIMES[question(row)])


FROM_WORDS: list[Kind] = [
    blank_line,
    missing_content,
    empty_content,
    system_not_first,
    extra_key_in_row,
    trailing_comma,
    content_twice,
    other_system_prompt,
    no_full_stop,
]
FROM_SERVICES: list[Kind] = [
    unknown_role,
    content_as_list,
    two_users_in_a_row,
    no_answer,
    extra_key_in_message,
    single_quotes,
    cut_in_half,
    leaked_phone,
    leaked_email,
    leaked_key,
    leaked_identity,
    over_long,
]
# These have a text for each word they are made of.
NAMED: list[tuple[Kind, dict[str, str]]] = [
    (word_in_answer, REPEATED),
    (in_english, ENGLISH),
    (ten_times_as_long, TEN_TIMES),
]


def to_line(row: Row | str) -> str:
    if isinstance(row, str):
        return row
    return json.dumps(row, ensure_ascii=False)


def spoil(kind: Kind, rows: list[Row]) -> list[Row | str]:
    """Return each row with a problem of this kind; its number chooses between texts."""
    return [kind(row, number) for number, row in enumerate(rows)]


def drawn(kind: Kind, pool: list[Row]) -> list[Row | str]:
    """Return as many rows of this kind as `COUNTS` says, from rows used for nothing else."""
    rows = take(pool, COUNTS[kind.__name__])
    return spoil(kind, rows)


def copies(rng: random.Random, rows: list[Row]) -> list[Row | str]:
    """Return exact and near duplicates, of different rows."""
    exact = COUNTS["exact_duplicate"]
    chosen = rng.sample(rows, exact + COUNTS["near_duplicate"])
    duplicates = spoil(exact_duplicate, chosen[:exact])
    return duplicates + spoil(near_duplicate, chosen[exact:])


def chat_lines(rng: random.Random, words: list[Row], services: list[Row]) -> list[str]:
    """Return the lines of export.jsonl; takes the rows it uses out of `words` and `services`."""
    # Rows for which a text was written come first, before the draw can use them up.
    contradicted = pick(words, CONFLICTS) + pick(services, CONFLICTS)
    rows: list[Row | str] = []
    for kind, texts in NAMED:
        rows += spoil(kind, pick(words, texts))
    for kind in FROM_WORDS:
        rows += drawn(kind, words)
    for kind in FROM_SERVICES:
        rows += drawn(kind, services)
    # Then clean rows, their copies, and those that another row contradicts.
    clean = take(words, COUNTS["clean_words"])
    clean += take(services, COUNTS["clean_services"])
    rows += clean
    rows += copies(rng, clean)
    rows += contradicted
    rows += spoil(conflict, contradicted)
    rng.shuffle(rows)
    return [to_line(row) for row in rows]


def write_lines(rng: random.Random, name: str, lines: list[str]) -> None:
    """Write a byte order mark, then every line with one of the two line ends."""
    lf_lines = len(lines) - CRLF_LINES
    ends = ["\r\n"] * CRLF_LINES + ["\n"] * lf_lines
    rng.shuffle(ends)
    text = ""
    for line, end in zip(lines, ends, strict=True):
        text += line + end
    (FOLDER / name).write_text(text, encoding="utf-8-sig", newline="")


def remark(rng: random.Random) -> str:
    return rng.choices(REMARKS, REMARK_WEIGHTS)[0]


def faulty_entries(rng: random.Random, words: list[Row]) -> list[Entry]:
    """Return the entries with a problem, but for the duplicates and the padded ones."""
    # These words have a sentence of their own below, and must not be drawn again.
    pick(words, CSV_REPEATED)
    entries = []
    for word, sentence in CSV_REPEATED.items():
        entries.append((word, sentence, remark(rng)))
    for row in take(words, CSV_EMPTY):
        entries.append((question(row), "", "待写"))
    for i, row in enumerate(take(words, CSV_NEAR_DUPLICATES)):
        word, sentence = question(row), answer(row)
        entries.append((word, sentence, remark(rng)))
        # Somebody saw every other one.
        note = "重复" if i % 2 else ""
        entries.append((word, slip(sentence, i), note))
    return entries


def sound_entries(rng: random.Random, words: list[Row]) -> list[Entry]:
    entries = []
    for row in take(words, CSV_CLEAN + CSV_PADDED):
        entries.append((question(row), answer(row), remark(rng)))
    return entries


def sheet_rows(rng: random.Random, words: list[Row]) -> list[list[str]]:
    """Return the rows of export.csv; takes the rows it uses out of `words`."""
    fields = {}
    for row in shipped_rows("lexicon/lexicon.jsonl"):
        fields[row["word"]] = row["field"]
    entries = faulty_entries(rng, words)
    faulty = {word for word, _, _ in entries}
    entries += sound_entries(rng, words)
    rng.shuffle(entries)
    rows = []
    for number, (word, sentence, note) in enumerate(entries, start=1):
        identifier = f"ZS-{number:04}"
        editor = rng.choice(EDITORS)
        rows.append([identifier, fields[word], word, sentence, editor, note])
    # Some rows are repeated as they are; in others one cell gets white space around it.
    sound = [row for row in rows if row[2] not in faulty]
    chosen = rng.sample(sound, CSV_PADDED + CSV_DUPLICATES)
    for repeated in chosen[CSV_PADDED:]:
        place = rng.randrange(len(rows))
        rows.insert(place, list(repeated))
    for padded in chosen[:CSV_PADDED]:
        cell = rng.choice([1, 2, 3, 3, 4])
        padding = rng.choice(PADDED)
        padded[cell] = padding.format(padded[cell])
    return rows


def write_sheet(name: str, rows: list[list[str]]) -> None:
    with (FOLDER / name).open("w", encoding="gb18030", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def to_sharegpt(row: Row) -> Row:
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    turns = []
    for message in row["messages"]:
        turns.append({"from": names[message["role"]], "value": message["content"]})
    return {"conversations": turns}


def to_alpaca(row: Row, i: int) -> Row:
    """Return the row with its question as the instruction or, for odd `i`, as the input."""
    if i % 2:
        return {"instruction": "请回答顾客的问题。", "input": question(row), "output": answer(row)}
    return {"instruction": question(row), "input": "", "output": answer(row)}


def write_array(name: str, rows: list[Row]) -> None:
    text = json.dumps(rows, ensure_ascii=False, indent=2) + "\n"
    (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")


def log_messages(row: Row, i: int) -> list[tuple[str, str, str]]:
    """Return (sender, kind, text) of one conversation; its first messages are the platform's."""
    customer = f"顾客{3001 + 7 * i}"
    messages = [
        ("系统", "系统通知", "会话开始"),
        ("系统", "系统通知", f"客服 {AGENT} 已接入"),
    ]
    if i % 3 == 1:
        messages.append((customer, "图片", "[图片]"))
    for message in row["messages"][1:]:
        if message["role"] == "user":
            messages.append((customer, "文本", message["content"]))
            continue
        # The closing question is a message of its own, as people write it.
        answer, _, closing = message["content"].rpartition("\n")
        messages += [(AGENT, "文本", answer), (AGENT, "文本", closing)]
    if i % 4 == 3:
        messages.append((customer, "文本", "好的，谢谢"))
    messages.append(("系统", "系统通知", "会话结束"))
    return messages


def write_log(name: str, rows: list[Row]) -> None:
    now = LOG_BEGIN
    with (FOLDER / name).open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(LOG_COLUMNS)
        for i, row in enumerate(rows):
            for sender, kind, text in log_messages(row, i):
                writer.writerow([f"S{1 + i:03}", f"{now:%Y-%m-%d %H:%M:%S}", sender, kind, text])
                now += timedelta(seconds=20 + 3 * i)
            now += timedelta(hours=2)


def write_workbook(name: str, rows: list[Row]) -> None:
    book = Workbook()
    sheet = book.active
    sheet.title = "问答"
    sheet.append([TITLE])
    sheet.merge_cells("A1:D1")
    sheet.append([])
    sheet.append(HEADINGS)
    first = sheet.max_row + 1
    for i, row in enumerate(rows):
        text = None if i in UNANSWERED else answer(row)
        sheet.append([None, question(row), text, WRITTEN + timedelta(days=i % 5)])
        sheet.cell(first + i, 4).number_format = "yyyy-mm-dd"
    for topic, count in TOPICS.items():
        sheet.cell(first, 1).value = topic
        sheet.merge_cells(start_row=first, end_row=first + count - 1, start_column=1, end_column=1)
        first += count
    notes = book.create_sheet("说明")
    notes.append(["答案由客服组维护，空着的还没有人写。"])
    book.properties.created = book.properties.modified = WRITTEN
    content = io.BytesIO()
    book.save(content)
    (FOLDER / name).write_bytes(undated(content.getvalue()))


def undated(archive: bytes) -> bytes:
    """Return a ZIP archive with the same date for every part, so that it never changes."""
    result = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive)) as source,
        zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for part in source.infolist():
            content = source.read(part)
            # Saving writes the present time as the date of the last change.
            if part.filename == "docProps/core.xml":
                content = STAMP.sub(f"{WRITTEN:%Y-%m-%dT%H:%M:%SZ}".encode(), content)
            target.writestr(zipfile.ZipInfo(part.filename), content, zipfile.ZIP_DEFLATED)
    return result.getvalue()


def main() -> None:
    rng = random.Random(42)
    words = shipped_rows("zhishuoxinyu/train.jsonl")
    services = shipped_rows("customer_service/train.jsonl")
    rng.shuffle(words)
    rng.shuffle(services)
    # Kept for the problem that has a text for them, and out of the spreadsheet.
    kept_back = pick(words, {*REPEATED, *CONFLICTS, *ENGLISH, *TEN_TIMES})
    write_sheet("export.csv", sheet_rows(rng, words))
    write_lines(rng, "export.jsonl", chat_lines(rng, words + kept_back, services))
    converted = take(services, CONVERTED)
    write_array("sharegpt.json", [to_sharegpt(row) for row in converted])
    # Alpaca has no place for a second turn.
    single = [row for row in services if len(row["messages"]) == 3]
    converted = take(single, CONVERTED)
    write_array("alpaca.json", [to_alpaca(row, i) for i, row in enumerate(converted)])
    others = [row for row in services if row not in converted]
    write_log("chat_log.csv", take(others, LOG_CONVERSATIONS))
    write_workbook("questions.xlsx", take(others, sum(TOPICS.values())))


if __name__ == "__main__":
    main()
