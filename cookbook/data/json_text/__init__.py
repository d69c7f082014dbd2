"""Read JSON strictly, say what is wrong with text that is not JSON, and find values in it.

parse(text)           its value, or `NotJson` with the reason, the place and the remedy
repaired(text)        the value of what is nearly JSON
"""

from cookbook.data.json_text.repair import is_no_entry, repaired
from cookbook.data.json_text.strict import DuplicateKey, NotJson, cut, parse

__all__ = ["DuplicateKey", "NotJson", "cut", "is_no_entry", "parse", "repaired"]
