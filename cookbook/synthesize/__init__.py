"""Make a corpus from a long prompt: a large model writes drafts, rules and a reader choose.

    synthesize.estimate(model, prompt, words, n=4)       tokens, and yuan where the price is known
    drafts = synthesize.drafts(client, model, prompt, words, n=4, path="drafts.jsonl")
    kept = synthesize.keep(drafts, prompt=prompt, system=short, rules=rules, held_out=evaluation)
    synthesize.pass_rate(drafts, rules)                  a share with its interval

`kept.rows` are rows for `data.check`; `kept.report` counts what was dropped, and why. No rule knows
whether a sentence is good: read some before they are trained on. The inputs are never the words
that the model is measured with later (`held_out`).

Who asks, and what is written down, is in `drafts.py`, `record.py` and `batch.py`; what is wrong
with a draft alone in `texts.py`, `refusals.py` and `leaks.py`, beside others in `alike.py` and
`crowding.py`; `keep.py` has the order of the checks.
"""

from cookbook.synthesize.drafts import drafts
from cookbook.synthesize.estimate import Estimate, estimate
from cookbook.synthesize.keep import Kept, keep
from cookbook.synthesize.pass_rate import pass_rate

__all__ = ["Estimate", "Kept", "drafts", "estimate", "keep", "pass_rate"]
