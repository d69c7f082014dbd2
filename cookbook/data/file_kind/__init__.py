"""What a file is, by its first bytes: text, or something that only looks like a training file.

    look(head, name)    the kind of a file, None for text

`signatures` knows the bytes, `kinds` has the words and the remedy of each kind, and `kind` puts the
name of the file into it.
"""

from cookbook.data.file_kind.kind import FileKind
from cookbook.data.file_kind.signatures import HEAD, look

__all__ = ["HEAD", "FileKind", "look"]
