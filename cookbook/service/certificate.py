"""Serve with a certificate: read it, and say in one sentence what is wrong with it.

    tls = read(Path("fullchain.pem"), Path("privkey.pem"))
    tls.context         for the listener
    tls.names           the host names that it is for

A certificate that has expired is found here, not by thirty clients that each say it their own way.
Whether a client trusts who signed it is not known here.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cookbook.errors import ServiceError
from cookbook.terminal import printable

# What X509_verify_cert of OpenSSL reports
_NOT_YET, _EXPIRED = 9, 10


@dataclass(frozen=True)
class Tls:
    """A certificate that can be served, and the host names that it is for."""

    context: ssl.SSLContext
    names: tuple[str, ...]


def read(certificate: Path, key: Path | None = None) -> Tls:
    """Return what is needed to serve with a certificate; its key may be in the same file.

    Raises:
        ServiceError: a file cannot be read, they do not belong together, the key has a password,
            or the certificate has expired.
    """
    key = key or certificate
    for path in (certificate, key):
        _check_readable(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=_no_password(key))
    except ssl.SSLError as error:
        raise _unfit(certificate, key, error) from error
    return Tls(context, _names(context, certificate))


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except (OSError, ValueError) as error:
        name = printable(str(path))
        reason = getattr(error, "strerror", None) or error
        raise ServiceError(
            zh=f"读不了证书文件 {name}（{reason}）：检查 --certificate 和 --certificate-key",
            en=f"cannot read the certificate file {name} ({reason}): "
            "check --certificate and --certificate-key",
        ) from error


def _no_password(key: Path) -> Callable[[], str]:
    """Return what OpenSSL calls for a key with a password: nobody is there to type it."""

    def refuse() -> str:
        name = printable(key.name)
        raise ServiceError(
            zh=f"私钥 {name} 有密码：用 openssl pkey -in {name} -out plain.pem 去掉密码",
            en=f"the key {name} has a password: remove it with "
            f"openssl pkey -in {name} -out plain.pem",
        )

    return refuse


def _unfit(certificate: Path, key: Path, error: ssl.SSLError) -> ServiceError:
    first, second = printable(certificate.name), printable(key.name)
    if error.reason == "KEY_VALUES_MISMATCH":
        return ServiceError(
            zh=f"证书 {first} 和私钥 {second} 不是一对：换成签发时的那个私钥",
            en=f"the certificate {first} and the key {second} do not belong together: "
            "use the key that it was issued for",
        )
    return ServiceError(
        zh=f"{first} 和 {second} 里没有 PEM 格式的证书和私钥："
        "用 --certificate 给证书（fullchain），用 --certificate-key 给私钥",
        en=f"there are no certificate and key in PEM in {first} and {second}: give the certificate "
        "(fullchain) with --certificate and its key with --certificate-key",
    )


def _names(context: ssl.SSLContext, certificate: Path) -> tuple[str, ...]:
    """Return the host names in a certificate.

    Raises:
        ServiceError: it has expired, or is not valid yet.
    """
    try:
        found = _by_handshake(context, certificate)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code not in (_NOT_YET, _EXPIRED):
            return ()
        name = printable(certificate.name)
        raise ServiceError(
            zh=f"证书 {name} 已过期或还没有生效：换一张新的（或检查这台机器的时钟）",
            en=f"the certificate {name} has expired or is not valid yet: get a new one "
            "(or check this machine's clock)",
        ) from error
    except ssl.SSLError:
        return ()
    entries = found.get("subjectAltName", ()) if found else ()
    return tuple(str(value) for kind, value in entries if kind == "DNS")


def _by_handshake(context: ssl.SSLContext, certificate: Path) -> dict | None:
    """Return what a client learns of the certificate in a handshake, which happens in memory.

    The standard library reads a certificate nowhere else. The client trusts this one alone.
    """
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.load_verify_locations(certificate)
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = trusting.wrap_bio(to_client, to_server)
    waiting = [client, server]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)
    return client.getpeercert()
