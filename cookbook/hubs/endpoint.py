"""Read where a hub is, its own address or a mirror's, with a mirror's password kept apart.

    endpoint = read("https://huggingface.co", "HF_ENDPOINT")
    endpoint.address            for requests and sentences; never with a user or password
    endpoint.credentials        what the requests are signed with

A mirror of a company may be `https://user:password@host`. Whatever shows an address, or logs a
request, then shows no password, since the address does not have it.
"""

import os
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from cookbook import environment
from cookbook.errors import ArgumentError


@dataclass(frozen=True)
class Endpoint:
    """Where a hub is.

    Attributes:
        address: a URL without a slash at the end.
        credentials: user and password of a mirror; None where it has none.
        variable: what named the mirror; empty for the hub itself.
    """

    address: str
    credentials: tuple[str, str] | None = field(default=None, repr=False)
    variable: str = ""


def read(default: str, *variables: str) -> Endpoint:
    """Return the mirror that the first of these variables names, else the hub itself.

    Raises:
        ArgumentError: it is not an address; the sentence does not repeat it.
    """
    for variable in variables:
        given = environment.value_of(variable, os.environ).rstrip("/")
        if given:
            return _of(given if "://" in given else f"https://{given}", variable)
    return Endpoint(default)


def _of(url: str, variable: str) -> Endpoint:
    try:
        parts = urlsplit(url)
        user_info, _, host = parts.netloc.rpartition("@")
        _ = parts.port  # raises ValueError
    except ValueError as error:
        raise _not_an_address(variable) from error
    # Behind a /, ? or # of a password, the rest of it would be taken for the path.
    rest = url.partition(parts.netloc)[2] if parts.netloc else "@"
    usable = parts.scheme in ("http", "https") and parts.hostname and url.isprintable()
    if not usable or "@" in rest or " " in url:
        raise _not_an_address(variable)
    user, _, password = user_info.partition(":")
    credentials = (unquote(user), unquote(password)) if user_info else None
    return Endpoint(f"{parts.scheme}://{host}{rest}", credentials, variable)


def _not_an_address(variable: str) -> ArgumentError:
    return ArgumentError(
        zh=f"环境变量 {variable} 不是网址：写成 https://主机 这样；"
        "密码里的 / ? # @ 和空格要写成 %2F %3F %23 %40 %20",
        en=f"{variable} is not a valid address: write it as https://HOST; in a password write "
        "/ ? # @ and a space as %2F %3F %23 %40 %20",
    )
