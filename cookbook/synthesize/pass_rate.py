"""Say how many of the answers keep the rules, with the interval of that share."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cookbook.compare.stats import Share, share
from cookbook.synthesize import texts as reading
from cookbook.synthesize.texts import Draft, Holds, Read

if TYPE_CHECKING:
    import pandas as pd


def pass_rate(drafts: "pd.DataFrame", rules: Mapping[str, Any], read: Read | None = None) -> Share:
    """Return the share of drafts whose text passes every rule, with its 95 % interval.

    An answer that is cut off, empty, refused or not readable does not pass. A request that failed
    is not counted: it says nothing about the model. Drafts of one input are more alike than the
    interval assumes, which is then too narrow; one draft an input avoids that.

    Args:
        drafts: what `drafts` or `compare.ask` returned.
        rules, read: as in `keep`.

    Raises:
        ArgumentError: `drafts` is no such table, or a rule fails.
    """
    functions = reading.functions(rules)
    answered = [draft for draft in reading.listed(drafts) if draft.error is None]
    return share(_passes(draft, functions, read) for draft in answered)


def _passes(draft: Draft, rules: Mapping[str, Holds], read: Read | None) -> bool:
    text, fault = reading.read_text(draft, read)
    return fault is None and reading.broken_rule(draft, text, rules) is None
