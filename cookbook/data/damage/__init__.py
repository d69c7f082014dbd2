r"""Find texts that were damaged on the way: escapes, markup, mis-decoded and invisible characters.

    find(text)                            what is wrong, by kind
    repair(text, frozenset({"markup"}))   the text without it, where nothing has to be guessed

`findings` unites the kinds, each of which has a module: `escapes`, `markup`, `mojibake`,
`invisible`, `marks` (of chat templates, and of thinking). `code` keeps them from touching code, and
`glance` says of many texts at once which need no closer look.
"""

from cookbook.data.damage.findings import REPAIRABLE, Finding, find, find_flagged, repair

__all__ = ["REPAIRABLE", "Finding", "find", "find_flagged", "repair"]
