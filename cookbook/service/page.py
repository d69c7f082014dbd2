"""Serve the page of the room: `/`, with its scripts and its style sheet.

Open to all (`middleware.PUBLIC`), since the files hold nothing of anybody. Whoever opens the page
gives it a key, which it sends as a bearer token with each call of `/v1/room` (`room.py`). It
loads nothing from another host, and the headers below have the browser make sure of that.

Every address in the files is relative: they work below a path of a proxy, as `/services/room/`.
"""

from functools import cache
from pathlib import Path
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

# By name, so that nothing else in the folder is ever open. `room.js` imports the others.
_SCRIPTS = (
    "api",
    "clipboard",
    "curve",
    "dialog",
    "dom",
    "entrance",
    "figures",
    "job",
    "leader",
    "model",
    "news",
    "notice",
    "now",
    "page",
    "people",
    "person",
    "question",
    "room",
    "storage",
    "texts",
)
PATHS = MappingProxyType(
    {"/": "room.html", "/room.css": "room.css"} | {f"/{name}.js": f"{name}.js" for name in _SCRIPTS}
)
"""The file of each path that needs no key: the page asks for one, and has nothing without it."""

_FOLDER = Path(__file__).with_name("page")
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
# No script or style in the page itself either: a name or an error message that was taken for
# markup could do nothing.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # After an update of the package the files must fit one another.
    "Cache-Control": "no-store",
}


def _route(path: str, name: str) -> Route:
    """Return the route that answers with a file of the page.

    One of Starlette's, which takes a hundredth of the time that FastAPI's takes to be made.
    """
    media_type = f"{_TYPES[Path(name).suffix]}; charset=utf-8"

    async def answer(_: Request) -> Response:
        return Response(_content(name), media_type=media_type, headers=_HEADERS)

    return Route(path, answer, include_in_schema=False)


@cache
def _content(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


ROUTES = [_route(path, name) for path, name in PATHS.items()]
