"""Make the tiny base from nothing: cut the vocabulary, pre-train on the lexicon, write it.

    python tools/tiny_base/make_tiny_base.py              an hour on two cores, half with bfloat16
    python tools/tiny_base/make_tiny_base.py --steps 200 --out /tmp/try

A Qwen2 model (the architecture of Qwen2.5: RMSNorm, rotary positions, grouped-query attention with
biased projections, SwiGLU, tied embeddings), small enough to pre-train and to LoRA-tune on a
laptop. Matrices are trained by Muon, the rest by AdamW, and the loss is taken on the answers alone.
Same seed, same machine, same weights.

Nothing about style is here. What the base may know is in `pretraining_text.py`; what LoRA adds is
in the notebooks.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from cut_vocabulary import corpus_texts, make_tokenizer
from pretraining_text import Message, Words, copy_pieces, sample
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from cookbook.paths import DATA, shipped_rows
from cookbook.service.engine.device import computes_in_bfloat16
from cookbook.service.engine.examples import NOT_TRAINED, Example, collate, encode

ROOT = Path(__file__).resolve().parents[2]
CARD = {"id": "cookbook/tiny-zh", "learning_rate_scale": 17, "corpus": "train_tiny.jsonl"}

STEPS = 3700
SEED = 42
TOKENS_PER_STEP = 2200
MUON_RATE = 0.008
ADAM_RATE = 3e-3
WARM_UP = 0.02  # share of the steps
VOCABULARY_SAMPLES = 20_000  # conversations from which the vocabulary is cut

# Rows drawn together and sorted by length, so that the rows of a batch are of about one length.
POOL = 1000
# Rows are padded to a multiple of so many tokens, and a batch's answers together to a multiple of
# so many: a processor's matrix product in bfloat16 is compiled for each new shape.
WIDTHS = 8
ANSWERS = 128

Batch = tuple[Tensor, Tensor]  # (ids, labels), both (rows, width)


def make_model(tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """Return an untrained model; 5.7 million parameters with 9,958 tokens."""
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        bos_token_id=None,
    )
    model = Qwen2ForCausalLM(config)
    for settings in (model.config, model.generation_config):
        settings.eos_token_id = tokenizer.eos_token_id
        settings.pad_token_id = tokenizer.pad_token_id
    return model


def batches(
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    draw: Callable[[random.Random], list[Message]],
) -> Iterator[Batch]:
    """Yield batches of about TOKENS_PER_STEP tokens without end."""
    rng = random.Random(seed)
    while True:
        pool = []
        for _ in range(POOL):
            pool.append(encode(tokenizer, draw(rng), tokenizer.model_max_length))
        groups = _groups(pool)
        rng.shuffle(groups)
        for group in groups:
            ids, labels = collate(group, tokenizer.pad_token_id, "cpu")
            # One more than a multiple: the last token is only predicted, the first only read.
            missing = (1 - ids.shape[1]) % WIDTHS
            ids = F.pad(ids, (0, missing), value=tokenizer.pad_token_id)
            labels = F.pad(labels, (0, missing), value=NOT_TRAINED)
            yield ids, labels


def _groups(pool: list[Example]) -> list[list[Example]]:
    """Return the examples in groups of about one length."""
    groups = []
    group: list[Example] = []
    for example in sorted(pool, key=lambda example: len(example.ids)):
        # The newest example is the longest, to whose length the group is padded.
        tokens = (len(group) + 1) * len(example.ids)
        if group and tokens > TOKENS_PER_STEP:
            groups.append(group)
            group = []
        group.append(example)
    return [*groups, group]


def answer_loss(model: Qwen2ForCausalLM, ids: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy over the answer tokens.

    Padding is on the right, so causal attention never sees it.
    """
    output = model.model(input_ids=ids[:, :-1])
    hidden = output.last_hidden_state.flatten(0, 1)
    targets = labels[:, 1:].flatten()
    learned = (targets != NOT_TRAINED).nonzero()[:, 0]
    # Filled up with the first position, which has no target and adds nothing to the mean.
    learned = F.pad(learned, (0, -len(learned) % ANSWERS))
    logits = model.lm_head(hidden[learned]).float()
    return F.cross_entropy(logits, targets[learned])


