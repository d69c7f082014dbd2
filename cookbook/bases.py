"""Keep one card for each base model: source, sizes, and which corpus and measures suit it.

    installed()            the bases that the embedded service can tune here, the preferred first
    find(base_id)          one of them
    card(base_id, client)  what is known of any base, with the speed that the service measured
    offered(client)        the names that can be tuned there

The tiny base is in `data/models/`. Any other Qwen2.5-style checkpoint is chosen with
`COOKBOOK_BASE_MODEL`, by folder or hub name; of a hub, it is found where `python -m cookbook pull`
or the hub's own tools have put it. Read by helpers and service alike; loading the weights is the
engine's work. Sizes of models are in `shapes`.
"""

import contextlib
import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cookbook import environment, shapes, siliconcloud
from cookbook.errors import ArgumentError, BaseAway
from cookbook.hubs import cache, names, ready
from cookbook.i18n import tr
from cookbook.machine import CPU, Machine
from cookbook.paths import DATA
from cookbook.shapes import Shape

if TYPE_CHECKING:
    from openai import OpenAI

LOCAL = "local:"
"""Before the name of a base that is on no hub; hubs allow no colon in a name."""

CORPUS = "train.jsonl"
"""The course's corpus for real models, in `data/zhishuoxinyu`."""

TEACHING_CORPUS = "train_tiny.jsonl"
"""The course's corpus of sentence patterns, for bases that are too small to learn more."""

EVAL_WORDS, FEW_EVAL_WORDS = 60, 20
"""How many words the course asks of each model, and how many where 60 may take half an hour."""

TEACHING_MEASURES = ("relevant", "other_word", "pattern_ok", "fluent")
"""Measures of `zhishuo` that compare with that corpus and the lexicon: no other base knows them."""


@dataclass(frozen=True)
class Base:
    """A base model's card.

    Attributes:
        id: its public name, as the API lists it.
        source: the folder that its weights are loaded from; its name, as long as it was not
            downloaded from its hub.
        learning_rate_scale: what the service multiplies a learning rate by. The guide's 0.0001 is
            meant for billions of parameters; the tiny base needs more to learn the same in the same
            number of steps.
        corpus: the file in `data/zhishuoxinyu` that suits it: the tiny base can learn a pattern,
            not wit. A base that nothing else is known of gets the one for real models.
        shape: its sizes; None where they are not known.
        parameters: weights of the base; None where they are not known.
        parameters_per_rank: weights that an adapter trains for each unit of its rank; None where
            not known.
        tokens_per_second: training speed that a service measured; None before the first job.
        eval_words: how many words the course asks of each model.
        hub: the hub in whose cache the folder is; empty for any other.
        machine: where a service trains it, as it was when it was asked; None without a service.
        trains_elsewhere: whether nothing is known of it: that of a platform, or of a cluster.
    """

    id: str
    source: str
    learning_rate_scale: float = 1.0
    corpus: str = CORPUS
    shape: Shape | None = None
    parameters: int | None = None
    parameters_per_rank: int | None = None
    tokens_per_second: float | None = None
    hub: str = ""
    eval_words: int = EVAL_WORDS
    machine: Machine | None = field(default=None, compare=False)
    trains_elsewhere: bool = field(default=False, compare=False)

    @property
    def learns_patterns(self) -> bool:
        """Return whether the course teaches it sentence patterns: it is tiny, not a real model."""
        return self.corpus == TEACHING_CORPUS

    @property
    def measures(self) -> tuple[str, ...]:
        """Return the measures of `zhishuo` that suit it, beside those that suit any model."""
        return TEACHING_MEASURES if self.learns_patterns else ()

    @property
    def style_measure(self) -> str:
        """Return the measure of `zhishuo` that shows best whether it has learned the style."""
        return "pattern_ok" if self.learns_patterns else "similarity"

    @property
    def note(self) -> str:
        """Return in a line which corpus and which measures the course takes for it."""
        if self.learns_patterns:
            return tr(
                f"{self.id} 是教学用的小模型：训练用 {self.corpus}，各项指标都量",
                f"{self.id} is a small teaching model: it is trained on {self.corpus}, "
                "and every measure applies",
            )
        left_out = TEACHING_MEASURES
        return tr(
            f"{self.id} 是真模型：训练用 {self.corpus}，评测用前 {self.eval_words} 个词；"
            f"不量 {'、'.join(left_out)}，它们只适合教学用的小模型（“看点”说的也是它的结果）",
            f"{self.id} is a real model: it is trained on {self.corpus} and evaluated on the first "
            f"{self.eval_words} words; {', '.join(left_out)} are not measured, since they suit "
            "only the small teaching model (whose results “What to notice” describes, too)",
        )

    @property
    def on_hub(self) -> bool:
        """Return whether its name is one on a hub."""
        return self.hub != "" or self.is_missing

    @property
    def is_missing(self) -> bool:
        """Return whether its weights must still be downloaded."""
        return self.source == self.id

    @property
    def is_shipped(self) -> bool:
        """Return whether it is one of the project's own."""
        return Path(self.source).parent == DATA / "models"

    @property
    def folder_name(self) -> str:
        """The name of its folder; only for a base that is loaded from one."""
        return Path(self.source).name

    @property
    def reference(self) -> str:
        """Return how an adapter names its base.

        A base that was loaded from a folder gets a name that no hub allows: anybody could register
        its plain one there, and PEFT would load what they put under it.
        """
        return self.id if self.on_hub else LOCAL + self.id

    def adapter_parameters(self, rank: int) -> int | None:
        """Return how many weights an adapter of this rank trains."""
        return None if self.parameters_per_rank is None else self.parameters_per_rank * rank

    def adapter_share(self, rank: int) -> float | None:
        """Return the same as a share of the base's weights."""
        trained = self.adapter_parameters(rank)
        return None if trained is None or not self.parameters else trained / self.parameters


