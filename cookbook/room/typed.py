"""Read what people type from a slip of paper or paste from a chat: an address, a key.

    address("192.168.1.5：8765/")      -> "http://192.168.1.5:8765/v1"
    key("ROOM abcd efgh jkmn pqrs")    -> "room-abcd-efgh-jkmn-pqrs"

Full-width characters, quotes, blanks around signs and invisible characters are put right. Whatever
else is not an address is refused in a sentence, and nothing is guessed: no port, no other host. A
key is changed only where it has the form of a room's; any other is sent as it is.
"""

import ipaddress
import re
import unicodedata
from urllib.parse import SplitResult, urlsplit

from cookbook import siliconcloud
from cookbook.address import in_url
from cookbook.client import is_api_key
from cookbook.errors import ArgumentError, KeyMissing
from cookbook.quoted import without_password

KEY_LETTERS = "abcdefghjkmnpqrstuvwxyz"
"""Those of a room's keys: none that looks like another on paper."""

EXAMPLE = "http://192.168.1.5:8765"

_LONGEST = 500  # letters of a text that is read at all
_LONGEST_SHOWN = 80
_QUOTES = "\"'`“”‘’「」『』《》<>()【】"  # not [ ], which are around an IPv6 address
_ENDINGS = "，。、；！？,;!?"
_NAME = re.compile(r"(?:export |set )?\s?COOKBOOK_(?:SERVICE|KEY)\s?[=:]\s?", re.IGNORECASE)
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−﹘", "-"))
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"(https?) ?[:;]? ?/{0,9}(?<=[:;/])", re.IGNORECASE)
_KEY_LIKE = re.compile(r"room[\s_-]?[a-z]{4}[\s_-]?[a-z]{4}[\s_a-z-]{0,12}", re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")


def is_address(text: str) -> bool:
    """Return whether somebody meant an address by it, and not the name of a service."""
    tidied = _tidied(text)
    return any(sign in tidied for sign in ":/.\\") or tidied.lower() == "localhost"


def address(text: str) -> str:
    """Return the base URL that an OpenAI client takes, ending in /v1.

    Raises:
        ArgumentError: it is not an address, or not one of a room; the text says what is wrong.
    """
    given = _tidied(text).replace("\\", "/").replace("。", ".")
    given = re.sub(r"\s?([:/.])\s?", r"\1", given)
    shown = _shown(text)
    if re.search(r"\s", given) or not given.isprintable():
        raise _wrong(
            shown,
            "只填地址，不要带密钥或别的文字",
            "give the address alone, without the key or other words",
        )
    return _base_url(_split(given, shown), shown)


def key(text: str) -> str:
    """Return the key as it is sent.

    Raises:
        KeyMissing: it cannot be a key. The text never shows any of it.
    """
    letters = re.sub(r"[\s_-]", "", _tidied(text).translate(_DASHES).lower())
    if re.fullmatch(f"room[{KEY_LETTERS}]{{16}}", letters):
        return "-".join(letters[at : at + 4] for at in range(0, len(letters), 4))
    # The leader's own, or that of a proxy: any sign may be part of it.
    given = text.strip()
    if not is_api_key(given):
        raise KeyMissing(
            zh="COOKBOOK_KEY 不是密钥（有空格或英文以外的字符）：照密钥条重新输入，"
            "它像 room-abcd-efgh-jkmn-pqrs",
            en="COOKBOOK_KEY is not a key (it contains spaces or characters beyond ASCII): type it "
            "again from the slip, it looks like room-abcd-efgh-jkmn-pqrs",
        )
    return given


def key_hint(sent: str) -> tuple[str, str]:
    """Return what is odd about a key that a room refused, zh and en; empty where nothing is."""
    letters = re.sub(r"[\s_-]", "", sent.lower())
    if not letters.startswith("room"):
        return "", ""
    letters = letters.removeprefix("room")
    odd = sorted(set(letters) - set(KEY_LETTERS))
    if odd:
        listed = " ".join(odd)
        return f"（密钥里不会有 {listed}）", f" (no key contains {listed})"
    if len(letters) != 16:
        n = len(letters)
        return f"（room 后面应有 16 个字母，现有 {n} 个）", f" (16 letters follow room, not {n})"
    return "", ""


def _tidied(text: str) -> str:
    """Return a text as it was meant: half-width, without what surrounds it in a message."""
    text = unicodedata.normalize("NFKC", text[:_LONGEST])
    # Zero-width characters, and marks of direction, come with what is pasted.
    text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    text = _NAME.sub("", text.strip(), count=1)
    text = text.strip().rstrip(_ENDINGS).strip().strip(_QUOTES).strip()
    return re.sub(r"\s{1,500}", " ", text)


def _split(given: str, shown: str) -> SplitResult:
    if found := _SCHEME.match(given):
        # "http:/192…", "HTTP//192…"
        given = f"{found[1].lower()}://{given[found.end() :]}"
    elif _is_ipv6(given):
        given = f"http://[{given}]"
    elif "://" not in given:
        given = f"http://{given.lstrip('/')}"
    try:
        parts = urlsplit(given)
        _ = parts.port  # raises ValueError
    except ValueError:
        raise _wrong(
            shown,
            f"端口或括号不对，应像 {EXAMPLE}",
            f"its port or brackets are wrong, write it like {EXAMPLE}",
        ) from None
    # "C:/Users" is a file, not a host of one letter.
    is_file = re.match(r"http://[a-z]:/", given, re.IGNORECASE)
    if parts.scheme not in _DEFAULT_PORTS or is_file:
        raise _wrong(
            shown, "应以 http:// 或 https:// 开头", "it must begin with http:// or https://"
        )
    if parts.username is not None or parts.password is not None:
        raise _wrong(shown, "去掉用户名和密码", "leave out the user name and the password")
    return parts


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _base_url(parts: SplitResult, shown: str) -> str:
    host = _host(parts.hostname or "", shown)
    if host.endswith(siliconcloud.HOSTS):
        raise _wrong(
            shown,
            '这是 SiliconCloud，用 connect("siliconcloud")',
            'this is SiliconCloud: use connect("siliconcloud")',
        )
    port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    if parts.port == 0:
        raise _wrong(shown, "端口不能是 0", "the port cannot be 0")
    # A slash at the end, the client's own /v1, or the address of the room's route itself.
    folders = [part for part in parts.path.split("/") if part]
    if "v1" in folders:
        folders = folders[: folders.index("v1")]
    path = "".join(f"/{part}" for part in folders)
    return f"{parts.scheme}://{host}{port}{path}/v1"


def _host(host: str, shown: str) -> str:
    """Return a host's name or address as a URL has it."""
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return _host_name(host, shown)
    if number.is_unspecified:
        raise _wrong(
            shown,
            "这是服务监听用的地址，别的机器连不上，向组织者要课堂的地址",
            "a service listens there, but others cannot reach it: ask the leader for the room's "
            "address",
        )
    if getattr(number, "scope_id", None):
        raise _wrong(
            shown, "带 % 的地址只在一台机器上有效", "an address with % is valid on one machine only"
        )
    return in_url(str(number))


def _host_name(host: str, shown: str) -> str:
    # Neither "192.168.1" nor "192.168.1.555" is a name.
    if re.fullmatch(r"[\d.]{1,80}", host):
        raise _wrong(
            shown,
            f"IP 地址不完整或写错了，应像 {EXAMPLE}",
            f"the IP address is incomplete or wrong, write it like {EXAMPLE}",
        )
    try:
        name = host.rstrip(".").encode("idna").decode().lower()
    except UnicodeError:
        name = ""
    if not name or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise _wrong(
            shown,
            f"没有主机名，应像 {EXAMPLE}",
            f"it has no valid host name, write it like {EXAMPLE}",
        )
    return name


def _shown(text: str) -> str:
    """Return an address for a message, without what may be a password or a key."""
    # Half-width: an @ that comes from a Chinese keyboard is one as well.
    text = unicodedata.normalize("NFKC", text.strip()[:_LONGEST])
    text = _KEY_LIKE.sub("room-…", without_password(text))
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def _wrong(shown: str, zh: str, en: str) -> ArgumentError:
    return ArgumentError(
        zh=f"课堂的地址 {shown!r} 不能用：{zh}",
        en=f"the room's address {shown!r} cannot be used: {en}",
    )
