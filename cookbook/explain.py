"""Explain a failed request in one sentence with what to do about it: `explain(error)`."""

from cookbook.i18n import tr

# What SiliconCloud's API reference says it answers, by its own code or else by HTTP status: (zh, en).
_REMEDIES: dict[int, tuple[str, str]] = {
    20012: (
        "平台没有这个模型：微调模型的标识符从控制台的模型微调页重新复制，基础模型的名字用 client.models.list() 核对",
        "the platform has no such model: copy a tuned model's identifier again from the console's fine-tuning page, check the "
        "name of a base with client.models.list()",
    ),
    20015: (
        "有参数不合规则：核对 messages、max_tokens、temperature 等的取值，或先去掉可选的参数再试",
        "a parameter is not valid: check messages, max_tokens, temperature and so on, or leave the optional ones out",
    ),
    30001: (
        "账户余额不足：在控制台充值后再试",
        "the account's balance is too low: top it up in the console",
    ),
    401: (
        "API key 不对：核对环境变量 SILICONFLOW_API_KEY；key 和地址要属于同一个站点（.cn 或 .com）",
        "wrong API key: check SILICONFLOW_API_KEY; the key and the address must belong to the same site (.cn or .com)",
    ),
    403: (
        "没有权限：多半是没有实名认证，或余额不足，在控制台的账户页查看",
        "forbidden: most often the account is not verified by real name or its balance is too low; see the console",
    ),
    404: (
        "平台没有这个地址：base_url 应以 /v1 结尾；微调任务没有公开接口，只能在控制台创建",
        "no such address: base_url should end in /v1; fine-tuning jobs have no public route, they are made in the console",
    ),
    429: (
        "请求太密，被限流（失败的请求也计数）：等一分钟，减少同时发出的请求再试",
        "rate limited (failed requests count too): wait a minute, send fewer requests at once",
    ),
    503: (
        "模型服务过载：过一会儿再试，或换一个模型",
        "the model is overloaded: try again in a while, or another model",
    ),
    504: (
        "平台超时没有答完：改用 stream=True，或减小 max_tokens 再试",
        "the platform timed out: use stream=True or a smaller max_tokens",
    ),
}


def explain(error: BaseException) -> str:
    """An error of a request to SiliconCloud or to the embedded service in one sentence, with what to do about it.

    Understands what the `openai` client raises, and a stream that was cut (`httpx`). Never raises itself.
    """
    body, status = getattr(error, "body", None), getattr(error, "status_code", None)
    if isinstance(body, dict) and isinstance(
        body.get("type"), str
    ):  # the embedded service says what to do itself
        return str(body.get("message"))
    code = body.get("code") if isinstance(body, dict) else None
    known = (
        _REMEDIES.get(code) or _REMEDIES.get(status)
        if isinstance(code, int | None)
        else _REMEDIES.get(status)
    )
    if known:
        return tr(*known) + f" [{status}{f' / {code}' if code else ''}]"
    # By name, so that neither `openai` nor the HTTP library need be loaded; the cause tells how a connection failed.
    names = {kind.__name__ for e in (error, error.__cause__) for kind in type(e).__mro__}
    if "APITimeoutError" in names or "TimeoutException" in names:
        return tr(
            "等了太久没有应答：检查网络，或减小 max_tokens 再试",
            "no answer in time: check the network or lower max_tokens",
        )
    if names & {"RemoteProtocolError", "ReadError", "IncompleteRead"}:
        return tr("回答传到一半断了：再试一次", "the answer broke off in the middle: try again")
    if names & {"APIConnectionError", "ConnectError", "ConnectionError"}:
        return tr(
            "连不上服务：内嵌服务可能停了，再运行一次 connect() 那一格；在云上则检查网络和 base_url",
            "cannot reach the service: the embedded one may have stopped, run the cell with connect() again; for the cloud "
            "check the network and base_url",
        )
    return f"{type(error).__name__}: {error}"
