"""Remember the batches that were started, beside the file of answers: `drafts.jsonl.batches.json`.

A batch is written down before it exists (its input file is uploaded, its id not known yet), so that
one whose answer was lost on the way can be found again instead of being paid for twice. Its
requests are written down with it: whatever a later call asks for, all its answers are kept.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cookbook import disk
from cookbook.errors import DataError

ENDED = ("completed", "expired", "cancelled", "failed")


@dataclass
class Batch:
    """A batch that was started, or is about to be; `id` is None where that is not known.

    Attributes:
        file: the id of its input file.
        host: the service it was started on.
        status: as the service said last; one of `ENDED` only once its answers are kept.
        requests: (input, attempt) of each key. Empty once it has ended.
    """

    file: str
    host: str
    model: str
    id: str | None = None
    status: str = ""
    requests: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether it has answers that are not kept yet."""
        return self.status not in ENDED


class Remembered:
    """The batches of a file of answers.

    Raises:
        DataError: the file beside it is damaged.
    """

    def __init__(self, answers: Path):
        self.path = answers.with_name(answers.name + ".batches.json")
        self.batches = self._read()

    def save(self) -> None:
        """Write all batches down.

        Raises:
            OSError: they cannot be written.
        """
        content = [asdict(batch) for batch in self.batches]
        text = json.dumps({"batches": content}, ensure_ascii=False, indent=1)
        disk.write(self.path, text.encode("utf-8", "backslashreplace"))

    def _read(self) -> list[Batch]:
        if not self.path.exists():
            return []
        try:
            content = json.loads(self.path.read_bytes())["batches"]
            batches = [Batch(**one) for one in content]
        except (ValueError, LookupError, TypeError) as error:
            raise DataError(
                zh=f"{self.path} 坏了（{type(error).__name__}），里面记着还在进行的批量任务："
                "到控制台查看任务；确认都已结束，再删掉这个文件",
                en=f"{self.path} is damaged ({type(error).__name__}); it names batches that may "
                "still be under way. Look at them in the console, and delete the file once all "
                "have ended",
            ) from error
        return batches
