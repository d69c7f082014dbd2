"""Ask several models the same inputs, compare the answers, and say what the difference is worth.

    columns = {"base": (base, LONG_PROMPT), "tuned": (tuned, SHORT_PROMPT)}
    answers = compare.ask(client, columns, words)   a DataFrame, one answer a row
    compare.side_by_side(answers)                   a table for people; .to_html(path) writes a page
    compare.paired(measured, "relevant", "base", "tuned")    more than chance? in one sentence
    compare.blind(answers, "base", "tuned")         which is better? judged without the names

`stats` has the statistics, `cost` the money, `judge` the clicks and the model that judges. What
makes an answer good is not known here: pass any DataFrame with `column`, `input` and your own
measures.
"""

from cookbook.compare.ask import ask
from cookbook.compare.cost import break_even, cost, prompt_parts
from cookbook.compare.judge import agreement, blind, judge, tally
from cookbook.compare.plot import timings
from cookbook.compare.stats import paired, share
from cookbook.compare.table import side_by_side

# Prices are the platform's, so they live in its room; readers look for them beside the costs.
from cookbook.siliconcloud import prices

__all__ = [
    "agreement",
    "ask",
    "blind",
    "break_even",
    "cost",
    "judge",
    "paired",
    "prices",
    "prompt_parts",
    "share",
    "side_by_side",
    "tally",
    "timings",
]
