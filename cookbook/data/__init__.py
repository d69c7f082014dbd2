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
