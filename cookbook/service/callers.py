"""Who calls: whoever runs the service, or somebody of the room, by the key of the request.

The service's own key is the leader's. Everybody else has a key of their own, see `store/people.py`.
"""

import hmac
from dataclasses import dataclass

from fastapi.concurrency import run_in_threadpool

from cookbook.service.store import LOCAL, Store


@dataclass(frozen=True)
class Caller:
    """Somebody with a key. The leader sees everything; others see what is their own."""

    name: str
    is_leader: bool


LEADER = Caller(LOCAL, is_leader=True)


class Callers:
    """Everybody who may call a service."""

    def __init__(self, api_key: str, store: Store):
        self._key = api_key.encode()
        self._store = store

    async def of(self, authorization: bytes) -> Caller | None:
        """Return whose key an `Authorization` header bears; None if it is nobody's."""
        key = bearer(authorization)
        if hmac.compare_digest(key, self._key):
            return LEADER
        if not key:
            return None
        # It may wait for the database.
        person = await run_in_threadpool(self._store.person, key.decode("latin-1"))
        return Caller(person.name, is_leader=False) if person else None


def bearer(authorization: bytes) -> bytes:
    """Return the token of an `Authorization` header; nothing where it has another scheme."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""