def chosen() -> str | None:
    """Return what `COOKBOOK_BASE_MODEL` names: the whole path of a folder, a hub name, or None."""
    given = environment.value_of("COOKBOOK_BASE_MODEL", os.environ)
    if not given:
        return None
    folder = os.path.expanduser(given)
    if os.path.isdir(folder):
        return str(Path(folder).resolve())
    # As people paste it, such as the address of the model's page.
    with contextlib.suppress(ArgumentError):
        return names.read(given).id
    return given


def known_names() -> list[str]:
    """Return the names of the bases whose sizes are known without their files."""
    return list(shapes.PUBLISHED)


def installed() -> list[Base]:
    """Return the bases that this machine can tune, that of `COOKBOOK_BASE_MODEL` first."""
    cards = sorted((DATA / "models").glob("*/cookbook.json"))
    shipped = [_in_folder(path.parent) for path in cards]
    setting = chosen()
    if setting is None:
        return shipped
    if not os.path.isdir(setting):
        return [_of_hub(setting), *shipped]
    folder = Path(setting)
    # The root of a disk has no name.
    return [_in_folder(folder, name=folder.name or setting), *shipped]


def _of_hub(name: str) -> Base:
    """Return the card of a base on a hub, with the folder of its weights once they are there."""
    found = cache.find(name)
    if found is None or found.unfinished:
        return _published(name)
    return dataclasses.replace(_in_folder(found.folder, name=name), hub=found.hub)


def downloaded(base: Base) -> Base:
    """Return the base with the folder that its weights are in, which may be newer than its card.

    Raises:
        BaseAway: it must be downloaded first.
    """
    if not base.is_missing:
        return base
    now = _of_hub(base.id)
    if now.is_missing:
        raise ready.not_there(base.id, cache.find(base.id))
    return dataclasses.replace(base, source=now.source, hub=now.hub)


def find(base_id: str) -> Base:
    """Return the installed base of that name.

    Raises:
        BaseAway: there is none, since `COOKBOOK_BASE_MODEL` has changed.
    """
    for base in installed():
        if base.id == base_id:
            return base
    raise BaseAway(
        zh=f"基础模型 {base_id} 不在了：把 COOKBOOK_BASE_MODEL 设回原来的值，再重启服务",
        en=f"the base model {base_id} is gone: set COOKBOOK_BASE_MODEL as it was "
        "and restart the service",
    )


def referred(reference: str) -> str:
    """Return the id of the base that an adapter's `base_model_name_or_path` names."""
    return reference.removeprefix(LOCAL)


