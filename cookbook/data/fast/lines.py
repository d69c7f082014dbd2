r"""Recognize the usual line quickly: `{"messages": [{"role": …, "content": …}, …]}`, in good order
and nothing else.

What is not recognized is not an error yet: `check.py` then takes the plain path, `read.py` and
`rules.py`, which says what is wrong. Nearly all lines of a good file are usual, so a check takes
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


def parse(line: bytes) -> dict | None:
    """Return the row of a line that certainly breaks no rule; None if there is any doubt."""
    try:
        row = orjson.loads(line)
    except ValueError:
        return None
    if type(row) is not dict or row.keys() != _ROW_KEYS:
        return None
    messages = row["messages"]
    if type(messages) is not list or not all(map(_is_usual, messages)):
        return None
    if not _take_turns([message["role"] for message in messages]):
        return None
    return None if _may_repeat_a_key(line, messages) else row


def _is_usual(message: object) -> bool:
    if type(message) is not dict or message.keys() != _MESSAGE_KEYS:
        return False
    role, content = message["role"], message["content"]
    if type(role) is not str or type(content) is not str:
        return False
    # A letter at the beginning spares the search for something to read.
    return content[:1].isalnum() or has_text(content)


def _take_turns(roles: list[str]) -> bool:
    turns = roles[1:] if roles[:1] == ["system"] else roles
    return bool(turns) and turns == ["user", "assistant"] * (len(turns) // 2)


def _may_repeat_a_key(line: bytes, messages: list[dict]) -> bool:
    marks = line.count(b'"') - _ROW_MARKS - _MESSAGE_MARKS * len(messages)
    if marks == 0:
        return False
    in_texts = sum(message["content"].count('"') for message in messages)
    return marks != in_texts or b"\\u0022" in line
