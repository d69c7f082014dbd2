"""Read a base's tokenizer for a GGUF file, which holds it whole: tokens, merges, kinds, end tokens.

    vocabulary = read(folder, size)

Byte-level BPE alone, as Qwen's and Llama 3's: a GGUF names how texts are cut into words by a word
that llama.cpp knows (`PRE_TOKENIZERS`), and a tokenizer that cuts in another way is refused, since
llama.cpp would read other tokens without a word. llama.cpp does not normalize Unicode (NFC), which
Qwen's tokenizer does: texts from keyboards and web pages are normalized mostly.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cookbook.base_files.files import read_json

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PRE_TOKENIZERS = {
    (_WORDS % r"\p{N}", False): "qwen2",
    (_WORDS % r"\p{N}{1,3}", True): "llama-bpe",
}
"""llama.cpp's name by the pattern of the words, and by whether a word that is a token itself is
taken without its merges (`ignore_merges`): for each name llama.cpp does it in one way."""

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Kinds of tokens, as `gguf.TokenType` numbers them."""


class UnknownTokenizer(Exception):
    """llama.cpp would cut texts in another way; the text names what is not known."""


@dataclass(frozen=True)
class Vocabulary:
    """What a GGUF file has of a tokenizer; `kinds` are of the tokens.

    `eos` ends a text, `eot` a turn, where the two are not the same; both end an answer.
    """

    pre: str
    tokens: list[str] = field(repr=False)
    kinds: list[int] = field(repr=False)
    merges: list[str] = field(repr=False)
    bos: int | None
    eos: int | None
    eot: int | None
    pad: int | None
    adds_bos: bool
    template: str = field(repr=False)

    @property
    def ends(self) -> list[str]:
        """The texts of the tokens that end an answer."""
        numbers = dict.fromkeys([self.eot, self.eos])
        return [self.tokens[number] for number in numbers if number is not None]


def read(folder: Path, size: int) -> Vocabulary:
    """Return the vocabulary of a base's folder, with as many tokens as its embedding has rows.

    Raises:
        UnknownTokenizer: llama.cpp has no name for it.
    """
    tokenizer = _tokenizer(folder)
    path = folder / "tokenizer_config.json"
    settings = read_json(path) or {}
    # One that is damaged is read as empty: the file would lack its end token without a word.
    if not settings and path.is_file():
        raise UnknownTokenizer(path.name)
    model = tokenizer["model"]
    added = {token["id"]: token for token in tokenizer.get("added_tokens") or ()}
    texts = {number: text for text, number in model["vocab"].items()}
    texts |= {number: token["content"] for number, token in added.items()}
    if max(texts, default=0) >= size:
        raise UnknownTokenizer(f"{max(texts)} >= {size}")
    numbers = {text: number for number, text in texts.items()}
    # A vocabulary may be padded with tokens that no text has.
    tokens = [texts.get(number, f"[PAD{number}]") for number in range(size)]
    first = _special(settings.get("bos_token"), numbers)
    ends = _ends(folder, settings, numbers)
    return Vocabulary(
        pre=_pre_tokenizer(tokenizer),
        tokens=tokens,
        kinds=[_kind(number, texts, added) for number in range(size)],
        merges=[pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]],
        bos=first,
        eos=ends[0] if ends else None,
        eot=ends[1] if len(ends) > 1 else None,
        pad=_special(settings.get("pad_token"), numbers),
        adds_bos=first is not None and _adds_bos(tokenizer, settings, tokens[first]),
        template=template_of(folder),
    )


def template_of(folder: Path) -> str:
    """Return a base's chat template, which is in a file of its own or among the settings."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    own = (read_json(folder / "tokenizer_config.json") or {}).get("chat_template")
    # A list has one for each purpose.
    for one in own if isinstance(own, list) else ():
        if isinstance(one, dict) and one.get("name") == "default":
            own = one.get("template")
    return own if isinstance(own, str) else ""


def _tokenizer(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        model = found["model"]
        kind = model.get("type")
        if kind not in ("BPE", None) or model.get("byte_fallback") or not _is_byte_level(found):
            raise UnknownTokenizer(f"{kind}, sentencepiece")
        if not isinstance(model["vocab"], dict) or not isinstance(model["merges"], list):
            raise UnknownTokenizer("tokenizer.json")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnknownTokenizer("tokenizer.json") from error
    return found


def _is_byte_level(tokenizer: dict[str, Any]) -> bool:
    return (tokenizer.get("decoder") or {}).get("type") == "ByteLevel"


def _pre_tokenizer(tokenizer: dict[str, Any]) -> str:
    """Return llama.cpp's name of how texts are cut into words."""
    steps = tokenizer.get("pre_tokenizer") or {}
    parts = steps.get("pretokenizers") or [steps]
    patterns = [part["pattern"].get("Regex") for part in parts if part.get("type") == "Split"]
    ignores = bool(tokenizer["model"].get("ignore_merges"))
    kinds = [part.get("type") for part in parts]
    known = PRE_TOKENIZERS.get((patterns[0], ignores)) if len(patterns) == 1 else None
    if known is None or kinds != ["Split", "ByteLevel"] or parts[1].get("use_regex"):
        raise UnknownTokenizer(f"pre_tokenizer {patterns!r:.80}, ignore_merges {ignores}")
    return known


def _kind(number: int, texts: dict[int, str], added: dict[int, Any]) -> int:
    if number not in texts:
        return UNUSED
    if number not in added:
        return NORMAL
    return CONTROL if added[number].get("special") else USER_DEFINED


def _special(token: Any, numbers: dict[str, int]) -> int | None:
    """Return the number of a token that the settings name, alone or with its properties."""
    text = token.get("content") if isinstance(token, dict) else token
    return numbers.get(text) if isinstance(text, str) else None


def _ends(folder: Path, settings: dict[str, Any], numbers: dict[str, int]) -> list[int]:
    """Return the tokens that end an answer, the tokenizer's own first."""
    found = [_special(settings.get("eos_token"), numbers)]
    for name in ("generation_config.json", "config.json"):
        ids = (read_json(folder / name) or {}).get("eos_token_id")
        found += ids if isinstance(ids, list) else [ids]
    whole = [number for number in found if type(number) is int and number in numbers.values()]
    return list(dict.fromkeys(whole))


def _adds_bos(tokenizer: dict[str, Any], settings: dict[str, Any], bos: str) -> bool:
    """Return whether the tokenizer writes its first token before every text."""
    processor = tokenizer.get("post_processor") or {}
    for step in processor.get("processors") or [processor]:
        if step.get("type") == "TemplateProcessing":
            begins = [part.get("SpecialToken") for part in step.get("single") or ()]
            return any(one is not None and one.get("id") == bos for one in begins[:1])
    return bool(settings.get("add_bos_token"))
