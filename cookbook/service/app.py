"""The HTTP face of the embedded service: OpenAI's routes for files, fine-tuning, models and chat.

Contract: the unmodified `openai` client, whose own types every response fits (docs/api.md lists its
methods). Errors are `{"error": {"message", "type", "param", "code"}}`; what is not supported is
refused by name with 400. Every route but `/health` requires the bearer token. `/openapi.json`
describes every response.

    make_app(store, home=…, bases=…, submit=…, on_upload=…, api_key=…)

The responses are described by our own models, since importing `openai` would double the time that
the service takes to start; `tests/unit/test_contract.py` has the client check them strictly
against its types.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from cookbook import __version__, machine
from cookbook.bases import Base
from cookbook.machine import Machine
from cookbook.paths import Home
from cookbook.service import (
    batches,
    chat,
    completions,
    file_check,
    files,
    health,
    job_log,
    jobs,
    model_export,
    models,
    page,
    room,
)
from cookbook.service.activity import Activity
from cookbook.service.api_error import HANDLERS
from cookbook.service.callers import Callers
from cookbook.service.chat_request import Submit
from cookbook.service.health import HEALTH, Identity
from cookbook.service.languages import Languages
from cookbook.service.middleware import AccessMiddleware
from cookbook.service.prefix import PrefixMiddleware
from cookbook.service.presence import Presence
from cookbook.service.request_id import RequestIdMiddleware
from cookbook.service.room_gauges import Gauges
from cookbook.service.state import AppState, Check
from cookbook.service.store import Store


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document: with the token, and without 422, which is 400 here."""
        if self.openapi_schema:
            return self.openapi_schema
        document = super().openapi()
        # The middleware asks for the token, of which FastAPI knows nothing.
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        document["paths"][HEALTH]["get"]["security"] = []
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        return document


def make_app(
    store: Store,
    *,
    home: Home,
    bases: list[Base],
    submit: Submit,
    on_upload: Callable[[], None] = lambda: None,
    check: Check = file_check.check,
    has_jobs: Callable[[], bool] = lambda: False,
    chat_speed: Callable[[], float | None] = lambda: None,
    where: Callable[[], Machine | None] = lambda: machine.here(),
    addresses: Callable[[], list[str]] = list,
    api_key: str,
    loopback: bool = False,
    prefix: str = "",
) -> FastAPI:
    """Return the application.

    Args:
        store, home: the database and its data folder, where the adapters are.
        bases: those that can be tuned and asked.
        submit: starts an answer of the chat engine.
        check, on_upload: called before and after a training file is stored.
        has_jobs: tells whether a job is under way or waiting.
        chat_speed: tells how many tokens a second chat has generated lately.
        where: tells on what machine a job would be trained.
        addresses: gives the addresses at which a room's people reach the service.
        api_key: the token that every request must carry.
        loopback: the service is for this machine alone, and answers to no other host name.
        prefix: where a hub's proxy shows the service, `/services/room`.
    """
    presence = Presence(store)
    languages = Languages(store)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(presence.close)

    app = _App(
        title="siliconcloud-cookbook",
        version=__version__,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    # Each application has its own state; the routers, which are made at import, have none.
    by_id = {base.id: base for base in bases}
    app.state.shared = AppState(
        store=store,
        home=home,
        bases=by_id,
        submit=submit,
        on_upload=on_upload,
        check=check,
        presence=presence,
        languages=languages,
        gauges=Gauges(home, chat_speed),
        machine=where,
        addresses=addresses,
    )
    activity = Activity()  # read by the service to end itself when idle
    app.state.activity = activity
    app.state.identity = Identity(api_key, home.folder, activity, has_jobs, chat_speed)
    callers = Callers(api_key, store)
    app.add_middleware(
        AccessMiddleware,
        callers=callers,
        presence=presence,
        languages=languages,
        loopback=loopback,
        activity=activity,
    )
    # Added later, so it is further out: what the other refuses has an id as well.
    app.add_middleware(RequestIdMiddleware)
    if prefix:
        app.add_middleware(PrefixMiddleware, prefix=prefix)
    app.router.routes.extend(page.ROUTES)
    # `model_export` before `models`, whose names may hold slashes.
    parts = (health, files, jobs, job_log, model_export, models, room, chat, completions, batches)
    for part in parts:
        # The routes themselves: `include_router` would make each again for every application.
        app.router.routes.extend(part.router.routes)
    return app
