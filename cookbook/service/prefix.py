"""Answer under another address as well, as a hub's proxy asks: /services/room/v1/… as /v1/….

JupyterHub's proxy passes a request on with its whole path. Without a prefix nothing changes.
"""

import os

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send


def of_hub() -> str:
    """Return where the hub shows this process, if it is one of the hub's services, or else ""."""
    # A person's own server has a prefix as well, but is no service.
    if "JUPYTERHUB_SERVICE_NAME" not in os.environ:
        return ""
    return os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "").rstrip("/")


class PrefixMiddleware:
    """ASGI middleware that takes `prefix` from the path."""

    def __init__(self, app: ASGIApp, *, prefix: str):
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path == self._prefix:
            # The page's own addresses are relative: without the slash they would lead elsewhere.
            await RedirectResponse(f"{path}/")(scope, receive, send)
            return
        if path.startswith(f"{self._prefix}/"):
            scope = {**scope, "path": path[len(self._prefix) :]}
        await self._app(scope, receive, send)
