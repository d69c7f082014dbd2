"""Take a tuned model home: as files that other programs run, with a model card.

    from cookbook.exports import export
    export("my-task", "my-model", "ollama")

    take_home   the function, and what it returns; `forms` writes the files of each form
    source      the model: in a data folder, or over HTTP in a room
    base        the base that it is merged into; `licence` what is known of that one's licence
    adapter     the adapter, checked; `merge` merges it into the base, a shard at a time
    gguf_file   the same as one GGUF file; `vocabulary` the tokenizer in it; `modelfile` for Ollama
    facts       what is known of a model; `card` the README.md, `calls` how programs run it
    arguments   `python -m cookbook export`

Importing this package loads neither torch nor gguf.
"""

from typing import TYPE_CHECKING, Any

from cookbook.exports.facts import Facts

if TYPE_CHECKING:
    from cookbook.exports.take_home import Exported, export

__all__ = ["Exported", "Facts", "export"]


def __getattr__(name: str) -> Any:
    # The command line declares its options without loading what carries them out.
    if name in ("Exported", "export"):
        from cookbook.exports import take_home

        return getattr(take_home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
