r"""Find texts that were damaged on the way: escapes, markup, mis-decoded and invisible characters.

find(text)                            what is wrong, by kind
repair(text, frozenset({"markup"}))   the text without it, where nothing has to be guessed
"""

from cookbook.data.damage.findings import REPAIRABLE, Finding, find, find_flagged, repair

__all__ = ["REPAIRABLE", "Finding", "find", "find_flagged", "repair"]
