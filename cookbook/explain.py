"""Explain a failed request in one sentence that says what to do: `explain(error)`.

Works for SiliconCloud and for the embedded service. Errors are recognized by the names of their
types, so neither `openai` nor an HTTP library is loaded for it.
"""

from cookbook import siliconcloud
from cookbook.i18n import tr
from cookbook.terminal import printable


def explain(error: BaseException) -> str:
    """Return the sentence for an error of the `openai` client or a cut stream. Never raise."""
    body = getattr(error, "body", None)
    if isinstance(body, dict) and isinstance(body.get("type"), str):
        # The embedded service's message says what to do itself.
        return printable(str(body.get("message")))
    known = _siliconcloud(error, body) or _connection(error)
    return known or printable(f"{type(error).__name__}: {error}")


def _siliconcloud(error: BaseException, body: object) -> str | None:
    """Return the remedy for the platform's own code, or for the HTTP status where it sent none."""
    status = getattr(error, "status_code", None)
    code = body.get("code") if isinstance(body, dict) else None
    remedy = None
    # The code says more than the status: 403 can be the balance or the account.
    for number in (code, status):
        if remedy is None and isinstance(number, int):
            remedy = siliconcloud.REMEDIES.get(number)
    if remedy is None:
        return None
    # Both numbers are shown, since they are what a search of the platform's documentation finds.
    numbers = f"{status} / {code}" if code else f"{status}"
    return f"{tr(*remedy)} [{numbers}]"


def _connection(error: BaseException) -> str | None:
    # The cause tells how a connection failed: the client wraps its transport's error.
    errors = [error] if error.__cause__ is None else [error, error.__cause__]
    names = {kind.__name__ for e in errors for kind in type(e).__mro__}
    if names & {"APITimeoutError", "TimeoutException"}:
        return tr(
            "等了太久没有应答：检查网络，或减小 max_tokens 再试",
            "no answer in time: check the network or lower max_tokens",
        )
    if names & {"RemoteProtocolError", "ReadError", "IncompleteRead"}:
        return tr("回答传到一半断了：再试一次", "the answer broke off in the middle: try again")
    if names & {"APIConnectionError", "ConnectError", "ConnectionError"}:
        return tr(
            "连不上服务：内嵌服务可能停了，再运行一次 connect() 那一格；"
            "在云上则检查网络和 base_url",
            "cannot reach the service: the embedded one may have stopped, so run the cell with "
            "connect() again; for the cloud check the network and base_url",
        )
    return None
