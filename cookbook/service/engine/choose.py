"""Choose the next token of each answer, and note how likely the model found it.

    tokens = Chooser(vocabulary, ends).choose(answers, logits)      a row of logits for each answer

A row that cannot be chosen from, since its logits are not numbers or its schema has failed, becomes
the failure of its answer alone.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from cookbook.service.chat_request import ChatRequest, TokenLogprob
from cookbook.service.engine import sampling
from cookbook.service.engine.adapters import BrokenModel
from cookbook.service.engine.answer import Answer
from cookbook.service.engine.grammar import BadSchema
from cookbook.service.engine.logprobs import Scores, Vocabulary, score


class Chooser:
    """Chooses for the answers of one base; `ends` are the tokens that end an answer."""

    def __init__(self, vocabulary: Vocabulary, ends: set[int]):
        self._vocabulary = vocabulary
        self._ends = ends

    def choose(self, answers: Sequence[Answer], logits: Tensor) -> Tensor:
        """Append the next token to each answer, and return all of them, (rows,).

        The logits of rows that a schema restricts are changed.
        """
        watched, restricted = [], []
        for row, answer in enumerate(answers):
            if answer.request.logprobs is not None:
                watched.append(row)
            if answer.grammar:
                restricted.append(row)
        before = logits[watched] if watched else logits  # a copy, or nobody looks
        for row in restricted:
            _restrict(answers[row], logits[row])
        samplers = [answer.sampler for answer in answers if answer.sampler]
        tokens = sampling.choose(logits, samplers)
        # The sum shows a single NaN or infinity in a row, in a fraction of the time of a search.
        totals = logits.sum(-1, dtype=torch.float32)
        rows = zip(answers, tokens.tolist(), totals.tolist(), strict=True)
        for answer, token, total in rows:
            if not total < math.inf:
                answer.failure = _no_numbers(answer.request)
            answer.take(token)
        if watched:
            self._report([answers[row] for row in watched], before, tokens[watched])
        return tokens

    def _report(self, answers: Sequence[Answer], logits: Tensor, tokens: Tensor) -> None:
        """Note for each answer how likely its new token was."""
        most = max(answer.request.logprobs or 0 for answer in answers)
        scores = score(logits, tokens, most)
        for row, answer in enumerate(answers):
            if answer.shows_last_token(self._ends):
                top = answer.request.logprobs or 0
                own = scores[row : row + 1]
                answer.logprobs += self._vocabulary.reports(answer.tokens[-1:], own, top)

    def report_prompt(self, answer: Answer, scores: Scores) -> None:
        """Note how likely each token of the prompt was, after those before it."""
        first, *others = answer.prompt
        top = answer.request.logprobs or 0
        # Not added to those that are there: an error may have ended the pass before.
        answer.logprobs = [
            TokenLogprob(self._vocabulary.bytes_of(first), None),
            *self._vocabulary.reports(others, scores, top),
        ]


def _restrict(answer: Answer, logits: Tensor) -> None:
    """Let the answer's next token fit its schema. An answer that fails, fails alone."""
    try:
        if answer.grammar:
            answer.grammar.restrict(logits)
    except BadSchema as error:
        answer.failure = error


def _no_numbers(request: ChatRequest) -> BrokenModel:
    model = request.adapter.name if request.adapter else request.base.id
    return BrokenModel(
        zh=f"模型 {model} 算出了 NaN 或无穷大，不能回答：如果是微调模型，"
        "把学习速率降到十分之一重新微调，或换一个更早的检查点",
        en=f"the model {model} computes values that are not numbers and cannot answer. If it is "
        "tuned, tune again with a tenth of the learning rate, or use an earlier checkpoint",
    )
