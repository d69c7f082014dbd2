"""Make the tiny base from nothing: cut the vocabulary, pre-train on the lexicon, write a checkpoint.

    python data/models/make_tiny_base.py                    an hour on two cores, half of it with bfloat16 units
    python data/models/make_tiny_base.py --steps 200 --out /tmp/try

A Qwen2 model (the architecture of Qwen2.5: RMSNorm, rotary positions, grouped-query attention with biased projections,
SwiGLU, tied embeddings) small enough to pre-train and to LoRA-tune on a laptop. Matrices are trained by Muon, the rest
by AdamW, the loss is taken on the answers alone. Same seed, same machine, same weights.

Not here: anything about style. What the base may know is in `pretraining_text.py`; what LoRA adds is in the notebooks.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM

ROOT = Path(__file__).resolve().parents[2]

from cut_vocabulary import corpus_texts, make_tokenizer  # noqa: E402
from pretraining_text import Words, copy_pieces, sample  # noqa: E402

from cookbook.paths import shipped_rows  # noqa: E402
from cookbook.service.engine.examples import collate, encode  # noqa: E402
from cookbook.service.engine.load import computes_in_bfloat16  # noqa: E402

TOKENS_PER_STEP = 2200
WIDTHS = 8  # rows are padded to a multiple of these tokens
ANSWERS = 128  # and a batch's answers together to a multiple of those
MUON_RATE, ADAM_RATE = 0.008, 3e-3
POOL = 1000  # rows drawn together and sorted by length, so that the rows of one batch are of about one length

CARD = {"id": "cookbook/tiny-zh", "learning_rate_scale": 17, "corpus": "train_tiny.jsonl"}


def make_model(vocabulary: int) -> Qwen2ForCausalLM:
    """5.7 M parameters at 9,958 tokens."""
    config = Qwen2Config(
        vocab_size=vocabulary,
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
    return Qwen2ForCausalLM(config)


def batches(tokenizer, seed: int, draw):
    """Endless (ids, labels) of shape (rows, width), about TOKENS_PER_STEP in all; label -100 is not learned.

    Few widths, since a processor's matrix product in bfloat16 is compiled for each shape anew.
    """
    rng = random.Random(seed)
    while True:
        pool = [encode(tokenizer, draw(rng), tokenizer.model_max_length) for _ in range(POOL)]
        groups = [[]]
        for example in sorted(pool, key=lambda e: len(e.ids)):
            if groups[-1] and (len(groups[-1]) + 1) * len(example.ids) > TOKENS_PER_STEP:
                groups.append([])
            groups[-1].append(example)
        rng.shuffle(groups)
        for group in groups:
            ids, labels = collate(group, tokenizer.pad_token_id, "cpu")
            missing = (1 - ids.shape[1]) % WIDTHS
            yield (
                F.pad(ids, (0, missing), value=tokenizer.pad_token_id),
                F.pad(labels, (0, missing), value=-100),
            )


def answer_loss(model: Qwen2ForCausalLM, ids: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the answer tokens. Padding is on the right, so causal attention never sees it."""
    hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state.flatten(0, 1)
    wanted = labels[:, 1:].flatten()
    kept = (wanted != -100).nonzero()[:, 0]
    kept = F.pad(
        kept, (0, -len(kept) % ANSWERS)
    )  # with the first position, of which nothing is wanted
    return F.cross_entropy(model.lm_head(hidden[kept]).float(), wanted[kept])


class Muon(torch.optim.Optimizer):
    """Momentum, then the nearest orthogonal matrix by Newton–Schulz (Jordan 2024), iterated in `dtype`.

    All matrices of one shape are iterated together, which on a processor takes a quarter of the time of one after
    another, as `torch.optim.Muon` does; in float32 where bfloat16 is emulated, since that takes three times as long.
    """

    def __init__(
        self, matrices: list[Tensor], lr: float, dtype: torch.dtype, momentum: float = 0.95
    ):
        alike: dict[torch.Size, list[Tensor]] = {}
        for matrix in matrices:
            alike.setdefault(matrix.shape, []).append(matrix)
        super().__init__(
            [{"params": group} for group in alike.values()], {"lr": lr, "momentum": momentum}
        )
        self._dtype = dtype

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            steps = []
            for p in group["params"]:
                average = self.state[p].setdefault("momentum", torch.zeros_like(p))
                average.lerp_(p.grad, 1 - group["momentum"])
                steps.append(p.grad.lerp(average, group["momentum"]))
            rows, columns = steps[0].shape
            rate = group["lr"] * max(1, rows / columns) ** 0.5
            for p, step in zip(
                group["params"], _orthogonal(torch.stack(steps).to(self._dtype)), strict=True
            ):
                p.sub_(step, alpha=rate)


def _orthogonal(g: Tensor) -> Tensor:
    """Of each matrix of (matrices, rows, columns)."""
    tall = g.shape[1] > g.shape[2]
    x = g.mT if tall else g
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(
            x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445
        )
    return x.mT if tall else x


def train(model: Qwen2ForCausalLM, data, steps: int, device: str) -> None:
    short = computes_in_bfloat16(device)
    if short and device == "cpu":
        model.set_attn_implementation(
            "eager"
        )  # the fused kernel's backward pass in bfloat16 is slow on processors
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers = [
        Muon(matrices, lr=MUON_RATE, dtype=torch.bfloat16 if short else torch.float32),
        torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    # Warm up for 2 %, then fall to nothing: facts settle while the rate falls.
    shape = lambda step: min((step + 1) / (0.02 * steps), 1 - step / steps)
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, shape) for o in optimizers]
    model.train()
    started, seen = time.time(), 0
    for step in range(steps):
        ids, labels = (t.to(device) for t in next(data))
        with torch.autocast(device, dtype=torch.bfloat16, enabled=short):
            loss = answer_loss(model, ids, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for part in (*optimizers, *schedules):
            part.step()
        model.zero_grad()
        seen += ids.numel()
        if step % 25 == 0 or step + 1 == steps:
            clock = time.time() - started
            left = clock / (step + 1) * (steps - step - 1)
            print(
                f"step {step + 1:5d}/{steps}  loss {loss.item():.4f}  {seen / clock:,.0f} tokens/s  {left / 60:.0f} min left",
                flush=True,
            )
        if not math.isfinite(loss.item()):
            raise SystemExit("the loss is no longer a number: lower MUON_RATE")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3700)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--out", type=Path, default=ROOT / "data/models/tiny-zh")
    parser.add_argument("--lexicon", type=Path, default=ROOT / "data/lexicon/lexicon.jsonl")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    words = Words(shipped_rows(args.lexicon))
    services = shipped_rows("customer_service/services.jsonl")
    long_prompt = (
        (ROOT / "data/zhishuoxinyu/system_prompt.txt").read_text(encoding="utf-8").rstrip("\n")
    )
    rng = random.Random(args.seed)
    texts = [
        m["content"]
        for _ in range(20_000)
        for m in sample(rng, words, services, long_prompt, ["字"])
    ]
    tokenizer = make_tokenizer(corpus_texts(ROOT) + texts)
    pieces = copy_pieces(tokenizer)
    draw = lambda rng: sample(rng, words, services, long_prompt, pieces)
    model = make_model(len(tokenizer)).to(device)
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    print(
        f"{len(words)} words, {len(services)} services, {len(tokenizer)} tokens, {model.num_parameters():,} parameters"
    )
    train(model, batches(tokenizer, args.seed, draw), args.steps, device)
    model.to(torch.bfloat16).save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    (args.out / "cookbook.json").write_text(
        json.dumps(CARD, indent=2) + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
