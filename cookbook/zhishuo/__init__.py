"""The 智说新语 case of guide §5: its two prompts, its published outputs, its rules as code, its claims as numbers.

    zhishuo.score("加班", output)              each formal rule apart
    measured = zhishuo.measure(answers, …)     each answer measured; summary(measured) each column
    zhishuo.claims(measured, …)                which of the guide's claims hold

A passed rule says that the form is right, never that the sentence is good: garbage passes every one of them. Wit and
relevance are for readers to judge.
"""

from cookbook.zhishuo.claims import claims
from cookbook.zhishuo.measures import fluency, measure, other_word, relevant, repeats, summary
from cookbook.zhishuo.patterns import pattern_ok
from cookbook.zhishuo.rules import Rule, is_json, rules, rules_broken, score, unwrap
from cookbook.zhishuo.texts import (
    CRITERIA,
    GUIDE_WORDS,
    LONG_PROMPT,
    SHORT_PROMPT,
    corpus,
    eval_words,
    prompt_examples,
    published,
    references,
)

__all__ = [
    "CRITERIA",
    "GUIDE_WORDS",
    "LONG_PROMPT",
    "SHORT_PROMPT",
    "Rule",
    "claims",
    "corpus",
    "eval_words",
    "fluency",
    "is_json",
    "measure",
    "other_word",
    "pattern_ok",
    "prompt_examples",
    "published",
    "references",
    "relevant",
    "repeats",
    "rules",
    "rules_broken",
    "score",
    "summary",
    "unwrap",
]
