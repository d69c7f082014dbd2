"""/v1/models: the bases, the tuned models and their checkpoints."""

import shutil
from pathlib import Path

from fastapi import APIRouter

from cookbook.bases import Base
from cookbook.i18n import tr
from cookbook.service.requests import ApiError
from cookbook.service.responses import Deleted, Model, ModelList, listed
from cookbook.service.store import Store, TunedModel


def router(store: Store, home: Path, bases: dict[str, Base]) -> APIRouter:
    api = APIRouter()

    @api.get("/v1/models", response_model=None, responses={200: {"model": ModelList}})
    def list_models():
        tuned = [Model(id=m.id, created=m.created_at) for m in store.models()]
        return listed([Model(id=base_id, created=0) for base_id in bases] + tuned)

    @api.get("/v1/models/{model_id:path}", response_model=None, responses={200: {"model": Model}})
    def get_model(model_id: str):
        if model_id in bases:
            return Model(id=model_id, created=0)
        return Model(id=model_id, created=tuned_model(store, bases, model_id).created_at)

    @api.delete(
        "/v1/models/{model_id:path}", response_model=None, responses={200: {"model": Deleted}}
    )
    def delete_model(model_id: str):
        if model_id in bases:
            raise ApiError(
                403, tr("基础模型不能删除", "a base model cannot be deleted"), param="model"
            )
        folder = tuned_model(store, bases, model_id).folder
        # Answers under way go on: they have the model in memory.
        store.delete_model(model_id)
        shutil.rmtree(home / "models" / folder, ignore_errors=True)
        return Deleted(id=model_id, object="model")

    return api


def tuned_model(store: Store, bases: dict[str, Base], model_id: str) -> TunedModel:
    """The tuned model of that name, or a refusal with 404 that names the bases."""
    found = store.model(model_id)
    if not found:
        raise ApiError(
            404,
            tr(
                f"没有模型 {model_id}。可用的基础模型：{'、'.join(bases)}；微调模型用 job.fine_tuned_model 的值",
                f"there is no model {model_id}. Bases: {', '.join(bases)}; for a tuned model use the value of job.fine_tuned_model",
            ),
            code="model_not_found",
            param="model",
        )
    return found