class Muon(torch.optim.Optimizer):
    """Momentum, then the nearest orthogonal matrix by Newton–Schulz (Jordan 2024).

    All matrices of one shape are iterated together, which takes a processor a quarter of the time
    that `torch.optim.Muon` takes for one after another. `dtype` is what they are iterated in:
    bfloat16, but float32 where bfloat16 is emulated, which takes three times as long.
    """

    def __init__(
        self, matrices: list[Tensor], lr: float, dtype: torch.dtype, momentum: float = 0.95
    ):
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for matrix in matrices:
            by_shape.setdefault(matrix.shape, []).append(matrix)
        groups = [{"params": group} for group in by_shape.values()]
        super().__init__(groups, {"lr": lr, "momentum": momentum})
        self._dtype = dtype

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            steps = []
            for p in group["params"]:
                average = self.state[p].setdefault("momentum", torch.zeros_like(p))
                average.lerp_(p.grad, 1 - group["momentum"])
                # Nesterov's momentum: a look ahead of the average.
                steps.append(p.grad.lerp(average, group["momentum"]))
            rows, columns = steps[0].shape
            rate = group["lr"] * max(1, rows / columns) ** 0.5
            orthogonal = _orthogonal(torch.stack(steps).to(self._dtype))
            for p, step in zip(group["params"], orthogonal, strict=True):
                p.sub_(step, alpha=rate)


def _orthogonal(g: Tensor) -> Tensor:
    """Return the nearest orthogonal matrix of each of (matrices, rows, columns)."""
    # The product with its transpose is smaller for a wide matrix.
    tall = g.shape[1] > g.shape[2]
    x = g.mT if tall else g
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        x = torch.baddbmm(x, polynomial, x, beta=3.4445)
    return x.mT if tall else x


def train(model: Qwen2ForCausalLM, data: Iterator[Batch], steps: int, device: str) -> None:
    """Train in place, with a line of progress every 25 steps."""
    short = computes_in_bfloat16(device)
    if short and device == "cpu":
        # The fused kernel's backward pass in bfloat16 is slow on processors.
        model.set_attn_implementation("eager")
    matrices, others = _split_parameters(model)
    optimizers = [
        Muon(matrices, lr=MUON_RATE, dtype=torch.bfloat16 if short else torch.float32),
        torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]

    def rate(step: int) -> float:
        """Warm up, then fall to nothing: facts settle while the rate falls."""
        rising = (step + 1) / (WARM_UP * steps)
        falling = 1 - step / steps
        return min(rising, falling)

    schedules = [LambdaLR(optimizer, rate) for optimizer in optimizers]
    model.train()
    started, tokens = time.time(), 0
    for step in range(steps):
        ids, labels = next(data)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=short):
            loss = answer_loss(model, ids.to(device), labels.to(device))
        loss.backward()
        # Muon's steps have a size of their own; only the rest can be thrown off by one batch.
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for part in (*optimizers, *schedules):
            part.step()
        model.zero_grad()
        tokens += ids.numel()
        if not math.isfinite(loss.item()):
            raise SystemExit("the loss is no longer a number: lower MUON_RATE")
        if step % 25 == 0 or step + 1 == steps:
            _print_progress(step + 1, steps, loss.item(), tokens, time.time() - started)


def _split_parameters(model: Qwen2ForCausalLM) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weight matrices, and the rest: embeddings, norms and biases."""
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in model.named_parameters():
        # An embedding is a table to look up, not a map between spaces.
        is_matrix = parameter.ndim == 2 and "embed" not in name
        parameters = matrices if is_matrix else others
        parameters.append(parameter)
    return matrices, others


def _print_progress(done: int, steps: int, loss: float, tokens: int, seconds: float) -> None:
    minutes = seconds / done * (steps - done) / 60
    speed = f"{tokens / seconds:,.0f} tokens/s"
    left = f"{minutes:.0f} min left"
    print(f"step {done:5d}/{steps}  loss {loss:.4f}  {speed}  {left}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=DATA / "models" / "tiny-zh")
    parser.add_argument("--lexicon", type=Path, default=DATA / "lexicon" / "lexicon.jsonl")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"

    words = Words(shipped_rows(args.lexicon))
    services = shipped_rows("customer_service/services.jsonl")
    prompt_file = DATA / "zhishuoxinyu" / "system_prompt.txt"
    long_prompt = prompt_file.read_text(encoding="utf-8").rstrip("\n")

    # The vocabulary: what the corpora need, and what the base's own education needs.
    rng = random.Random(args.seed)
    texts = corpus_texts(ROOT)
    for _ in range(VOCABULARY_SAMPLES):
        chat = sample(rng, words, services, long_prompt, ["字"])
        texts += [message["content"] for message in chat]
    tokenizer = make_tokenizer(texts)
    pieces = copy_pieces(tokenizer)

    def draw(rng: random.Random) -> list[Message]:
        return sample(rng, words, services, long_prompt, pieces)

    model = make_model(tokenizer).to(device)
    sizes = f"{len(tokenizer)} tokens, {model.num_parameters():,} parameters"
    print(f"{len(words)} words, {len(services)} services, {sizes}")
    train(model, batches(tokenizer, args.seed, draw), args.steps, device)

    model.to(torch.bfloat16).save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    card = json.dumps(CARD, indent=2) + "\n"
    (args.out / "cookbook.json").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
