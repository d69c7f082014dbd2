"""Cut Qwen2.5's vocabulary down to what given texts need, as a `tokenizers` fast tokenizer.

The full rank file (`data/qwen2.5.tiktoken`) has 151,643 byte-level BPE tokens; a tiny model cannot
afford an embedding for each. Kept are all 256 single bytes (so that any text can still be written),
every token that occurs in the texts, and every token that a merge passes through on the way there.

Byte-level BPE applies merges in the order of their rank. All merges that fire on these texts are
kept, and no other can fire before them, so the cut vocabulary splits the texts exactly as the full
one does. `tests/service/test_tokens.py` checks that on every corpus. Ids are renumbered in the
order of the original rank.
"""

from itertools import pairwise
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

from cookbook import chatml
from cookbook.tokens import PATTERN, encoding

Ranks = dict[bytes, int]  # token -> rank; merges are applied in this order

SINGLE_BYTES = [bytes([value]) for value in range(256)]
# The folders of `data/` that the tiny base does not have to read.
LEFT_OUT = {"models", "raw"}


def make_tokenizer(texts: list[str] | None) -> PreTrainedTokenizerFast:
    """Return a tokenizer with Qwen2.5's splits on `texts`, or on everything if `texts` is None.

    It has Qwen2.5's special tokens, and the course's chat template.
    """
    ranks = encoding()._mergeable_ranks
    tokens = list(ranks) if texts is None else _needed(texts, ranks)
    vocabulary = {}
    merges = []
    for number, token in enumerate(tokens):
        vocabulary[_spell(token)] = number
        if len(token) > 1:
            left, right = _halves(token, ranks)
            merges.append((_spell(left), _spell(right)))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_core(vocabulary, merges),
        eos_token=chatml.END,
        pad_token=chatml.SPECIAL_TOKENS[0],
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = chatml.TEMPLATE
    return tokenizer


def corpus_texts(root: Path) -> list[str]:
    """Return every text below `data/`, and the default system message.

    This is what the tiny base may be asked to read or write. The messy export in `data/raw` is left
    out, since no model is trained on it.
    """
    paths: list[Path] = []
    for pattern in ("*.jsonl", "*.txt", "*.json"):
        paths += (root / "data").rglob(pattern)
    texts = [chatml.DEFAULT_SYSTEM]
    for path in sorted(paths):
        folders = path.relative_to(root).parts
        if LEFT_OUT.isdisjoint(folders):
            texts.append(path.read_text(encoding="utf-8"))
    return texts


def _needed(texts: list[str], ranks: Ranks) -> list[bytes]:
    """Return the tokens that the texts need, in the order of their rank."""
    full = encoding()
    numbers: set[int] = set()
    for text in texts:
        numbers.update(full.encode_ordinary(text))
    waiting = [full.decode_single_token_bytes(number) for number in numbers]
    needed = set(SINGLE_BYTES)
    # A token needs the two that it is merged from, those need theirs, and so on down to bytes.
    while waiting:
        token = waiting.pop()
        if token not in needed:
            needed.add(token)
            waiting += _halves(token, ranks)
    return sorted(needed, key=ranks.__getitem__)


def _halves(token: bytes, ranks: Ranks) -> tuple[bytes, bytes]:
    """Return the two tokens whose merge makes `token`: BPE, stopped before the last merge."""
    parts = [SINGLE_BYTES[value] for value in token]
    never = len(ranks)  # later than every merge there is
    while len(parts) > 2:
        # The pair with the lowest rank is merged first; the leftmost of equals.
        pairs = [left + right for left, right in pairwise(parts)]
        order = [ranks.get(pair, never) for pair in pairs]
        first = order.index(min(order))
        parts[first : first + 2] = [pairs[first]]
    return parts[0], parts[1]


def _letters() -> list[str]:
    """Return the printable letter for each byte in a byte-level BPE vocabulary, as GPT-2 has it."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    # The others take the characters after the bytes', in turn.
    unused = iter(range(256, 512))
    letters = []
    for value in range(256):
        code = value if value in printable else next(unused)
        letters.append(chr(code))
    return letters


LETTERS = _letters()


def _spell(token: bytes) -> str:
    return "".join(LETTERS[value] for value in token)


def _core(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """Return the BPE model with Qwen2.5's normalizer and its cut into words."""
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    core.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")
    to_bytes = ByteLevel(add_prefix_space=False, use_regex=False)
    core.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    core.decoder = decoders.ByteLevel()
    special = [AddedToken(t, normalized=False, special=True) for t in chatml.SPECIAL_TOKENS]
    core.add_special_tokens(special)
    return core
