"""Read JSON strictly, say what is wrong with text that is not JSON, and find values in it.

    parse(text)         its value, or `NotJson` with the reason, the place and the remedy
    repaired(text)      the value of what is nearly JSON
    list_in(text)       the array that a string holds; None if it holds none
    is_no_entry(line)   whether a line is a comment or a fence, and none of the data
    cut(number, error)  the error for an entry in which the file ends

`strict` parses one value; `diagnosis` says why a text is none, by what was `expected` and what is
there, as `faults` in the words of `marks`; `repair` reads what is nearly JSON. `places` finds a
value or a character in the source text. `blocks` and `values` read many values that follow each
other, though some of them are broken.
"""

from cookbook.data.json_text.repair import is_no_entry, repaired
from cookbook.data.json_text.strict import DuplicateKey, NotJson, cut, list_in, parse

__all__ = ["DuplicateKey", "NotJson", "cut", "is_no_entry", "list_in", "parse", "repaired"]
