"""The 智说新语 case of guide section 5: prompts, published outputs, rules as code, claims.

    zhishuo.score("加班", output)              each formal rule apart
    measured = zhishuo.measure(answers, …)     each answer measured; summary(measured): each column
    zhishuo.claims(measured, …)                which of the guide's claims hold

A passed rule says that a sentence is formally right, never that it is good: garbage passes every
one of them. Wit and relevance are for readers to judge.
"""

# What the notebooks use; the rules and measures by themselves are in the modules.
from cookbook.zhishuo.claims import claims
from cookbook.zhishuo.measures import measure, summary
from cookbook.zhishuo.rules import rules, rules_broken, score
from cookbook.zhishuo.texts import (
    CRITERIA,
    LONG_PROMPT,
    SHORT_PROMPT,
    eval_words,
    prompt_examples,
    published,
    references,
)

__all__ = [
    "CRITERIA",
    "LONG_PROMPT",
    "SHORT_PROMPT",
    "claims",
    "eval_words",
    "measure",
    "prompt_examples",
    "published",
    "references",
    "rules",
    "rules_broken",
    "score",
    "summary",
]
