"""/v1/models: the bases, the tuned models and their checkpoints. The list is never paged."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from cookbook import disk
from cookbook.adapter_settings import RECORD
from cookbook.bases import Base
from cookbook.errors import CookbookError
from cookbook.service.api_error import ApiError
from cookbook.service.paging import Resource
from cookbook.service.request_body import strict_router
from cookbook.service.sentences import shortened
from cookbook.service.state import AppState, State
from cookbook.service.store import LOCAL, TunedModel


class Model(Resource):
    """OpenAI's model. `created` is 0 for a base, whose age is not known.

    `corpus` and `shared` are this service's own: the file of the course that suits a base
    (`bases.Base`), and whether everybody in the room may ask a tuned model.
    """

    created: int
    object: Literal["model"] = "model"
    owned_by: str = LOCAL
    shared: bool = False
    corpus: str | None = None


class BaseDetails(Model):
    """A base, with what a plan made elsewhere must know: its sizes, and where it would be trained.

    `config` has the names of a config.json, `machine` those of `machine.Machine`, as it is now.
    Each is null where nothing is known.
    """

    config: dict[str, Any] | None = None
    machine: dict[str, Any] | None = None


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class DeletedModel(BaseModel):
    id: str
    object: Literal["model"] = "model"
    deleted: Literal[True] = True


def tuned_model(state: AppState, model_id: str) -> TunedModel:
    """Return the tuned model with that id.

    Raises:
        ApiError: 404, and the message names the bases.
    """
    model = state.store.model(model_id)
    if not model:
        name = shortened(model_id)
        raise ApiError(
            404,
            zh=f"没有模型 {name}。可用的基础模型：{'、'.join(state.bases)}；"
            "微调模型用 job.fine_tuned_model 的值",
            en=f"there is no model {name}. Bases: {', '.join(state.bases)}; "
            "for a tuned model use the value of job.fine_tuned_model",
            code="model_not_found",
            param="model",
        )
    return model


def find_model(state: AppState, model_id: str) -> tuple[Base, Path | None]:
    """Return the base and the adapter folder of a model; no folder for a base itself.

    Raises:
        ApiError: there is no such model, or its base is gone.
    """
    if model_id in state.bases:
        return state.bases[model_id], None
    tuned = tuned_model(state, model_id)
    if tuned.base not in state.bases:
        raise ApiError(
            400,
            zh=f"基础模型 {tuned.base} 不在了",
            en=f"its base model {tuned.base} is gone",
            code="model_not_found",
            param="model",
        )
    return state.bases[tuned.base], state.home.model_folder(tuned.folder)


def _base(base: Base) -> Model:
    return Model(id=base.id, created=0, corpus=base.corpus)


def _tuned(model: TunedModel) -> Model:
    return Model(id=model.id, created=model.created_at, owned_by=model.owner, shared=model.shared)


def _own_model(state: AppState, model_id: str) -> TunedModel:
    """Return the tuned model with that id, which the caller may change.

    Raises:
        ApiError: there is none, it is a base, or somebody else has shared it.
    """
    if model_id in state.bases:
        raise ApiError(
            403,
            zh="基础模型人人可用，不能删除，也不用分享",
            en="a base model cannot be deleted or shared: everybody has it",
            code="base_model",
            param="model",
        )
    model = tuned_model(state, model_id)
    if not state.caller.is_leader and model.owner != state.caller.name:
        raise ApiError(
            403,
            zh="这个模型是别人分享的：可以用它提问，不能修改或删除",
            en="this model is shared by somebody else: you can use it, not change or delete it",
            code="not_yours",
            param="model",
        )
    return model


def _details(state: AppState, base: Base) -> BaseDetails:
    """Return what only the route of one model tells: a GPU may take a moment to answer."""
    here = None
    # A wrong setting is said where a service is started and where a job fails.
    with contextlib.suppress(CookbookError):
        here = state.machine()
    config = base.shape.to_config() if base.shape else None
    machine = here.to_dict() if here else None
    return BaseDetails(**_base(base).model_dump(), config=config, machine=machine)


def _shared(state: AppState, model_id: str, shared: bool) -> Model:
    """Let everybody ask a model, or its owner alone again."""
    folder = state.home.model_folder(_own_model(state, model_id).folder)
    state.store.share_model(model_id, shared)
    _note_shared(folder / RECORD, shared)
    return _tuned(tuned_model(state, model_id))


def _note_shared(path: Path, shared: bool) -> None:
    """Write it into the adapter's record, from which the model is found again."""
    # An older adapter has no record, and a full disk must not undo what the database has.
    with contextlib.suppress(OSError, ValueError, TypeError):
        record = json.loads(path.read_text(encoding="utf-8"))
        record["shared"] = shared
        disk.write(path, json.dumps(record, indent=2).encode())


router = strict_router()


@router.get("/v1/models")
def list_models(state: State) -> ModelList:
    bases = [_base(base) for base in state.bases.values()]
    tuned = [_tuned(model) for model in state.store.models()]
    return ModelList(data=bases + tuned)


# A path, since the names of many bases hold a slash.
@router.get("/v1/models/{model_id:path}")
def get_model(model_id: str, state: State) -> BaseDetails | Model:
    if model_id in state.bases:
        return _details(state, state.bases[model_id])
    return _tuned(tuned_model(state, model_id))


@router.post("/v1/models/{model_id:path}/share")
def share_model(model_id: str, state: State) -> Model:
    return _shared(state, model_id, True)


@router.post("/v1/models/{model_id:path}/unshare")
def unshare_model(model_id: str, state: State) -> Model:
    return _shared(state, model_id, False)


@router.delete("/v1/models/{model_id:path}")
def delete_model(model_id: str, state: State) -> DeletedModel:
    folder = state.home.model_folder(_own_model(state, model_id).folder)
    part = folder.with_name(folder.name + ".part")
    # A whole folder without a record would be found again, should the service be killed just now.
    with contextlib.suppress(OSError):
        folder.replace(part)
    # Answers under way go on: they have the model in memory.
    state.store.delete_model(model_id)
    for left in (part, folder):
        shutil.rmtree(left, ignore_errors=True)
    return DeletedModel(id=model_id)
