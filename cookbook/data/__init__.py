"""Prepare chat fine-tuning data: guide §2.1 and §4, and the platform's newer rules.

    check, check_bytes                         every problem at once, by line, with its remedy
    load                                       the rows of a file without errors
    clean                                      fix what is safe to fix, and list each change
    recognize                                  what format a file has, and what to call
    from_messages                              rows from any known format
    from_sharegpt, from_alpaca                 the same, by other names
    from_table, from_chat_log                  rows from a table, from the export of a chat
    to_jsonl                                   rows as a training file
    split                                      train and validation, near-duplicates on one side
    statistics, phrases, figure                what the rows look like

Rows are plain dicts: `{"messages": [{"role": …, "content": …}, …]}`. Files are only read, never
changed. Nothing heavy is loaded before it is needed: numpy, pandas, matplotlib and Jinja2 come with
the first call that uses them.

Each of these calls is told from beginning to end by the module of its name; `from_table` is in
`tables/`, `from_chat_log` in `chats/`, the other `from_…` in `convert.py`. What the calls share is
in folders, in the order in which a file passes through them:

    file_kind/      is it text at all, by its first bytes
    encodings/      which encoding it is in, and its text
    json_text/      one JSON value: strictly read, why it is none, where it is in the text
    reading/        every entry of a source with its place: lines, an array, objects, memory
    tables/         workbooks, CSV, Parquet, DataFrames: rows as Excel shows them
    chats/          the messages of a chat log, and who asks and who answers
    shapes/         the formats of other tools, and how each becomes messages
    damage/         texts that were damaged on the way, and their repair
    rules/          what a row, a file and all rows together must keep to
    fixes/          what is safe to fix in a row
    report/         what is said in the end: problems, changes, excerpts, how they are shown

Every folder may be read alone, by the docstring of its `__init__`. Beside them are `entry.py` and
`rows.py` (the values that all pass on), `sensitive.py` (secrets) and `near_duplicates.py`.
"""

from cookbook.data.chats.chat_log import from_chat_log
from cookbook.data.check import check, check_bytes, load
from cookbook.data.clean import clean
from cookbook.data.convert import from_alpaca, from_messages, from_sharegpt
from cookbook.data.describe import figure, phrases, statistics
from cookbook.data.reading.read import MAX_BYTES
from cookbook.data.recognize import Recognized, recognize
from cookbook.data.report import Problem, Report
from cookbook.data.report.changes import Change
from cookbook.data.report.cleaned import Cleaned
from cookbook.data.rows import to_jsonl
from cookbook.data.rules.corpus import MAX_ROWS
from cookbook.data.split import split, too_few
from cookbook.data.tables.from_table import from_table

__all__ = [
    "MAX_BYTES",
    "MAX_ROWS",
    "Change",
    "Cleaned",
    "Problem",
    "Recognized",
    "Report",
    "check",
    "check_bytes",
    "clean",
    "figure",
    "from_alpaca",
    "from_chat_log",
    "from_messages",
    "from_sharegpt",
    "from_table",
    "load",
    "phrases",
    "recognize",
    "split",
    "statistics",
    "to_jsonl",
    "too_few",
]
