"""Cut Qwen2.5's vocabulary down to what given texts need, as a `tokenizers` fast tokenizer.

The full rank file (`data/qwen2.5.tiktoken`) has 151,643 byte-level BPE tokens; a tiny model cannot afford an
embedding for each. Kept are all 256 single bytes (so any text can still be written), every token that occurs in the
texts, and every token that a merge passes through on the way there. Since byte-level BPE applies merges in order of
rank, the merges that fire on these texts are all kept and no other can fire before them: the cut vocabulary splits the
texts exactly as the full one does (`tests/test_tokens.py` proves it on every corpus).

Ids are renumbered in order of the original rank.
"""

from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

from cookbook.tokens import CHAT_TEMPLATE, DEFAULT_SYSTEM, PATTERN, SPECIAL_TOKENS, encoding


def _halves(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two tokens whose merge makes `token`: BPE on its bytes, stopped before the last merge."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        pairs = [
            (ranks.get(a + b, len(ranks)), i)
            for i, (a, b) in enumerate(zip(parts, parts[1:], strict=False))
        ]
        _, i = min(pairs)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts[0], parts[1]


def _needed(texts: list[str] | None) -> dict[bytes, int]:
    full = encoding()
    ranks = full._mergeable_ranks
    if texts is None:
        return ranks
    kept = {bytes([b]) for b in range(256)}
    todo = {full.decode_single_token_bytes(i) for text in texts for i in full.encode_ordinary(text)}
    while todo:
        token = todo.pop()
        if token not in kept:
            kept.add(token)
            todo.update(_halves(token, ranks))
    return {token: ranks[token] for token in sorted(kept, key=ranks.__getitem__)}


def _letters() -> list[str]:
    """The printable letter that stands for each byte in a byte-level BPE vocabulary (the convention of GPT-2)."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(spare)) for b in range(256)]


def make_tokenizer(texts: list[str] | None) -> PreTrainedTokenizerFast:
    """A tokenizer with Qwen2.5's splits on `texts`, or on everything (None), its template and special tokens."""
    kept = _needed(texts)
    ranks = encoding()._mergeable_ranks
    letters = _letters()
    spell = lambda token: "".join(letters[b] for b in token)
    vocab = {spell(token): i for i, token in enumerate(kept)}
    merges = [tuple(map(spell, _halves(token, ranks))) for token in kept if len(token) > 1]
    core = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def corpus_texts(root: Path) -> list[str]:
    """Every text below `data/` and the default system message: what the tiny base may be asked to read or write.

    Not the messy export in `data/raw`, which no model is trained on.
    """
    paths = [p for kind in ("*.jsonl", "*.txt", "*.json") for p in (root / "data").rglob(kind)]
    paths = [p for p in paths if not {"models", "raw"} & set(p.relative_to(root).parts)]
    return [DEFAULT_SYSTEM, *(p.read_text(encoding="utf-8") for p in sorted(paths))]
