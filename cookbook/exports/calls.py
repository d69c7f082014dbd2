"""Say how an export is run: the lines for transformers, and the commands of other programs.

    python(base, "merged", files)                   a snippet for the model card
    commands(facts, base, "gguf", files)            a command for each program that reads this form

For LM Studio, llama.cpp, vLLM and Ollama, as their documentation had them on 2026-11-29. The files
are tried with llama.cpp's own server by the tests; the other programs are not there.
"""

import json
import os
import shlex
from dataclasses import dataclass
from subprocess import list2cmdline

from cookbook.bases import Base
from cookbook.exports.facts import Facts
from cookbook.i18n import tr

_PEFT = """\
{imports}
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = {base}
adapter = "."  # {this_folder}
tokenizer = AutoTokenizer.from_pretrained({tokenizer})
model = AutoModelForCausalLM.from_pretrained(base)
model = PeftModel.from_pretrained(model, adapter)"""

_MERGED = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # {this_folder}
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)"""


def _as_argument(text: str) -> str:
    """Return a text as a shell reads it as one word."""
    # The Windows command line knows no single quotes.
    return list2cmdline([text]) if os.name == "nt" else shlex.quote(text)


@dataclass(frozen=True)
class Files:
    """What the calls name.

    Attributes:
        folder: where the files are, as the reader wrote it; "." in a card.
        weights: name of the GGUF file.
        kind: type of its matrices.
        rank: of the adapter.
        has_tokenizer: whether the adapter's folder has the tokenizer, too.
    """

    folder: str = "."
    weights: str = ""
    kind: str = ""
    rank: int = 0
    has_tokenizer: bool = True

    def path(self, name: str = "") -> str:
        """Return a file of the folder, as a shell reads it."""
        if not name:
            return _as_argument(self.folder)
        return _as_argument(name if self.folder == "." else f"{self.folder.rstrip('/')}/{name}")


@dataclass(frozen=True)
class Call:
    """A program, and the commands that run the model with it."""

    program: str
    text: str


def python(base: Base, form: str, files: Files) -> str | None:
    """Return the lines that load it in Python, from inside its folder; None where none do."""
    this_folder = tr("这个文件夹", "this folder")
    if form == "merged":
        return _MERGED.format(this_folder=this_folder)
    if form != "peft":
        return None
    imports = ""
    source = json.dumps(base.id)
    if base.is_shipped:
        imports = "from cookbook.paths import DATA"
        source = f'DATA / "models" / {json.dumps(base.folder_name)}'
    elif not base.on_hub:
        comment = tr("改成基础模型的文件夹", "the folder of the base model")
        source = f'"…"  # {comment}'
    tokenizer = "adapter" if files.has_tokenizer else "base"
    snippet = _PEFT.format(
        imports=imports, base=source, this_folder=this_folder, tokenizer=tokenizer
    )
    return snippet.lstrip("\n")


def commands(
    facts: Facts, base: Base, form: str, files: Files, *, as_read: bool = False
) -> list[Call]:
    """Return how each program runs it.

    Args:
        as_read: whether somebody else reads it, on another machine, in the model card.
    """
    name = facts.name
    match form:
        case "peft":
            where = base.id if base.on_hub else base.source
            # Of a base that is on no hub, another machine has another folder, or none.
            if not base.on_hub and (as_read or not base.source):
                where = "BASE_FOLDER"
            # The ranks that vLLM takes are powers of two from 8 on.
            rank = max(8, 1 << max(0, files.rank - 1).bit_length())
            lines = [
                f"vllm serve {_as_argument(where)} --enable-lora --max-lora-rank {rank} \\",
                f"    --lora-modules {_as_argument(name)}={files.path()}",
            ]
            return [Call("vLLM", "\n".join(lines))]
        case "merged":
            serve = f"vllm serve {files.path()} --served-model-name {_as_argument(name)}"
            convert = f"python convert_hf_to_gguf.py {files.path()} --outtype f16"
            return [Call("vLLM", serve), Call("llama.cpp", convert)]
        case "gguf":
            weights = files.path(files.weights)
            # vLLM reads GGUF with a plugin alone, and calls that experimental: `merged` is for it.
            return _llama_cpp(weights)
        case _:
            create = f"ollama create {_as_argument(name)} -f {files.path('Modelfile')}"
            run = Call("Ollama", f"{create}\nollama run {_as_argument(name)}")
            return [run, *_llama_cpp(files.path(files.weights))]


def _llama_cpp(weights: str) -> list[Call]:
    return [
        # Without --copy it moves the file away, and the other commands find nothing.
        Call("LM Studio", f"lms import --copy {weights}"),
        Call("llama.cpp", f"llama-server -m {weights} --jinja --port 8080"),
    ]
