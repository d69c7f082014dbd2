"""Share a model with everybody in the room, and take it back.

    room.share(client, job.fine_tuned_model)

Others can ask it and see it in `client.models.list()`; they can neither change nor delete it.
"""

from typing import TYPE_CHECKING
from urllib.parse import quote

from cookbook.errors import ArgumentError
from cookbook.room.view import in_room, refused

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import Model


def share(client: "OpenAI", model: str) -> "Model":
    """Let everybody in the room use a model of one's own; return it.

    Raises:
        ArgumentError: `model` is not the name of a tuned model, or `client` no client of a room.
        ServiceError: there is no such model, or it is somebody else's; or the room does not answer.
    """
    return _post(client, model, "share")


def unshare(client: "OpenAI", model: str) -> "Model":
    """Keep a model to oneself again; return it. See `share`."""
    return _post(client, model, "unshare")


def _post(client: "OpenAI", model: str, act: str) -> "Model":
    import openai
    from openai.types import Model

    client = in_room(client)
    name = _name(model)
    try:
        # The name of a base holds a slash, and that of a person may hold any letter.
        return client.post(f"/models/{quote(name, safe='/:')}/{act}", cast_to=Model)
    except openai.APIError as error:
        raise refused(error) from None


def _name(model: object) -> str:
    """Return the name of a tuned model.

    Raises:
        ArgumentError: it is something else.
    """
    if isinstance(model, str) and model.strip().startswith("ft:"):
        return model.strip()
    shown = f"{model!r:.60}" if isinstance(model, str | None) else type(model).__name__
    raise ArgumentError(
        zh=f"{shown} 不是微调模型的名字：用任务成功后的 job.fine_tuned_model，以 ft: 开头",
        en=f"{shown} is not the name of a tuned model: pass the job.fine_tuned_model of a job that "
        "has succeeded, which begins with ft:",
    )
