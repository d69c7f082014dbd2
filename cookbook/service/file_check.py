"""Check uploads in processes of their own, so that no file can stop the service for others.

    with FileChecks() as checks:
        verdict = checks.check(name, content, purpose)       blocks: call it in a thread

A regular expression, or a parser written in C, lets no other thread run while it searches. A
process is started at the first upload, which takes 0.3 s, and kept for the next. One that takes
longer than `SECONDS` is ended and the upload refused. An idle one ends by itself.

    python -m cookbook.service.file_check        is such a process: a line with name, size, purpose
                                                 and language, and the content, on standard input; a
                                                 line in reply
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import BinaryIO

from cookbook import environment, processes
from cookbook.data import check_bytes
from cookbook.i18n import in_language, language
from cookbook.service import batch_file
from cookbook.service.api_error import ApiError

MODULE = "cookbook.service.file_check"
SECONDS = 60.0  # for one file; the slowest that is allowed takes two on a free core
IDLE_SECONDS = 120.0  # then a process gives its memory back
NICENESS = 5  # chat answers come before checks


@dataclass(frozen=True)
class Verdict:
    """What is to be said of a file: the report's text, and the code of its first error."""

    text: str
    error: str | None
    has_problems: bool


def check(name: str, content: bytes, purpose: str = "fine-tune") -> Verdict:
    """Check a file in this process, by the rules of its purpose."""
    if purpose == "batch":
        found = batch_file.faults(name, content)
        return Verdict(batch_file.report(found), found[0].code if found else None, bool(found))
    report = check_bytes(content, name)
    errors = [problem.code for problem in report.problems if problem.severity == "error"]
    return Verdict(str(report), errors[0] if errors else None, bool(report.problems))


class FileChecks:
    """The processes that check files: as many as there are checks at the same time."""

    def __init__(self, seconds: float = SECONDS):
        self._seconds = seconds
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._busy: set[_Process] = set()
        self._closed = False

    def __enter__(self) -> "FileChecks":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the processes, those too that are checking: a service that stops waits for none."""
        with self._lock:
            self._closed = True
            for process in (*self._idle, *self._busy):
                process.kill()
            for process in self._idle:
                process.end()

    def check(self, name: str, content: bytes, purpose: str = "fine-tune") -> Verdict:
        """Check a file; safe to call from several threads.

        Raises:
            ApiError: it takes too long, or more memory than there is.
        """
        # An idle process may have ended just now; the others mostly have then, too.
        asked = (name, content, purpose)
        verdict = self._try(*asked) or self._try(*asked, in_new_process=True)
        if verdict is None:
            raise ApiError(
                400,
                zh="检查这个文件的进程意外结束，多半是内存不够：关掉别的程序，或拆成几个小文件再上传",
                en="the process that checked the file ended unexpectedly, mostly for lack of "
                "memory: close other programs, or split the file and upload again",
                code="file-check",
                param="file",
            )
        return verdict

    def _try(
        self, name: str, content: bytes, purpose: str, *, in_new_process: bool = False
    ) -> Verdict | None:
        """Return the verdict of an idle process, or else a new one; None where it ends before."""
        with self._lock:
            if self._closed:
                return None
            use_idle = self._idle and not in_new_process
            process = self._idle.pop() if use_idle else _Process()
            self._busy.add(process)
        verdict = None
        try:
            verdict = process.check(name, content, purpose, self._seconds)
        finally:
            with self._lock:
                self._busy.discard(process)
                if verdict and not self._closed:
                    self._idle.append(process)
                else:
                    process.end()
        return verdict


class _Process:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment.of_worker(),
            # Ctrl-C in the service's terminal is for the service.
            start_new_session=os.name != "nt",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )

    def check(self, name: str, content: bytes, purpose: str, seconds: float) -> Verdict | None:
        """Return the verdict; None where the process has ended.

        Raises:
            ApiError: there is none within so many seconds.
        """
        too_slow = threading.Event()

        def give_up() -> None:
            too_slow.set()
            self.kill()

        timer = threading.Timer(seconds, give_up)
        timer.start()
        reply = self._ask(name, content, purpose)
        timer.cancel()
        if reply:
            return Verdict(**json.loads(reply))
        if too_slow.is_set():
            raise ApiError(
                400,
                zh=f"检查这个文件超过 {seconds:g} 秒：拆成几个文件，去掉特别长或奇怪的内容再上传",
                en=f"checking the file takes more than {seconds:g} seconds: split it, or drop very "
                "long or unusual texts, and upload again",
                code="file-check",
                param="file",
            )
        return None

    def _ask(self, name: str, content: bytes, purpose: str) -> bytes:
        """Return the line that the process replies with, empty where it has ended."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None  # both were asked for
        header = json.dumps(
            {
                "name": name,
                "bytes": len(content),
                "purpose": purpose,
                # That of whoever uploads it: the process checks for one after the other.
                "language": language(),
            }
        )
        try:
            stdin.write(header.encode() + b"\n" + content)
            stdin.flush()
            return stdout.readline()
        except OSError:
            return b""

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        """End it and close its pipes; no other thread may be using it."""
        self.kill()
        with contextlib.suppress(OSError):
            self._process.communicate()


def main(questions: BinaryIO, replies: BinaryIO) -> None:
    """Check the files that come, one after the other, until none comes any more."""
    while True:
        idle = threading.Timer(IDLE_SECONDS, os._exit, [0])
        idle.daemon = True
        idle.start()
        header = questions.readline()
        idle.cancel()
        if not header:
            return
        asked = json.loads(header)
        content = questions.read(asked["bytes"])
        with in_language(asked["language"]):
            verdict = check(asked["name"], content, asked["purpose"])
        replies.write(json.dumps(asdict(verdict)).encode() + b"\n")
        replies.flush()


if __name__ == "__main__":
    processes.lower_priority(NICENESS)
    # Whatever a library prints must not end in the replies.
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    main(sys.stdin.buffer, channel)
