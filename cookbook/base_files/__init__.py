"""Check a base's files without loading them, and without torch: are they whole, is it usable?

    files     which files there must be, and whether each is all there
    kind      config.json: a plain decoder, not quantized
    chat      the tokenizer's files: a chat model that ends its answers
    template  the syntax of its chat template
    folder    all of a folder, with one sentence for each thing that can be wrong

Used before a download (`hubs/`), before a service is started and before the engine loads a base.
"""

from cookbook.base_files.chat import check_chat
from cookbook.base_files.files import INDEX, SINGLE, read_json, unfinished
from cookbook.base_files.folder import check_folder
from cookbook.base_files.kind import check_kind, original, unusable

__all__ = [
    "INDEX",
    "SINGLE",
    "check_chat",
    "check_folder",
    "check_kind",
    "original",
    "read_json",
    "unfinished",
    "unusable",
]
