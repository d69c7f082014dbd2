r"""Recognize the usual line quickly: `{"messages": [{"role": …, "content": …}, …]}`, in good order
and nothing else.

What is not recognized is not an error yet: `check_lines.py` then takes the plain path, `json_text/`
and `rules/`, which says what is wrong. Nearly all lines of a good file are usual, so a check takes
about as long as parsing.

orjson is several times as fast as Python's parser, but of a key given twice it keeps the last value
and says nothing. Quotation marks tell: the row `{"messages": […]}` needs 2 for its key, and 8 for
each message, 2 for each of `"role"`, `"content"` and their values. One inside a text is written
`\"`, and is still there in the parsed text. So of

    {"messages": [{"role": "user", "content": "问", "content": "再问"}, {"role": "assistant",
    "content": "说\"是\""}]}

orjson returns two messages, whose row needs 2 + 8 * 2 = 18 marks, and whose texts have 2. The line
has 24, not 20: the 4 of the lost `"content": "问"` are too many. A mark that is written `\u0022`
would upset the sum, so a line with one takes the plain path, unless it has just the marks that its
row needs.
"""

import orjson

from cookbook.data.rules import has_text

_ROW_KEYS = {"messages"}
_MESSAGE_KEYS = {"role", "content"}
_ROW_MARKS = 2
_MESSAGE_MARKS = 8

NOT_JSON = object()  # what is no value of any line
_SCALARS = (str, int, float, bool, type(None))


def value_of(line: bytes) -> object:
    """Return the JSON value of a line, `NOT_JSON` if it has none.

    The strict rules of `json_text` may refuse a value all the same.
    """
    try:
        return orjson.loads(line)
    except ValueError:
        return NOT_JSON


def row_of(line: bytes, value: object) -> dict | None:
    """Return the value of a line if it certainly breaks no rule; None if there is any doubt."""
    if not is_usual(value):
        return None
    assert isinstance(value, dict)
    # Last, since it reads the whole line again.
    return None if _may_repeat_a_key(line, value["messages"]) else value


def is_sound(row: dict) -> bool:
    """Return whether a usual row from memory breaks no rule: each text can be written as UTF-8."""
    try:
        for message in row["messages"]:
            message["content"].encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def fault(value: object) -> str | None:
    """Return the code of the error of a value that cannot be a row, whatever it says."""
    if value is NOT_JSON:
        return "json"
    return "not-object" if type(value) in _SCALARS else None


def is_usual(row: object) -> bool:
    """Return whether a value is a usual row: with messages in good order, and nothing else."""
    if type(row) is not dict or row.keys() != _ROW_KEYS:
        return False
    messages = row["messages"]
    if type(messages) is not list:
        return False
    return all(map(_is_usual, messages)) and _take_turns(messages)


def _is_usual(message: object) -> bool:
    if type(message) is not dict or message.keys() != _MESSAGE_KEYS:
        return False
    content = message["content"]
    # A role needs no look here: `_take_turns` compares it.
    if type(content) is not str:
        return False
    # A letter at the beginning spares the search for something to read.
    return content[:1].isalnum() or has_text(content)


def _take_turns(messages: list[dict]) -> bool:
    roles = [message["role"] for message in messages]
    if roles[:1] == ["system"]:
        roles = roles[1:]
    pairs = len(roles) // 2
    return pairs > 0 and roles == ["user", "assistant"] * pairs


def _may_repeat_a_key(line: bytes, messages: list[dict]) -> bool:
    needed = _ROW_MARKS + _MESSAGE_MARKS * len(messages)
    more = line.count(b'"') - needed
    if more == 0:
        return False
    texts = [message["content"] for message in messages]
    in_texts = sum(text.count('"') for text in texts)
    return more != in_texts or b"\\u0022" in line
