"""Write the files of an export, in one of the forms, into a folder that is empty.

    writing = Writing(found, "gguf", "q8_0", part, progress=True)
    notes = writing.run()          what the reader should know; `writing.files` and `.base` are set

The model and its base are only read. `take_home.py` moves the folder into place, or removes it.
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cookbook import adapter_settings, disk
from cookbook.adapter_settings import CARD, CONFIG, RECORD
from cookbook.base_files import read_json
from cookbook.bases import Base
from cookbook.errors import DiskFull, ModelError
from cookbook.exports import adapter, base, gguf_file, merge, modelfile, source
from cookbook.exports.calls import Files
from cookbook.exports.card import card
from cookbook.exports.licence import licence_of
from cookbook.exports.source import Source
from cookbook.exports.vocabulary import Vocabulary
from cookbook.hubs import room

MODELFILE = "Modelfile"

_COPIED = ("config.json", "generation_config.json", *source.TOKENIZER, "LICENSE", "LICENSE.txt")
"""Files of a base that a merged model has, too."""

_PATHS = frozenset({"name_or_path", "special_tokens_map_file", "tokenizer_file", "vocab_file"})
"""Settings of a tokenizer that name files, of the machine on which it was saved."""

_RESERVE = 64 * 2**20  # bytes that stay free


class Writing:
    """One export: `run` fills the folder `part`."""

    def __init__(self, found: Source, form: str, kind: str, part: Path, progress: bool):
        self.found, self.facts = found, found.facts
        self.form, self.kind, self.part = form, kind, part
        self.progress = progress
        self.base = Base(self.facts.base, source="")
        self.files = Files()

    def run(self) -> list[str]:
        """Write all files; return what the reader should know."""
        config = adapter.config_of(self.found.folder, self.facts.model)
        reference = str(config.get("base_model_name_or_path") or "")
        if not self.facts.base:
            raise ModelError(
                zh=f"模型 {self.facts.model} 没有说明基础模型是哪个",
                en=f"the model {self.facts.model} does not say which base it belongs to",
            )
        self.files = Files(rank=adapter_settings.rank(config) or 0)
        if self.form == "peft":
            notes = self._peft(config, reference)
        else:
            notes = self._merged_with_base(reference)
        text = card(self.facts, self.base, self.form, self.files)
        (self.part / CARD).write_text(text, encoding="utf-8")
        return notes

    def _peft(self, config: dict[str, Any], reference: str) -> list[str]:
        """Copy the adapter, with what is known of it for the service that imports it."""
        name = self.facts.model
        adapter.check_weights(self.found.folder, name)
        self.base = base.named(self.facts, reference)
        self._check_room(disk.used(self.found.folder))
        _copy(self.found.folder, self.part, source.ADAPTER)
        _drop_paths(self.part)
        # Some tools write a path of their own machine there.
        config = config | {"base_model_name_or_path": self.base.reference}
        _write_json(self.part / CONFIG, config)
        _write_json(self.part / RECORD, self.facts.to_dict())
        has_tokenizer = (self.part / "tokenizer.json").is_file()
        self.files = replace(self.files, has_tokenizer=has_tokenizer)
        return []

    def _merged_with_base(self, reference: str) -> list[str]:
        name = self.facts.model
        self.base = base.needed(self.facts, reference)
        weights = merge.Weights(Path(self.base.source))
        config = json.loads((weights.folder / "config.json").read_text(encoding="utf-8"))
        words = None
        if self.form != "merged":
            words = gguf_file.check(weights.folder, config, self.base.id)
        lora = adapter.read(self.found.folder, name)
        merge.check(weights, lora, name=name, base_id=self.base.id)
        if words is None:
            self._check_room(weights.bytes)
            with self._bar(weights.bytes) as show:
                merge.write(weights, lora, self.part, name=name, show=show)
            _copy(weights.folder, self.part, _COPIED)
            _drop_paths(self.part)
            # Some tools write a path of their own machine there.
            config.pop("_name_or_path", None)
            _write_json(self.part / "config.json", config)
            return []
        file = f"{self.facts.name}-{self.kind}.gguf"
        self.files = replace(self.files, weights=file, kind=self.kind)
        size = gguf_file.size_of(weights, self.kind)
        self._check_room(size)
        licence = licence_of(self.base)
        with self._bar(size) as show:
            gguf_file.write(
                weights,
                lora,
                self.part / file,
                kind=self.kind,
                name=self.facts.title or self.facts.name,
                licence=licence.name if licence else None,
                words=words,
                show=show,
            )
        return self._modelfile(words) if self.form == "ollama" else []

    def _modelfile(self, words: Vocabulary) -> list[str]:
        layout = _layout(self.base, words)
        prompt = self.facts.system_prompt
        text, notes = modelfile.modelfile(self.files.weights, words, layout, prompt)
        (self.part / MODELFILE).write_text(text, encoding="utf-8")
        return notes

    def _check_room(self, needed: int) -> None:
        if needed + _RESERVE > room.free(self.part):
            raise full(self.part, needed)

    @contextlib.contextmanager
    def _bar(self, total: int) -> Iterator[merge.Show]:
        from tqdm import tqdm

        # Without a terminal, a bar would be a long line in a log. None: by the stream.
        disable = None if self.progress else True
        with tqdm(
            total=total, unit="B", unit_scale=True, unit_divisor=1024, disable=disable
        ) as bar:
            yield bar.update


def _layout(base: Base, words: Vocabulary) -> Callable[[Any, bool], str]:
    """Return the chat template of a base, as a function; one that never ends is refused."""
    # Only now: the service's parts are not needed by the other forms.
    from transformers import AutoTokenizer

    from cookbook.service.engine import template

    template.probe(base.id, words.template)
    tokenizer = AutoTokenizer.from_pretrained(base.source, trust_remote_code=False)

    def lay_out(messages: Any, opened: bool) -> str:
        text: str = tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=opened
        )
        return text

    return lay_out


def _copy(folder: Path, target: Path, names: tuple[str, ...]) -> None:
    """Copy those of these files that are there."""
    for name in names:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)


def _drop_paths(folder: Path) -> None:
    """Take out of a tokenizer's settings what older tools have written of their own machine."""
    path = folder / "tokenizer_config.json"
    found = read_json(path) or {}
    if not _PATHS.isdisjoint(found):
        _write_json(path, {name: one for name, one in found.items() if name not in _PATHS})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def full(target: Path, missing: int) -> DiskFull:
    free = room.size(room.free(target.parent))
    needs_zh = f"要 {room.size(missing)}，" if missing else ""
    needs_en = f"{room.size(missing)} are needed, " if missing else ""
    return DiskFull(
        zh=f"磁盘空间不够，没有导出：{needs_zh}{target.parent} 所在的磁盘只剩 {free}。"
        "腾出空间，或换一个地方",
        en=f"not enough room on the disk, nothing was exported: {needs_en}the disk of "
        f"{target.parent} has {free} free. Make room, or choose another place",
    )
