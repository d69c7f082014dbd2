"""Take the loss of the trained tokens without ever holding all their logits.

    loss, tokens = loss_sum(model, ids, labels, chunk)

Logits are as wide as the vocabulary: for a thousand tokens of a real base they need more memory
than the base itself. So head and cross-entropy go through a few tokens at a time, and the gradient
of the hidden states is made at once, in the forward pass, while the logits of these tokens are
there. Backward only scales it. The head is frozen.

`model` is a PEFT model of a transformers causal language model with the parts `model` and
`lm_head`.
"""

from typing import Any

import torch
from torch import Tensor

from cookbook.service.engine.examples import NOT_TRAINED
from cookbook.service.engine.stored import backward_product, forward_product


def loss_sum(model: Any, ids: Tensor, labels: Tensor, chunk: int) -> tuple[Tensor, int]:
    """Return the summed cross-entropy of the trained tokens, and their number.

    `ids` and `labels` are (rows, width), as `collate` makes them; the logits of `chunk` trained
    tokens are held at a time.
    """
    base = model.get_base_model()
    # The last token predicts nothing, the first is predicted by none.
    inputs, targets = ids[:, :-1], labels[:, 1:]
    hidden = base.model(input_ids=inputs, use_cache=False).last_hidden_state
    trained = targets != NOT_TRAINED
    hidden, targets = hidden[trained], targets[trained]
    learns = torch.is_grad_enabled() and hidden.requires_grad
    head = base.lm_head
    loss = HeadLoss.apply(hidden, head.weight, head.bias, targets, chunk, learns)
    return loss, len(targets)


class HeadLoss(torch.autograd.Function):
    """The summed cross-entropy of hidden Wᵀ + bias against targets, where W and bias are frozen.

    Shapes: hidden (tokens, width), W (vocabulary, width), targets (tokens); the result is a float32
    number.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        chunk: int,
        learns: bool,
    ) -> Tensor:
        loss = hidden.new_zeros((), dtype=torch.float32)
        gradient = torch.empty_like(hidden) if learns else None
        for start in range(0, len(targets), chunk):
            part = slice(start, start + chunk)
            logits = forward_product(hidden[part], weight)
            logits = (logits if bias is None else logits + bias).float()
            target = targets[part].unsqueeze(1)
            total = logits.logsumexp(1, keepdim=True)
            loss += (total - logits.gather(1, target)).sum()
            if gradient is None:
                continue
            # Softmax minus one at the target.
            wrong = logits.sub_(total).exp_()
            wrong.scatter_add_(1, target, wrong.new_full(target.shape, -1.0))
            gradient[part] = backward_product(wrong.to(hidden.dtype), weight)
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        # In place: it is asked for once.
        return gradient.mul_(grad), None, None, None, None, None
