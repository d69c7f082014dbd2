"""The rules of guide §2.1 and §4 and of the platform's newer pages.

    check_row(report, number, row)              one row; True if it can be trained on
    corpus.check_together(report, rows)         what sound rows say together

`row_rules` has the rules of a row and of the order of its messages, `message_rules` those of a
message, `key_rules` and `weights` those of further keys; `text_check` looks for damaged texts,
`corpus` at all rows together, with `repeats`; `whole_file` has the sentences about a file as a
whole. `fast/` recognizes the usual row quickly.
"""

from cookbook.data.rules.row_rules import (
    as_object,
    check_row,
    check_secrets,
    has_text,
    report_not_json,
)

__all__ = [
    "as_object",
    "check_row",
    "check_secrets",
    "has_text",
    "report_not_json",
]
