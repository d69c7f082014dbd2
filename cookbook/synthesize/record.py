"""Keep every finished answer in a file of lines, so that none is asked for or paid for twice.

    with Record(path) as record:
        record.answer(key)                   the answer with this key, None where there is none yet
        record.add(key, {...})               written to the disk before it returns

A line is added to the end and never changed; it is the reader's file, and can be read as JSONL. A
key (`key_of`) is made of the model, the prompt, the input, the attempt and the sampling, so one
file may hold the answers of several prompts and models. Half a line at the end, as a killed process
leaves it, is cut off: its answer is asked for again. Anything else that is no answer is refused,
since the file may be somebody's corpus.
"""

import contextlib
import hashlib
import json
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from cookbook import disk
from cookbook.causes import cause
from cookbook.errors import ArgumentError, DataError, DiskFull, ServiceError

Answer = dict[str, Any]

_BEGINNING = b'{"key": "'  # of every line
_NEEDED = ("key", "input", "attempt", "draft", "finish_reason")


def key_of(model: str, prompt: str, text: str, attempt: int, sampling: dict[str, Any]) -> str:
    """Return the key of one request: equal requests have equal keys, others never."""
    whole = json.dumps([model, prompt, text, attempt, sorted(sampling.items())])
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


class Record:
    """The answers in a file; to be used in a `with` block, by one process at a time.

    Raises:
        ArgumentError: the path is a folder, or cannot be written.
        DataError: the file holds something else than answers.
        ServiceError: another notebook writes to it at present.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).expanduser()
        self._answers: dict[str, Answer] = {}
        self._adding = threading.Lock()  # answers come in several threads
        self._open_things = contextlib.ExitStack()
        self._file: BinaryIO
        self._lock = FileLock(self.path.with_name(self.path.name + ".lock"), blocking=False)

    def __enter__(self) -> "Record":
        if self.path.is_dir():
            raise ArgumentError(
                zh=f"{self.path} 是文件夹：path 要给一个文件，例如 {self.path / 'drafts.jsonl'}",
                en=f"{self.path} is a folder: pass a file, such as {self.path / 'drafts.jsonl'}",
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._acquire()
            self._open()
        except OSError as error:
            self._open_things.close()
            raise self.unwritable(error) from error
        except BaseException:
            self._open_things.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open_things.close()

    def answer(self, key: str) -> Answer | None:
        """Return the answer with this key; None where there is none yet."""
        return self._answers.get(key)

    def add(self, key: str, answer: Answer) -> None:
        """Write an answer down, on the disk before this returns.

        Raises:
            DiskFull, ArgumentError: it cannot be written. The answers before it are kept.
        """
        line = _line({"key": key, **answer})
        with self._adding:
            end = self._file.seek(0, os.SEEK_END)
            try:
                self._write(line)
                os.fsync(self._file.fileno())
            except BaseException as error:
                # Half a line would spoil the next.
                self._file.truncate(end)
                if isinstance(error, OSError):
                    raise self.unwritable(error) from error
                raise
            self._answers[key] = answer

    def _write(self, line: bytes) -> None:
        # Where the disk is nearly full, a part may be written without an error.
        while line:
            written = self._file.write(line)
            line = line[written:]

    def _acquire(self) -> None:
        self._open_things.callback(self._lock.release)
        try:
            self._lock.acquire()
            disk.check_lock(self._lock)
        except Timeout as error:
            raise ServiceError(
                zh=f"另一个 notebook 或进程正在往 {self.path} 里写：等它结束，或换一个 path",
                en=f"another notebook or process is writing to {self.path}: wait until it ends, or "
                "pass another path",
            ) from error
        except (OSError, NotImplementedError):
            # A file system without locks: nothing keeps a second process away, as before.
            self._lock.release()

    def _open(self) -> None:
        # Unbuffered, so that what is written is known and can be cut off again.
        opened = self.path.open("ab+", buffering=0)
        self._file = self._open_things.enter_context(opened)
        self._file.seek(0)
        *lines, rest = self._file.read().split(b"\n")
        for number, line in enumerate(lines, 1):
            self._remember(number, line)
        self._finish_last_line(len(lines) + 1, rest)

    def _remember(self, number: int, line: bytes) -> None:
        answer = _parsed(line)
        if answer is None:
            raise DataError(
                zh=f"{self.path} 第 {number} 行不是 drafts() 写的回答：换一个 path；"
                "若只是这一行坏了，删掉它再运行（那一条会重新问）",
                en=f"{self.path}, line {number}: not an answer that drafts() wrote. Pass another "
                "path; if only this line is damaged, delete it and run again (it is asked again)",
            )
        key = answer.pop("key")
        self._answers[key] = answer

    def _finish_last_line(self, number: int, rest: bytes) -> None:
        """Complete or cut off what follows the last line break."""
        if not rest:
            return
        if _parsed(rest) is not None:
            self._remember(number, rest)
            self._write(b"\n")
            return
        # After a power cut, zeros may be there instead of what was written.
        begun = rest.strip(b"\0")[: len(_BEGINNING)]
        if not _BEGINNING.startswith(begun) or _is_json(rest):
            self._remember(number, rest)  # raises: it was never ours
        end = self._file.seek(0, os.SEEK_END)
        self._file.truncate(end - len(rest))

    def unwritable(self, error: OSError) -> ArgumentError | DiskFull:
        """Return the error for answers, or what is beside them, that cannot be written."""
        if disk.is_full(error):
            return DiskFull(
                zh=f"磁盘满了，回答存不进 {self.path}：腾出空间再运行这一格，"
                "已经存下的不会再问一遍",
                en=f"the disk is full, so answers cannot be stored in {self.path}: free some room "
                "and run this cell again; what is stored is not asked again",
            )
        reason = cause(error)
        return ArgumentError(
            zh=f"不能写 {self.path}：{reason.zh}", en=f"cannot write {self.path}: {reason.en}"
        )


def _line(answer: Answer) -> bytes:
    try:
        text = json.dumps(answer, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # Half a character, which UTF-8 cannot store, is written as an escape.
        text = json.dumps(answer).encode()
    return text + b"\n"


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(line: bytes) -> Answer | None:
    """Return the answer of a line; None where it is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict) and all(name in value for name in _NEEDED):
        return value
    return None
