"""Who calls: whoever runs the service, or somebody of the room, by the key of the request.

The service's own key is the leader's. Everybody else has a key of their own, see `store/people.py`.
Whose key it was is known for a second without asking the database again: a person who is removed,
or given another key, can call that long, and no longer.
"""

import hmac
import time
from dataclasses import dataclass

from fastapi.concurrency import run_in_threadpool

from cookbook.service.store import LOCAL, Store, hash_of

KNOWN_SECONDS = 1.0
_MOST_KNOWN = 1000  # more than a room has people


@dataclass(frozen=True)
class Caller:
    """Somebody with a key. The leader sees everything; others see what is their own.

    `closes_at` is when the room closes for them, in seconds since 1970; None for never.
    """

    name: str
    is_leader: bool
    closes_at: int | None = None

    @property
    def is_late(self) -> bool:
        """Return whether the room has closed for them."""
        return self.closes_at is not None and time.time() >= self.closes_at


LEADER = Caller(LOCAL, is_leader=True)


class Callers:
    """Everybody who may call a service."""

    def __init__(self, api_key: str, store: Store, known_seconds: float = KNOWN_SECONDS):
        self._key = api_key.encode()
        self._store = store
        self._known_seconds = known_seconds
        # By the hash of the key; with the time until which it is known.
        self._known: dict[str, tuple[Caller, float]] = {}

    async def of(self, authorization: bytes) -> Caller | None:
        """Return whose key an `Authorization` header bears; None if it is nobody's."""
        key = bearer(authorization)
        if hmac.compare_digest(key, self._key):
            return LEADER
        if not key:
            return None
        text = key.decode("latin-1")
        digest = hash_of(text)
        caller, until = self._known.get(digest, (None, 0.0))
        if caller is not None and time.monotonic() < until:
            return caller
        # It may wait for the database.
        caller = await run_in_threadpool(self._look_up, text)
        self._remember(digest, caller)
        return caller

    async def is_room(self) -> bool:
        """Return whether anybody but the leader has a key."""
        return await run_in_threadpool(self._store.has_people)

    def _look_up(self, key: str) -> Caller | None:
        person = self._store.person(key)
        if person is None:
            return None
        return Caller(person.name, is_leader=False, closes_at=self._store.closes_at())

    def _remember(self, digest: str, caller: Caller | None) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        # Wrong keys are not kept: there is no end of them.
        if caller is None:
            self._known.pop(digest, None)
        else:
            self._known[digest] = (caller, time.monotonic() + self._known_seconds)


def bearer(authorization: bytes) -> bytes:
    """Return the token of an `Authorization` header; nothing where it has another scheme."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""
