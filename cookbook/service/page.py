"""Serve the page of the room: `/`, with its script and its style sheet.

Open to all (`middleware.PUBLIC`), since the three files hold nothing of anybody. Whoever opens the
page gives it a key, which it sends as a bearer token with each call of `/v1/room` (`room.py`). It
loads nothing from another host, and the headers below have the browser make sure of that.

Every address in the files is relative: they work below a path of a proxy, as `/services/room/`.
"""

from functools import cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response

PATHS = ("/", "/room.js", "/room.css")

_FOLDER = Path(__file__).with_name("page")
# No script or style of the page's own either, but for the two files: a name or an error message
# that was taken for markup could do nothing.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # After an update of the package the three must fit one another.
    "Cache-Control": "no-store",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> Response:
    return _answer("room.html", "text/html")


@router.get("/room.js")
async def script() -> Response:
    return _answer("room.js", "text/javascript")


@router.get("/room.css")
async def style() -> Response:
    return _answer("room.css", "text/css")


def _answer(name: str, media_type: str) -> Response:
    return Response(_content(name), media_type=f"{media_type}; charset=utf-8", headers=_HEADERS)


@cache
def _content(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()
