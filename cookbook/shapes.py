"""The sizes of a decoder: what memory, speed and the weights of an adapter follow from.

    Shape.of(config)        from a config.json
    fault(config)           what in a config.json cannot be, "head_dim = 0"
    is_mixture(config)      whether it is a mixture of experts
    published(name)         of a base whose sizes are known without its files
    smaller_than(number)    the published bases that have fewer weights

A LoRA adapter of rank r trains r × (in + out) weights beside each linear layer. The embedded
service puts one beside every linear layer of the body; which layers SiliconCloud trains is not
documented.
"""

from dataclasses import asdict, dataclass
from operator import itemgetter
from typing import Any


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
        """Return the sizes in a config.json; None where it is not a plain decoder's, or faulty."""
        if any(config.get(name) is None for name in SIZES) or fault(config):
            return None
        # It has more weights than these sizes say.
        if is_mixture(config):
            return None
        values = {name: config[name] for name in SIZES}
        width, heads = config["hidden_size"], config["num_attention_heads"]
        # Its biases go without saying in a config.json.
        is_qwen2 = config.get("model_type") == "qwen2"
        return cls(
            **values,
            head_dim=config.get("head_dim") or width // heads,
            tied=bool(config.get("tie_word_embeddings")),
            attention_bias=bool(config.get("attention_bias", is_qwen2)),
        )

    def to_config(self) -> dict[str, Any]:
        """Return the sizes as a config.json has them; `of` reads them back."""
        config = asdict(self)
        config["tie_word_embeddings"] = config.pop("tied")
        return config

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


def is_mixture(config: dict[str, Any]) -> bool:
    """Return whether a config.json is that of a mixture of experts."""
    # `num_experts` is 0 in some plain decoders.
    return any("expert" in name and value for name, value in config.items())


def fault(config: dict[str, Any]) -> str | None:
    """Return what in a config.json cannot be, or does not agree; None where nothing is wrong.

    What is left out is not wrong: transformers knows what each kind of model has then.
    """
    for name in (*SIZES, *_MORE_SIZES):
        value = config.get(name)
        # In some, null means the usual.
        may_be_null = name not in config or name in _MAY_BE_NULL
        if not (value is None and may_be_null) and not _is_size(value, name):
            return f"{name} = {value!r:.40}"
    for name, value in config.items():
        is_count = name.startswith("num_") and "expert" in name
        if is_count and type(value) not in (int, type(None)):
            return f"{name} = {value!r:.40}"
    for name in ("tie_word_embeddings", "attention_bias"):
        if type(config.get(name)) not in (bool, type(None)):
            return f"{name} = {config[name]!r:.40}"
    return _disagreement(config)


def _disagreement(config: dict[str, Any]) -> str | None:
    """Return which sizes do not agree, each of them being one."""
    width, heads = config.get("hidden_size"), config.get("num_attention_heads")
    keys, layers = config.get("num_key_value_heads"), config.get("num_hidden_layers")
    if width and heads and not config.get("head_dim") and width % heads:
        return f"hidden_size = {width}, num_attention_heads = {heads}"
    if heads and keys and heads % keys:
        return f"num_attention_heads = {heads}, num_key_value_heads = {keys}"
    kinds = config.get("layer_types")
    if kinds is None:
        return None
    if not isinstance(kinds, list):
        return f"layer_types = {kinds!r:.40}"
    if layers and len(kinds) != layers:
        return f"num_hidden_layers = {layers}, layer_types: {len(kinds)}"
    return None


def _is_size(value: Any, name: str) -> bool:
    # True is an int to Python.
    most = _MOST_LAYERS if name == "num_hidden_layers" else _LARGEST
    return type(value) is int and 0 < value <= most


SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
)
_MORE_SIZES = ("head_dim", "max_position_embeddings")
_MAY_BE_NULL = ("num_key_value_heads", *_MORE_SIZES)
# Several times what any model has: a larger number is damage.
_LARGEST, _MOST_LAYERS = 2**24, 1000

# From the published config.json of each, in the order of `SIZES`, and whether it ties embeddings.
PUBLISHED = {
    "Qwen/Qwen2.5-0.5B-Instruct": (896, 4864, 24, 14, 2, 151936, True),
    "Qwen/Qwen2.5-1.5B-Instruct": (1536, 8960, 28, 12, 2, 151936, True),
    "Qwen/Qwen2.5-3B-Instruct": (2048, 11008, 36, 16, 2, 151936, True),
    "Qwen/Qwen2.5-7B-Instruct": (3584, 18944, 28, 28, 4, 152064, False),
    "Qwen/Qwen2.5-14B-Instruct": (5120, 13824, 48, 40, 8, 152064, False),
    "Qwen/Qwen2.5-32B-Instruct": (5120, 27648, 64, 40, 8, 152064, False),
    "Qwen/Qwen2.5-72B-Instruct": (8192, 29568, 80, 64, 8, 152064, False),
}


def published(base_id: str) -> Shape | None:
    """Return the sizes of a base that is known by its name; None for any other."""
    if base_id not in PUBLISHED:
        return None
    *sizes, tied = PUBLISHED[base_id]
    config = dict(zip(SIZES, sizes, strict=True))
    return Shape.of(config | {"tie_word_embeddings": tied, "model_type": "qwen2"})


def all_published() -> dict[str, Shape]:
    """Return the sizes of all bases that are known by their names."""
    found = {}
    for name in PUBLISHED:
        shape = published(name)
        if shape is not None:
            found[name] = shape
    return found


def smaller_than(parameters: int) -> dict[str, Shape]:
    """Return the sizes of the published bases that have fewer weights, the largest first."""
    sizes = [(shape.parameters, name, shape) for name, shape in all_published().items()]
    smaller = [size for size in sizes if size[0] < parameters]
    smaller.sort(key=itemgetter(0), reverse=True)
    return {name: shape for _, name, shape in smaller}
