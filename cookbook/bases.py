"""Keep one card for each base model: source, sizes, learning-rate scale, a corpus that suits it.

    installed()            the bases that the embedded service can tune here, the preferred first
    find(base_id)          one of them
    card(base_id, client)  what is known of any base, with the speed that the service measured
    offered(client)        the names that can be tuned there

The tiny base is in `data/models/`. Any other Qwen2.5-style checkpoint is chosen with
`COOKBOOK_BASE_MODEL`, by folder or hub name. Read by helpers and service alike; loading the weights
is the engine's work.

A LoRA adapter of rank r trains r × (in + out) weights beside each linear layer. The embedded
service puts one beside every linear layer of the body; which layers SiliconCloud trains is not
documented.
"""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cookbook import siliconcloud
from cookbook.errors import BaseAway
from cookbook.paths import DATA

if TYPE_CHECKING:
    from openai import OpenAI

LOCAL = "local:"
"""Before the name of a base that is on no hub; hubs allow no colon in a name."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder, from its config.json; memory and speed follow from them.

    Attributes:
        head_dim: width of one attention head; mostly hidden_size / num_attention_heads.
        tied: whether embedding and output head share one matrix.
    """

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    tied: bool = False
    attention_bias: bool = True

    @classmethod
    def of(cls, config: dict[str, Any]) -> "Shape | None":
        """Return the sizes in a config.json; None where it is not a plain decoder's."""
        if not all(isinstance(config.get(name), int) for name in _SIZES):
            return None
        # A mixture of experts has more weights than these sizes say.
        if any("expert" in name for name in config):
            return None
        values = {name: config[name] for name in _SIZES}
        width, heads = config["hidden_size"], config["num_attention_heads"]
        return cls(
            **values,
            head_dim=config.get("head_dim") or width // heads,
            tied=bool(config.get("tie_word_embeddings")),
            attention_bias=bool(config.get("attention_bias", config.get("model_type") == "qwen2")),
        )

    @property
    def linear(self) -> list[tuple[int, int]]:
        """Return (inputs, outputs) of each linear layer of a decoder layer."""
        width, inner = self.hidden_size, self.intermediate_size
        query = self.num_attention_heads * self.head_dim
        key = self.num_key_value_heads * self.head_dim
        attention = [(width, query), (width, key), (width, key), (query, width)]
        return [*attention, (width, inner), (width, inner), (inner, width)]

    @property
    def embeddings(self) -> int:
        """Return the weights of embedding and head together."""
        return self.vocab_size * self.hidden_size * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """Return the weights of the base."""
        width = self.hidden_size
        weights = sum(n_in * n_out for n_in, n_out in self.linear)
        key = self.num_key_value_heads * self.head_dim
        query = self.num_attention_heads * self.head_dim
        biases = query + 2 * key if self.attention_bias else 0
        norms = 2 * width
        return self.num_hidden_layers * (weights + biases + norms) + width + self.embeddings

    @property
    def parameters_per_rank(self) -> int:
        """Return the weights that an adapter trains for each unit of its rank."""
        return self.num_hidden_layers * sum(n_in + n_out for n_in, n_out in self.linear)


_SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
)
# From the published config.json of each, in the order of `_SIZES`, and whether it ties embeddings.
_PUBLISHED = {
    "Qwen/Qwen2.5-0.5B-Instruct": (896, 4864, 24, 14, 2, 151936, True),
    "Qwen/Qwen2.5-1.5B-Instruct": (1536, 8960, 28, 12, 2, 151936, True),
    "Qwen/Qwen2.5-3B-Instruct": (2048, 11008, 36, 16, 2, 151936, True),
    "Qwen/Qwen2.5-7B-Instruct": (3584, 18944, 28, 28, 4, 152064, False),
    "Qwen/Qwen2.5-14B-Instruct": (5120, 13824, 48, 40, 8, 152064, False),
    "Qwen/Qwen2.5-32B-Instruct": (5120, 27648, 64, 40, 8, 152064, False),
    "Qwen/Qwen2.5-72B-Instruct": (8192, 29568, 80, 64, 8, 152064, False),
}


@dataclass(frozen=True)
class Base:
    """A base model's card.

    Attributes:
        id: its public name, as the API lists it.
        source: the folder or hub name that its weights are loaded from.
        learning_rate_scale: what the service multiplies a learning rate by. The guide's 0.0001 is
            meant for billions of parameters; the tiny base needs more to learn the same in the same
            number of steps.
        corpus: the file in `data/zhishuoxinyu` that suits it: the tiny base can learn a pattern,
            not wit.
        shape: its sizes; None where they are not known.
        parameters: weights of the base; None where they are not known.
        parameters_per_rank: weights that an adapter trains for each unit of its rank; None where
            not known.
        tokens_per_second: training speed that a service measured; None before the first job.
    """

    id: str
    source: str
    learning_rate_scale: float = 1.0
    corpus: str = "train.jsonl"
    shape: Shape | None = None
    parameters: int | None = None
    parameters_per_rank: int | None = None
    tokens_per_second: float | None = None

    @property
    def on_hub(self) -> bool:
        """Return whether it is loaded by its name on a hub, and not from a folder."""
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
    given = os.environ.get("COOKBOOK_BASE_MODEL")
    if not given:
        return None
    folder = Path(given).expanduser()
    return str(folder.resolve()) if folder.is_dir() else given


def installed() -> list[Base]:
    """Return the bases that this machine can tune, that of `COOKBOOK_BASE_MODEL` first."""
    cards = sorted((DATA / "models").glob("*/cookbook.json"))
    shipped = [_in_folder(path.parent) for path in cards]
    chosen = os.environ.get("COOKBOOK_BASE_MODEL")
    if not chosen:
        return shipped
    # A folder or the name on a hub, as `from_pretrained` takes both.
    folder = Path(chosen).expanduser()
    first = (
        _in_folder(folder.resolve(), name=folder.name) if folder.is_dir() else _published(chosen)
    )
    return [first, *shipped]


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

    Nothing is made up: of an unknown base only its name is known.
    """
    here = next((base for base in installed() if base.id == base_id), None)
    known = here or _published(base_id)
    # No public route of the platform lists jobs.
    if client is None or siliconcloud.is_siliconcloud(client):
        return known
    for job in client.fine_tuning.jobs.list(limit=100).data:  # newest first
        if job.status == "succeeded" and job.model == base_id:
            return _measured(client, job, known)
    return known


def published() -> dict[str, Shape]:
    """Return the sizes of the bases whose configuration is known here, by name."""
    cards = map(_published, _PUBLISHED)
    return {card.id: card.shape for card in cards if card.shape is not None}


def _published(base_id: str) -> Base:
    if base_id not in _PUBLISHED:
        return Base(base_id, source=base_id)
    *sizes, tied = _PUBLISHED[base_id]
    config = dict(zip(_SIZES, sizes, strict=True))
    shape = Shape.of(config | {"tie_word_embeddings": tied, "model_type": "qwen2"})
    return Base(base_id, source=base_id, **_known(shape))


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
        corpus=own.get("corpus", "train.jsonl"),
        **_known(Shape.of(config)),
    )


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


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
