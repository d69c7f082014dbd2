"""Give every response an `x-request-id`, by which its line in the log is found.

The official client shows it as `response._request_id` and `error.request_id`.
"""

import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-request-id"
_KEY = "cookbook.request_id"  # in the scope of a request


def request_id(scope: Scope) -> str:
    """Return the id of a request; the same one each time it is asked for."""
    number: str = scope.setdefault(_KEY, new_request_id())
    return number


def new_request_id() -> str:
    """Return an id that no other request has."""
    return f"req_{secrets.token_hex(12)}"


class RequestIdMiddleware:
    """ASGI middleware. The response to an error of the service itself is not sent through it."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        header = (HEADER.encode(), request_id(scope).encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), header]
            await send(message)

        await self._app(scope, receive, send_with_id)
