"""Tell whether the service runs, and prove whose it is: `GET /health`.

Open to all, since a monitor has no token. To a nonce it answers with a proof that it knows the
token of this data folder (`address.proof`), so that nobody has to send theirs to find out. With a
right token it tells whether it may be restarted without disturbing anybody, and how fast it
answers; and it takes an `Accept-Language` for that of the leader's notebook.
"""

import hmac
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from cookbook import __version__
from cookbook.address import proof
from cookbook.service.activity import Activity
from cookbook.service.api_error import RESPONSES
from cookbook.service.callers import bearer
from cookbook.service.languages import asked_by
from cookbook.service.store import LOCAL

HEALTH = "/health"
LONGEST_NONCE = 200


@dataclass(frozen=True)
class Identity:
    """Whose service this is, and what tells whether somebody uses it."""

    api_key: str
    folder: Path
    activity: Activity
    has_jobs: Callable[[], bool]
    chat_speed: Callable[[], float | None]

    def is_busy(self) -> bool:
        return self.activity.in_use or self.has_jobs()


class Health(BaseModel):
    status: Literal["ok"] = "ok"
    version: str
    proof: str | None = None
    busy: bool | None = None
    chat_tokens_per_second: float | None = None


router = APIRouter(responses=RESPONSES)

Nonce = Annotated[str | None, Query(max_length=LONGEST_NONCE)]


@router.get(HEALTH, response_model_exclude_none=True)
async def health(request: Request, nonce: Nonce = None) -> Health:
    identity: Identity = request.app.state.identity
    answer = Health(version=__version__)
    # From elsewhere a proof would help to guess a weak key, and nobody there asks for it.
    if nonce is not None and _is_from_here(request):
        answer.proof = proof(identity.api_key, nonce, identity.folder)
    given = request.headers.get("authorization", "").encode("latin-1")
    if hmac.compare_digest(bearer(given), identity.api_key.encode()):
        language = asked_by(request)
        if language is not None:
            request.app.state.shared.languages.note(LOCAL, language)
        # It may wait for the database.
        answer.busy = await run_in_threadpool(identity.is_busy)
        answer.chat_tokens_per_second = identity.chat_speed()
    return answer


def _is_from_here(request: Request) -> bool:
    """Return whether the request comes from this machine."""
    client = request.scope.get("client")
    server = request.scope.get("server")
    if not client or not server:
        return False
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return False
    # To an address of its own, a machine connects from the same one.
    return bool(address.is_loopback or client[0] == server[0])
