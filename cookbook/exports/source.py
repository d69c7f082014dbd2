"""Find the model that is to be exported: in a data folder, or over HTTP in a room.

    with in_data_folder(home, "my-task") as source:           source.folder, source.facts
    with in_service(connection, "my-task") as source:

A model is named as the service lists it, or by its task's name where one finished model has it. Its
folder is only read. Of an archive that a service sends, the files of an adapter alone are taken.
"""

import contextlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cookbook import bases, causes, disk
from cookbook.adapter_settings import CONFIG, RECORD, WEIGHTS
from cookbook.connected import Connection
from cookbook.errors import ArgumentError, CookbookError, DiskFull, ModelError, ServiceError
from cookbook.exports.facts import Facts
from cookbook.paths import Home
from cookbook.quoted import one_line
from cookbook.terminal import printable

TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)
ADAPTER = (CONFIG, WEIGHTS, *TOKENIZER)
"""The files of an adapter's folder that are taken; whatever else is there stays."""

_CHECKPOINT = "-ckpt_step_"
_SHOWN = 10  # names in a sentence
_SECONDS = 60.0  # without a byte from a service


@dataclass(frozen=True)
class Source:
    """An adapter's folder, and what is known of the model."""

    folder: Path
    facts: Facts


@contextlib.contextmanager
def in_data_folder(home: Home, name: str) -> Iterator[Source]:
    """Give the model of a data folder.

    Raises:
        ArgumentError: there is none of that name, or several.
        ModelError: its folder is gone.
        ServiceError: a newer release wrote the database, or a service of another version uses it.
    """
    # Only now: the helpers must work without the `local` extra.
    from cookbook.connection import refuse_other_version
    from cookbook.service.model_facts import facts_of
    from cookbook.service.store import Store

    # Opening a database would make it.
    if not home.database.is_file():
        raise ArgumentError(
            zh=f"数据目录 {home.folder} 里还没有模型：先微调一个，或用 --home 换一个目录",
            en=f"the data folder {home.folder} has no models yet: tune one first, or choose "
            "another folder with --home",
        )
    refuse_other_version(home.folder)
    store = Store(home.database)
    models = {model.id: model for model in store.models()}
    model = models[chosen(name, list(models))]
    folder = home.model_folder(model.folder)
    if not folder.is_dir():
        raise ModelError(
            zh=f"模型 {model.id} 的文件夹 {folder} 不在了：重新微调，或换一个检查点",
            en=f"the folder {folder} of the model {model.id} is gone: tune again, or use another "
            "checkpoint",
        )
    yield Source(folder, facts_of(store, model, folder))


@contextlib.contextmanager
def in_service(service: Connection, name: str) -> Iterator[Source]:
    """Give the model of a service, downloaded into a folder that is removed afterwards.

    Raises:
        ArgumentError: there is none of that name, or several.
        ServiceError: the service does not answer, or does not give it.
        DiskFull: the folder for temporary files has no room for it.
    """
    with tempfile.TemporaryDirectory(prefix="cookbook-") as temporary:
        folder = Path(temporary) / "model"
        folder.mkdir()
        with _explained(service.base_url):
            model = _download(service, name, Path(temporary) / "model.zip")
            _unpack(Path(temporary) / "model.zip", folder)
        yield Source(folder, _facts(folder, model))


def _download(service: Connection, name: str, archive: Path) -> str:
    """Download a model as an archive; return its whole name."""
    import httpx

    base_url = service.base_url.rstrip("/")
    headers = {"Authorization": f"Bearer {service.api_key}"}
    with httpx.Client(headers=headers, timeout=_SECONDS) as client:
        listed = client.get(f"{base_url}/models").raise_for_status().json()["data"]
        tuned = [one["id"] for one in listed if str(one["id"]).startswith("ft:")]
        model = chosen(name, tuned)
        url = f"{base_url}/models/{quote(model, safe='')}/export"
        with client.stream("GET", url) as answer, archive.open("wb") as file:
            if answer.is_error:
                answer.read()
            answer.raise_for_status()
            for part in answer.iter_bytes():
                file.write(part)
    return model


@contextlib.contextmanager
def _explained(base_url: str) -> Iterator[None]:
    """Turn what a request raises into one sentence."""
    import httpx

    place = base_url.rstrip("/").removesuffix("/v1")
    try:
        yield
    except CookbookError:
        # Some of our own are of the kinds below, and say what is wrong.
        raise
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
        told = one_line(error.response.text)
        raise ServiceError(
            zh=f"服务 {place} 没有给出这个模型（HTTP {code}）：{told}",
            en=f"the service {place} did not give the model (HTTP {code}): {told}",
        ) from error
    except OSError as error:
        reason = causes.cause(error)
        kind = DiskFull if disk.is_full(error) else ModelError
        raise kind(
            zh=f"没有取到模型：{reason.zh}", en=f"the model was not downloaded: {reason.en}"
        ) from error
    except (httpx.HTTPError, zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        told = one_line(str(error) or type(error).__name__)
        raise ServiceError(
            zh=f"从服务 {place} 取模型时中断了（{told}）：再试一次",
            en=f"the download of the model from {place} broke off ({told}): try again",
        ) from error


def _unpack(archive: Path, folder: Path) -> None:
    """Take the adapter's files out of an archive, wherever in it they are."""
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            # The name alone, which cannot lead out of the folder.
            name = member.filename.rpartition("/")[2]
            if name not in (*ADAPTER, RECORD) or (folder / name).exists():
                continue
            # A service stores them as they are, so what is packed could grow without end.
            if member.compress_type != zipfile.ZIP_STORED:
                raise zipfile.BadZipFile(f"{name}: compress_type {member.compress_type}")
            with file.open(member) as packed, (folder / name).open("wb") as copy:
                shutil.copyfileobj(packed, copy)


def _facts(folder: Path, model: str) -> Facts:
    """Return what an adapter's own folder tells of it."""
    with contextlib.suppress(OSError, ValueError, AttributeError, RecursionError):
        return Facts.of_dict(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    base = ""
    with contextlib.suppress(OSError, ValueError, AttributeError, RecursionError):
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        base = bases.referred(str(config.get("base_model_name_or_path") or ""))
    parts = model.split(":")
    return Facts(model, base, title=parts[3] if len(parts) > 3 else None)


def chosen(name: str, models: Sequence[str]) -> str:
    """Return the model of that name, or the only finished one of that task.

    Raises:
        ArgumentError: there is none, or several; the sentence lists them.
    """
    if name in models:
        return name
    finished = [model for model in models if _CHECKPOINT not in model]
    found = [model for model in finished if _task(model) == name]
    if len(found) == 1:
        return found[0]
    shown = printable(name[:100])
    if found:
        listed = "\n  ".join(found[:_SHOWN])
        raise ArgumentError(
            zh=f"任务名 {shown} 有 {len(found)} 个模型，写其中一个的全名：\n  {listed}",
            en=f"{len(found)} models have the task name {shown}; give one's whole name:\n"
            f"  {listed}",
        )
    if not finished:
        raise ArgumentError(
            zh=f"没有模型 {shown}：这里还没有微调好的模型",
            en=f"there is no model {shown}: no model was tuned here yet",
        )
    listed = "\n  ".join(finished[:_SHOWN])
    raise ArgumentError(
        zh=f"没有模型 {shown}。这里有：\n  {listed}",
        en=f"there is no model {shown}. There are:\n  {listed}",
    )


def _task(model: str) -> str:
    parts = model.split(":")
    return parts[3] if len(parts) > 3 else model
