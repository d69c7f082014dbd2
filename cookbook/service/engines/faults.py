"""Say in one sentence what an engine refuses or lacks, and what to start it with.

Each function returns an `EngineFault`, which becomes the error of an answer. The texts that are
recognized are vLLM's own; what is not recognized is quoted.
"""

import re
from collections.abc import Sequence
from typing import Any

from cookbook.bases import Base
from cookbook.errors import CookbookError
from cookbook.quoted import one_line, without_password, without_passwords
from cookbook.service.chat_request import ChatRequest

RANKS = (8, 16, 32, 64, 128, 256, 512)
"""Values of `--max-lora-rank` that vLLM takes."""

_RANK = re.compile(r"rank (\d+) is greater than max_lora_rank (\d+)", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"maximum (context|model|input) length|max_model_len|context length|is too large", re.IGNORECASE
)
_BAD_SCHEMA = re.compile(r"grammar|schema|structured|guided|xgrammar|guidance", re.IGNORECASE)
_BAD_PROMPT = re.compile(r"out of vocabulary|token.?id|non-empty", re.IGNORECASE)
_NOT_FOUND = re.compile(r"no adapter found|no such file|does not exist|not found", re.IGNORECASE)
_NO_ROUTE = re.compile(r"(not found|method not allowed|not implemented)?\.?", re.IGNORECASE)
_LORA_OFF = re.compile(r"lora is not enabled|enable[-_]lora", re.IGNORECASE)
_LOADED_ALREADY = re.compile(r"already been loaded|already loaded", re.IGNORECASE)


class EngineFault(CookbookError, RuntimeError):
    """An engine cannot answer a request.

    Attributes:
        code: the answer's error code (`service/answers.py` has the status of each).
        elsewhere: whether another engine may be able to.
    """

    def __init__(self, zh: str, en: str, code: str = "model_unavailable", elsewhere: bool = True):
        super().__init__(zh, en)
        self.code, self.elsewhere = code, elsewhere


class NotLoaded(EngineFault):
    """The engine knows no model of that name, as after its restart."""


class TooLong(EngineFault):
    """The prompt, or the prompt and what may follow it, has no room in the context."""


def unreachable(address: str, error: BaseException) -> EngineFault:
    reason = _quoted(str(error)) or type(error).__name__
    shown = without_password(address)
    return EngineFault(
        zh=f"推理引擎 {shown} 连不上（{reason}）：看看它是否在运行，再问一次",
        en=f"the engine at {shown} cannot be reached ({reason}): check that it is "
        "running, then ask again",
    )


def no_client(address: str, error: Exception) -> EngineFault:
    shown = without_password(address)
    reason = _quoted(str(error))
    return EngineFault(
        zh=f"无法向推理引擎 {shown} 发送请求（{reason}）：改正或删掉环境变量里的代理和证书"
        "（HTTP_PROXY、SSL_CERT_FILE 等）",
        en=f"no request can be sent to the engine at {shown} ({reason}): correct or unset the "
        "environment's variables for proxies and certificates (HTTP_PROXY, SSL_CERT_FILE, …)",
    )


def broke_off(address: str, reason: str) -> EngineFault:
    shown = without_password(address)
    quoted = _quoted(reason)
    return EngineFault(
        zh=f"推理引擎 {shown} 在回答中途断开（{quoted}），回答不完整：再问一次",
        en=f"the engine at {shown} broke off in the middle of the answer ({quoted}), which is not "
        "complete: ask again",
    )


def joined(faults: Sequence[EngineFault]) -> EngineFault:
    """Return one fault for several engines, none of which answers."""
    if len(faults) == 1:
        return faults[0]
    zh = "；".join(fault.zh for fault in faults)
    return EngineFault(zh=zh, en="; ".join(fault.en for fault in faults))


def key_refused(address: str) -> EngineFault:
    shown = without_password(address)
    return EngineFault(
        zh=f"推理引擎 {shown} 不接受密钥：用 --engine-key 或 COOKBOOK_ENGINE_KEY "
        "设成它的 --api-key",
        en=f"the engine at {shown} refuses the key: set --engine-key or COOKBOOK_ENGINE_KEY to its "
        "--api-key",
    )


def unknown_server(address: str, found: str) -> EngineFault:
    shown = without_password(address)
    return EngineFault(
        zh=f"{shown} 不像 vLLM（GET /v1/models：{_quoted(found)}）：检查 --engine 的地址",
        en=f"{shown} does not look like vLLM (GET /v1/models: {_quoted(found)}): "
        "check the address of --engine",
    )


def no_engine_for(base: Base, served: dict[str, list[str]]) -> EngineFault:
    """Return the fault for a base that no engine serves; `served` are the bases by address."""
    lists = []
    for address, names in served.items():
        lists.append(f"{without_password(address)} {', '.join(names) or '-'}")
    found = "; ".join(lists)
    # A name without spaces or marks can be typed as it is.
    source = base.source if re.fullmatch(r"[\w./:@-]+", base.source) else f'"{base.source}"'
    command = (
        f"VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve {source} "
        f"--served-model-name {base.id} --enable-lora --max-lora-rank 64"
    )
    return EngineFault(
        zh=f"没有推理引擎提供 {base.id}（{found}）：用 {command} 启动一个，"
        "再用 --engine 加上它的地址",
        en=f"no engine serves {base.id} ({found}): start one with {command}, "
        "and add its address with --engine",
    )


def no_runtime_loading(address: str) -> EngineFault:
    shown = without_password(address)
    return EngineFault(
        zh=f"推理引擎 {shown} 不能在运行中加载适配器：启动 vLLM 时设 "
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True，并加上 --enable-lora --max-lora-rank 64",
        en=f"the engine at {shown} does not load adapters while it runs: start vLLM with "
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, --enable-lora and --max-lora-rank 64",
    )


