"""The rules of guide §2.1 and §4 and of the platform's newer pages: of a row, of a file."""

from cookbook.data.rules.row_rules import (
    ROLES,
    as_object,
    check_row,
    check_secrets,
    decoded_messages,
    has_text,
    parse_row,
    report_not_json,
)

__all__ = [
    "ROLES",
    "as_object",
    "check_row",
    "check_secrets",
    "decoded_messages",
    "has_text",
    "parse_row",
    "report_not_json",
]
