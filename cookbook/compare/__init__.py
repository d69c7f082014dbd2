"""Ask several models the same things, set the answers side by side, and say what the difference is worth.

    columns = {"base": (base, LONG_PROMPT), "tuned": (tuned, SHORT_PROMPT)}
    answers = compare.ask(client, columns, words)      a DataFrame, one answer a row
    compare.side_by_side(answers)                      a table for people; .to_html(path) a page to hand on
    compare.paired(measured, "rules_passed", "base", "tuned")  is the difference more than chance? in one sentence
    compare.blind(answers, "base", "tuned")            which is better, judged without knowing which is which

`stats` holds the statistics, `cost` the money, `judge` the clicks and the model that judges.
"""

from cookbook.compare.ask import ask
from cookbook.compare.cost import break_even, cost, prompt_parts
from cookbook.compare.judge import agreement, blind, judge, tally
from cookbook.compare.plot import timings
from cookbook.compare.stats import Share, paired, share, similarity
from cookbook.compare.table import SideBySide, side_by_side
from cookbook.siliconcloud import prices

__all__ = [
    "Share",
    "SideBySide",
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
    "similarity",
    "tally",
    "timings",
]
