"""Prepare chat fine-tuning data: guide §2.1 and §4, and the platform's newer rules.

    check       every problem of a file at once, by line, with a remedy           checks.py, judging.py, report.py
    load        the rows of a file without errors                                 checks.py
    clean       mend what is safe to mend, report each change                     cleaning.py
    from_table, from_sharegpt, from_alpaca, to_jsonl                              convert.py
    split       train and validation, near-duplicates always on one side          splitting.py
    statistics, figure, phrases                                                   statistics.py

Files are only read, never changed. Rows are plain dicts: `{"messages": [{"role": …, "content": …}, …]}`.
"""

from cookbook.data.check import MAX_BYTES, MAX_ROWS, check, check_bytes, load
from cookbook.data.clean import Change, Cleaned, clean
from cookbook.data.convert import from_alpaca, from_sharegpt, from_table, to_jsonl
from cookbook.data.describe import figure, phrases, statistics
from cookbook.data.report import Problem, Report
from cookbook.data.split import split, too_few

__all__ = [
    "MAX_BYTES",
    "MAX_ROWS",
    "Change",
    "Cleaned",
    "Problem",
    "Report",
    "check",
    "check_bytes",
    "clean",
    "figure",
    "from_alpaca",
    "from_sharegpt",
    "from_table",
    "load",
    "phrases",
    "split",
    "statistics",
    "to_jsonl",
    "too_few",
]