def offered(client: "OpenAI | None" = None) -> list[str]:
    """Return the names that can be tuned: what the service lists, tuned models left out.

    SiliconCloud lists every model that it has but not which can be tuned, so there, and without a
    client, the names are those of its guide (`siliconcloud.BASES`).
    """
    if client is None or siliconcloud.is_siliconcloud(client):
        return list(siliconcloud.BASES)
    names = [model.id for model in client.models.list()]
    return [name for name in names if not name.startswith("ft:")]


def card(base_id: str, client: "OpenAI | None" = None) -> Base:
    """Return what is known of a base: its sizes, and the speed of its newest finished job.

    Nothing is made up: of an unknown base only its name is known, and what the service says of it.
    """
    here = next((base for base in installed() if base.id == base_id), None)
    known = here or _published(base_id)
    # No public route of the platform lists jobs.
    if client is not None and siliconcloud.is_siliconcloud(client):
        return dataclasses.replace(known, trains_elsewhere=True)
    if client is None:
        # Its own bases are too large for most machines; who trains one here has chosen it.
        elsewhere = here is None and base_id in siliconcloud.BASES
        return dataclasses.replace(known, trains_elsewhere=elsewhere)
    known = _told(client, known)
    for job in _jobs(client):
        if job.status == "succeeded" and job.model == base_id:
            return _measured(client, job, known)
    return known


def _jobs(client: "OpenAI") -> list[Any]:
    """Return the newest jobs, the newest first; none of a server that only answers."""
    import openai

    try:
        return client.fine_tuning.jobs.list(limit=100).data
    except openai.NotFoundError:
        return []


def _published(base_id: str) -> Base:
    return Base(base_id, source=base_id, **_known(shapes.published(base_id)))


def _known(shape: Shape | None) -> dict[str, Any]:
    """Return what a card says of sizes."""
    if shape is None:
        return {}
    return {
        "shape": shape,
        "parameters": shape.parameters,
        "parameters_per_rank": shape.parameters_per_rank,
    }


def _in_folder(folder: Path, name: str | None = None) -> Base:
    """Return the card of a checkpoint folder. `tools/tiny_base` writes the cookbook.json."""
    own = _read(folder / "cookbook.json")
    config = _read(folder / "config.json")
    return Base(
        id=name or own["id"],
        source=str(folder),
        learning_rate_scale=own.get("learning_rate_scale", 1.0),
        corpus=own.get("corpus", CORPUS),
        **_known(Shape.of(config)),
    )


def _read(path: Path) -> dict[str, Any]:
    """Return what a card can be made of; what is wrong with a file is said where it is loaded."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _told(client: "OpenAI", known: Base) -> Base:
    """Add what the service says of the base, whose folder may be on another machine."""
    import openai

    try:
        model = client.models.retrieve(known.id)
    except openai.NotFoundError:
        return known
    sizes = getattr(model, "config", None)
    if isinstance(sizes, dict) and (shape := Shape.of(sizes)):
        known = dataclasses.replace(known, **_known(shape))
    where = Machine.of_dict(getattr(model, "machine", None))
    # A service that trains on a cluster may not know yet what its nodes are: not this machine.
    elsewhere = where is None and hasattr(model, "machine")
    known = dataclasses.replace(known, machine=where, trains_elsewhere=elsewhere)
    corpus = getattr(model, "corpus", None)
    # It becomes a path, and the file is uploaded: another name is not believed.
    if corpus in (CORPUS, TEACHING_CORPUS):
        known = dataclasses.replace(known, corpus=corpus)
    if known.learns_patterns or where is None or where.device != CPU:
        return known
    # A real base on a processor answers a few words a minute.
    return dataclasses.replace(known, eval_words=FEW_EVAL_WORDS)


def _measured(client: "OpenAI", job: Any, known: Base) -> Base:
    """Add the job's speed at its end, and its weights where no configuration gave them."""
    # Newest first; further pages come by themselves.
    for event in client.fine_tuning.jobs.list_events(job.id, limit=1000):
        data: dict[str, Any] = event.data if isinstance(event.data, dict) else {}
        if known.tokens_per_second is None and event.type == "metrics":
            known = dataclasses.replace(known, tokens_per_second=data["tokens_per_second"])
        if known.parameters is None and "adapter_parameters" in data:
            trained, rank = data["adapter_parameters"], job.hyperparameters.lora_rank
            known = dataclasses.replace(
                known, parameters=data["parameters"], parameters_per_rank=trained // rank
            )
        if known.parameters and known.tokens_per_second:
            break
    return known
