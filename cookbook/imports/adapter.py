"""Read all of an adapter from elsewhere but its weights, and check that they belong together.

adapter = read_adapter(source, base)      raises AdapterError, with nothing written anywhere
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PureWindowsPath

from cookbook.adapter_settings import CARD, CONFIG, RECORD, WEIGHTS
from cookbook.bases import Base
from cookbook.errors import AdapterError
from cookbook.exports.facts import Facts
from cookbook.imports.fit import find_base
from cookbook.imports.settings import Settings, read_settings
from cookbook.imports.source import Source
from cookbook.imports.weights import Header, Pair, read_header
from cookbook.quoted import one_line

_LONGEST_TEXT = 2**20  # bytes of settings, a card or a record; the longest known has thousands


@dataclass(frozen=True)
class Adapter:
    """What is known of an adapter before its weights are read.

    Attributes:
        base: the installed base that it is for.
        pairs: A and B of each of its layers, by the base's names.
        facts: what its folder tells of it; None where it tells nothing.
        card: its README.md; None where it has none that can be read, or that names a folder.
        left_out: the names in its folder that are not taken.
    """

    settings: Settings
    header: Header
    pairs: Mapping[str, Pair]
    base: Base
    facts: Facts | None
    card: str | None
    left_out: tuple[str, ...]


def read_adapter(source: Source, base: str | None) -> Adapter:
    """Return what a source holds; `base` is the base that the reader names, if any.

    Raises:
        AdapterError: it is not an adapter that can be used here.
        BaseAway: its base must be downloaded first.
        ArgumentError: `base` is not installed.
    """
    settings = read_settings(_text_file(source, CONFIG))
    with source.open(WEIGHTS) as file:
        header = read_header(file, source.size(WEIGHTS))
    pairs = header.layers()
    found = find_base(settings, pairs, base)
    card, told = _card(source, settings.base), _facts(source)
    taken = {CONFIG, WEIGHTS}
    if card is not None:
        taken.add(CARD)
    if told is not None:
        taken.add(RECORD)
    left_out = tuple(one_line(name) for name in source.names if name not in taken)
    return Adapter(settings, header, pairs, found, told, card, left_out)


def _card(source: Source, base: str) -> str | None:
    """Return the card; `base` is the base's name or folder, as the settings have it."""
    if CARD not in source.names:
        return None
    try:
        text = _text_file(source, CARD).decode("utf-8-sig")
    except (AdapterError, UnicodeDecodeError):
        return None
    # PEFT and other tools write a form to fill in, with the base's folder on that machine: nothing
    # to hand on.
    is_folder = PureWindowsPath(base).anchor != ""
    return None if is_folder and base in text else text


def _facts(source: Source) -> Facts | None:
    """Return what an export of ours tells of the model; from anybody else it is not needed."""
    if RECORD not in source.names:
        return None
    try:
        return Facts.of_dict(json.loads(_text_file(source, RECORD)))
    except (AdapterError, AttributeError, RecursionError, ValueError):
        return None


def _text_file(source: Source, name: str) -> bytes:
    """Return a small file.

    Raises:
        AdapterError: it is too large to be what it is called.
    """
    # A zip may say that it is small, and go on.
    with source.open(name) as file:
        content = file.read(_LONGEST_TEXT + 1)
    if len(content) > _LONGEST_TEXT:
        raise AdapterError(
            zh=f"{name} 超过 {_LONGEST_TEXT:,} 字节，不像它该有的内容：检查文件",
            en=f"{name} has more than {_LONGEST_TEXT:,} bytes, which it should not: check the file",
        )
    return content