def no_folder(address: str) -> EngineFault:
    shown = without_password(address)
    return EngineFault(
        zh=f"推理引擎 {shown} 在另一台机器上，看不到适配器，只能回答基础模型："
        "用 --engine-models 或 COOKBOOK_ENGINE_MODELS 指定服务和它都能看到的目录",
        en=f"the engine at {shown} is on another machine and sees no adapters, so it can only "
        "answer for base models: use --engine-models or COOKBOOK_ENGINE_MODELS to name a folder "
        "that both can see",
    )


def folder_not_writable(error: OSError, folder: str) -> EngineFault:
    reason = error.strerror or error
    return EngineFault(
        zh=f"适配器不能写进目录 {folder}（{reason}）：检查它的权限和剩余空间",
        en=f"the adapter cannot be written to the folder {folder} ({reason}): check its "
        "permissions and the free space",
        elsewhere=False,
    )


def adapter_gone(model: str) -> EngineFault:
    return EngineFault(
        zh=f"模型 {model} 的文件不在了：重新训练，或换一个模型",
        en=f"the files of the model {model} are gone: train it again, or use another model",
        code="model_broken",
        elsewhere=False,
    )


def load_refused(address: str, status: int, text: str, path: str) -> EngineFault | None:
    """Return why an engine did not load an adapter; None where it has it already."""
    shown = without_password(address)
    if _LOADED_ALREADY.search(text):
        return None
    if status in (401, 403):
        return key_refused(address)
    if found := _RANK.search(text):
        rank, limit = int(found[1]), found[2]
        enough = next((value for value in RANKS if value >= rank), rank)
        return EngineFault(
            zh=f"推理引擎 {shown} 最多接受秩为 {limit} 的适配器，这个是 {rank}："
            f"启动 vLLM 时加上 --max-lora-rank {enough}",
            en=f"the engine at {shown} takes adapters up to rank {limit}, this one has {rank}: "
            f"start vLLM with --max-lora-rank {enough}",
        )
    if _LORA_OFF.search(text):
        return no_runtime_loading(address)
    # A server without the route says no more.
    if status in (404, 405, 501) and _NO_ROUTE.fullmatch(text.strip()):
        return no_runtime_loading(address)
    if _NOT_FOUND.search(text):
        return EngineFault(
            zh=f"推理引擎 {shown} 看不到适配器的目录 {path}：用 --engine-models 指定服务和它都能"
            "读的目录；它看到的路径不同时写成 --engine-models 目录=它的路径",
            en=f"the engine at {shown} does not see the adapter's folder {path}: name a folder "
            "that both can read with --engine-models, as DIR=THERE where the engine sees it under "
            "another path",
        )
    return EngineFault(
        zh=f"推理引擎 {shown} 没有加载适配器（{status}，{_quoted(text)}）：详见它的日志",
        en=f"the engine at {shown} did not load the adapter ({status}: {_quoted(text)}): "
        "its log has more",
    )


def not_unloaded(address: str, status: int, text: str) -> EngineFault:
    shown = without_password(address)
    return EngineFault(
        zh=f"推理引擎 {shown} 没有卸载适配器（{status}，{_quoted(text)}）：详见它的日志",
        en=f"the engine at {shown} did not unload an adapter ({status}: {_quoted(text)}): "
        "its log has more",
    )


def answer_refused(address: str, status: int, text: str, request: ChatRequest) -> EngineFault:
    """Return why an engine did not answer."""
    shown = without_password(address)
    quoted = _quoted(text)
    if status in (401, 403):
        return key_refused(address)
    if status == 404:
        return NotLoaded(
            zh=f"推理引擎 {shown} 没有这个模型（{quoted}）：再问一次，或重启它",
            en=f"the engine at {shown} has no such model ({quoted}): ask again, or restart it",
        )
    if status == 429 or status >= 500:
        return EngineFault(
            zh=f"推理引擎 {shown} 没有回答（{status}，{quoted}）：稍后再问，详见它的日志",
            en=f"the engine at {shown} did not answer ({status}: {quoted}): ask again in a moment; "
            "its log has more",
        )
    code, kind = "engine_refused", EngineFault
    if _TOO_LONG.search(text):
        code, kind = "context_length_exceeded", TooLong
    elif request.schema and _BAD_SCHEMA.search(text):
        code = "invalid_schema"
    elif request.prompt is not None and _BAD_PROMPT.search(text):
        code = "invalid_prompt"
    return kind(
        zh=f"推理引擎 {shown} 不接受这个请求：{quoted}",
        en=f"the engine at {shown} refuses this request: {quoted}",
        code=code,
        elsewhere=False,
    )


def special_token(mark: str) -> EngineFault:
    """Return the fault for a message that would close its own turn."""
    return EngineFault(
        zh=f"内容里写了特殊标记 {mark}，推理引擎不能把它当普通文字读：删去标记",
        en=f"a message contains the special token {mark}, which the engine cannot read as plain "
        "text: remove the token",
        code="invalid_messages",
        elsewhere=False,
    )


def _quoted(text: str) -> str:
    """Return what an engine or a library said, on one line and without a password."""
    return without_passwords(one_line(text))


def message_of(content: bytes) -> str:
    """Return the text of an engine's error, from the shapes that servers use."""
    import orjson

    text = content.decode("utf-8", "replace")
    try:
        body: Any = orjson.loads(content)
    except ValueError:
        return text
    if isinstance(body, dict):
        inner = body.get("error", body)
        if isinstance(inner, dict):
            inner = inner.get("message") or inner.get("detail") or inner
        return str(inner)
    return text
