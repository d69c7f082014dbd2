"""GET /v1/models/{model}/export: a tuned model as one zip, for a colleague's `import`.

In it are the adapter's settings and weights, its card, and `cookbook-model.json` with what is known
of the model: nothing of its rows, and no job. The card names the training file, so others get a
shared model without it. It is sent while it is made, so it takes no room on the disk; weights
hardly become smaller, so they are stored as they are.
"""

import contextlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from fastapi.responses import Response, StreamingResponse

from cookbook.adapter_settings import CARD, CONFIG, RECORD, WEIGHTS
from cookbook.service.api_error import ApiError
from cookbook.service.model_facts import facts_of
from cookbook.service.models import tuned_model
from cookbook.service.request_body import strict_router
from cookbook.service.state import AppState, State
from cookbook.service.store import TunedModel

_PART_BYTES = 2**20
_ZIP: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The model's PEFT folder",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class _Sink(io.RawIOBase):
    """Takes what a zip writes, and gives it on; it cannot go back, as no response can."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        self._parts.append(bytes(part))
        return len(part)

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _opened(state: AppState, model: TunedModel) -> dict[str, IO[bytes]]:
    """Open all files of a model, so that one which is deleted meanwhile is still sent whole.

    Raises:
        ApiError: they are gone.
    """
    folder = state.home.model_folder(model.folder)
    facts = facts_of(state.store, model, folder)
    record = json.dumps(facts.to_dict(), ensure_ascii=False, indent=2).encode()
    with contextlib.ExitStack() as stack:
        files: dict[str, IO[bytes]] = {}
        try:
            for name in (CONFIG, WEIGHTS):
                files[name] = stack.enter_context(_plain_file(folder / name))
        except OSError as error:
            raise ApiError(
                404,
                zh=f"模型 {model.id} 的文件不在了：重新微调，或换一个检查点",
                en=f"the files of {model.id} are gone: tune again, or use another checkpoint",
                code="model_files_missing",
                param="model",
            ) from error
        if state.caller.is_leader or model.owner == state.caller.name:
            # An older adapter has none.
            with contextlib.suppress(OSError):
                files[CARD] = stack.enter_context(_plain_file(folder / CARD))
        files[RECORD] = io.BytesIO(record)
        # All are open: whoever sends them closes them.
        stack.pop_all()
    return files


def _plain_file(path: Path) -> IO[bytes]:
    # A link could lead anywhere, and a pipe would never end.
    if path.is_symlink() or not path.is_file():
        raise FileNotFoundError(path)
    return path.open("rb")


def _zipped(files: dict[str, IO[bytes]]) -> Iterator[bytes]:
    """Yield a zip of the files while it is written."""
    sink = _Sink()
    with contextlib.ExitStack() as stack:
        for file in files.values():
            stack.enter_context(file)
        archive = stack.enter_context(zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED))
        for name, file in files.items():
            # Its size is not known before: more than 4 GB must be possible.
            with archive.open(name, "w", force_zip64=True) as entry:
                while part := file.read(_PART_BYTES):
                    entry.write(part)
                    yield sink.taken()
    yield sink.taken()


router = strict_router()


# A path, since the names of many bases hold a slash.
@router.get("/v1/models/{model_id:path}/export", response_class=Response, responses=_ZIP)
def export_model(model_id: str, state: State) -> Response:
    if model_id in state.bases:
        raise ApiError(
            403,
            zh="基础模型不能导出，只有微调模型可以：用 python -m cookbook pull 下载它",
            en="a base model is not exported, only a tuned one: download it with "
            "python -m cookbook pull",
            code="base_model",
            param="model",
        )
    files = _opened(state, tuned_model(state, model_id))
    name = model_id.rpartition(":")[2]
    headers = {"content-disposition": f'attachment; filename="{name}.zip"'}
    return StreamingResponse(_zipped(files), media_type="application/zip", headers=headers)
