"""What a request for answers is looked up and checked for before it goes to the engine.

Chat and completions share it: the model, room for the choices, a seed for each of them.
"""

from pathlib import Path

from cookbook.bases import Base
from cookbook.service import limits
from cookbook.service.api_error import ApiError
from cookbook.service.models import tuned_model
from cookbook.service.state import AppState

MAX_CHOICES = 8  # of one prompt
_SEED_STEP = 0x9E3779B97F4A7C15  # odd, and far from the seeds that people choose


def seed_of(seed: int | None, choice: int) -> int | None:
    """Return the seed of one of several choices: the first has the request's own."""
    if seed is None or choice == 0:
        return seed
    # As a signed number of 64 bits, which is what a generator takes.
    mixed = (seed + choice * _SEED_STEP) % 2**64
    return mixed - 2**64 if mixed >= 2**63 else mixed


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


def check_room(state: AppState, choices: int) -> None:
    """Raise ApiError if so many choices cannot be started at present."""
    under_way = sum(answer.choices for answer in state.answers)
    if under_way + choices > limits.CHATS:
        raise ApiError(
            429,
            zh=f"已有 {under_way} 个回答在进行，上限是 {limits.CHATS} 个：稍后再问",
            en=f"{under_way} answers are under way, the limit is {limits.CHATS}: "
            "ask again in a moment",
            code="too_many_requests",
            headers={"retry-after": "2"},
        )
