"""Keep what is known of SiliconCloud: addresses, key, console form, identifiers, errors, prices.

When the platform changes, this file changes. Everything here is documented by the platform or
marked as seen by others; nothing is guessed. There is no public route for fine-tuning jobs: they
are created in the web console.
"""

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cookbook.client import is_api_key, synchronous
from cookbook.errors import IdentifierError, KeyMissing, ServiceError
from cookbook.i18n import tr
from cookbook.paths import DATA
from cookbook.quoted import without_password

if TYPE_CHECKING:
    import pandas as pd
    from openai import OpenAI

CONSOLE = "https://cloud.siliconflow.cn/fine-tune"
KEYS_PAGE = "https://cloud.siliconflow.cn/account/ak"
DEFAULT_ADDRESS = "https://api.siliconflow.cn/v1"
HOSTS = ("siliconflow.cn", "siliconflow.com")
"""How the names of its hosts end: the Chinese and the international site."""

BASES = tuple(f"Qwen/Qwen2.5-{size}-Instruct" for size in ("7B", "14B", "32B", "72B"))
"""Base models of the platform's guide as of November 2026; the console has the live list."""

FORM_LABELS = {
    "learning_rate": "Learning Rate",
    "n_epochs": "Number of Epochs",
    "batch_size": "Batch Size",
    "max_tokens": "Max Tokens",
    "lora_rank": "LoRA Rank",
    "lora_alpha": "LoRA Alpha",
    "lora_dropout": "LoRA Dropout",
}
"""What the console's form calls each hyperparameter, in the form's order."""

FORM_GLOSSES = {
    "任务名称": "task name",
    "基础模型": "base model",
    "训练数据": "training data",
    "验证数据": "validation data",
}
"""What the form calls the fields above them, from top to bottom, and what that means."""

TASK_FIELD, BASE_FIELD, TRAINING_FIELD, VALIDATION_FIELD = FORM_GLOSSES


def form_label(name: str) -> str:
    """Return a field's label as the form has it, in English with what it means."""
    gloss = FORM_GLOSSES.get(name)
    return name if gloss is None else tr(name, f"{name} ({gloss})")


def is_siliconcloud(client: "OpenAI") -> bool:
    """Return whether the client's requests go to the platform."""
    return synchronous(client).base_url.host.endswith(HOSTS)


def key() -> str:
    """Return the API key: `SILICONFLOW_API_KEY`, or the older `SILICONCLOUD_API_KEY`.

    Raises:
        KeyMissing: there is none, or it cannot be a key. The text never shows any of it.
    """
    given = os.environ.get("SILICONFLOW_API_KEY") or os.environ.get("SILICONCLOUD_API_KEY") or ""
    given = given.strip()
    if not given:
        raise KeyMissing(
            zh=f"没有找到 SiliconCloud 的 API key：在 {KEYS_PAGE} 新建，"
            "再设环境变量 SILICONFLOW_API_KEY（不要写进 notebook）",
            en=f"no SiliconCloud API key: create one at {KEYS_PAGE} and set the environment "
            "variable SILICONFLOW_API_KEY (never write it into a notebook)",
        )
    if not is_api_key(given):
        raise KeyMissing(
            zh="环境变量 SILICONFLOW_API_KEY 里不是 API key（有空格或英文以外的字符）："
            f"从 {KEYS_PAGE} 重新复制",
            en="SILICONFLOW_API_KEY is not an API key (it contains spaces or characters beyond "
            f"ASCII): copy it again from {KEYS_PAGE}",
        )
    return given


def address() -> str:
    """Return the API's base URL: `SILICONFLOW_BASE_URL`, or the platform's own.

    Raises:
        ServiceError: the variable does not hold a URL.
    """
    given = os.environ.get("SILICONFLOW_BASE_URL", "").strip() or DEFAULT_ADDRESS
    if not re.match(r"https?://.", given):
        shown = without_password(given)
        raise ServiceError(
            zh=f"环境变量 SILICONFLOW_BASE_URL = {shown!r} 不是地址："
            "应以 https:// 开头，以 /v1 结尾",
            en=f"SILICONFLOW_BASE_URL = {shown!r} is not a URL: "
            "it must begin with https:// and end in /v1",
        )
    return given


@dataclass(frozen=True)
class Identifier:
    """The parts of a fine-tuned model's name; `step` is None for the finished model."""

    base: str
    tenant: str
    task: str
    suffix: str
    step: int | None


def identifier(text: str) -> Identifier:
    """Split a fine-tuned model's name into its parts.

    The name is ``ft:LoRA/<base>:<tenant>:<task>:<20 letters>``; that of a checkpoint ends in
    ``-ckpt_step_<N>``.

    Raises:
        IdentifierError: the text does not have this form.
    """
    name = text.strip()
    fields = name.split(":", 4)
    complete = len(fields) == 5 and all(fields)
    if (
        not complete
        or fields[0] != "ft"
        or not fields[1].startswith("LoRA/")
        or re.search(r"\s", name)
    ):
        raise IdentifierError(
            zh=f"{text!r} 不像微调模型的标识符："
            "应当是 ft:LoRA/<基础模型>:<租户>:<任务名>:<20 个小写字母>，在控制台的模型微调页复制",
            en=f"{text!r} is not the identifier of a fine-tuned model, which looks like "
            "ft:LoRA/<base>:<tenant>:<task>:<20 lowercase letters>; copy it from the console's "
            "fine-tuning page",
        )
    ending = re.fullmatch(
        r"(?P<suffix>.+?)(?:-ckpt_step_(?P<step>\d{1,9}))?", fields[4], flags=re.S
    )
    assert ending is not None  # every text that is not empty matches
    return Identifier(
        base=fields[1].removeprefix("LoRA/"),
        tenant=fields[2],
        task=fields[3],
        suffix=ending["suffix"],
        step=None if ending["step"] is None else int(ending["step"]),
    )


def prices() -> "pd.DataFrame":
    """Return the base models' prices in yuan per million tokens, with their date and source.

    They are in `data/prices.csv`; those of training and fine-tuned models are in the console only.
    """
    return _price_table("prices.csv")


def _price_table(name: str) -> "pd.DataFrame":
    """Return a table of prices with the columns of the reader's language, under one name each."""
    import pandas as pd

    table = pd.read_csv(DATA / name, index_col="model")
    for column in ("unit", "source"):
        table[column] = table[tr(column, f"{column}_en")]
    return table.drop(columns=["unit_en", "source_en"])


def writer_prices() -> "pd.DataFrame":
    """Return prices of models that may write a corpus, in yuan per million tokens, by model.

    Columns: input, output, batch_input, batch_output (NaN where not known), unit, date (of the
    first two), batch_date, source. The bases of `prices` are among them. They are in
    `data/writer_prices.csv`; how batches are paid is in `BATCH_BALANCE`.
    """
    import pandas as pd

    writers = _price_table("writer_prices.csv")
    bases = prices()
    # Input and output of a base cost the same.
    both = bases.assign(input=bases["price"], output=bases["price"])
    return pd.concat([writers, both.drop(columns="price")])


@dataclass(frozen=True)
class WriterPrice:
    """Yuan per million tokens, and when and where that was read."""

    input: float
    output: float
    date: str
    source: str


def writer_price(model: str, *, batch: bool = False) -> WriterPrice | None:
    """Return a model's price, at once or in batches; None where it is not known."""
    table = writer_prices()
    if model not in table.index:
        return None
    row = table.loc[model].to_dict()
    kind = "batch_" if batch else ""
    read, written = float(row[f"{kind}input"]), float(row[f"{kind}output"])
    # NaN, which no number equals, where a model has the other price alone.
    if read != read or written != written:
        return None
    return WriterPrice(read, written, str(row[f"{kind}date"]), str(row["source"]))


BATCH_BALANCE = (
    "批量任务只能用充值的余额付，赠送的代金券不算",
    "batches are payable from recharged balance only, not with vouchers",
)
"""Of the platform's guide to batches: (zh, en)."""

# Errors of SiliconCloud's API reference, by its own code or else by HTTP status: (zh, en).
REMEDIES: dict[int, tuple[str, str]] = {
    20012: (
        "平台没有这个模型：微调模型的标识符从控制台的模型微调页重新复制，"
        "基础模型的名字用 client.models.list() 核对",
        "the platform has no such model: copy a fine-tuned model's identifier again from the "
        "console's fine-tuning page, or check the name of a base with client.models.list()",
    ),
    20015: (
        "有参数不合规则：核对 messages、max_tokens、temperature 等的取值，或先去掉可选的参数再试",
        "a parameter is not valid: check messages, max_tokens, temperature and so on, or leave the "
        "optional ones out",
    ),
    30001: (
        "账户余额不足：在控制台充值后再试",
        "the account's balance is too low: top it up in the console",
    ),
    401: (
        "API key 不对：核对环境变量 SILICONFLOW_API_KEY；key 和地址要属于同一个站点（.cn 或 .com）",
        "wrong API key: check SILICONFLOW_API_KEY; the key and the address must belong to the same "
        "site (.cn or .com)",
    ),
    403: (
        "没有权限：多半是没有实名认证，或余额不足，在控制台的账户页查看",
        "forbidden: most often the account is not verified by real name, or its balance is too "
        "low; see the console",
    ),
    404: (
        "平台没有这个地址：base_url 应以 /v1 结尾；微调任务没有公开接口，只能在控制台创建",
        "no such address: base_url must end in /v1; fine-tuning jobs have no public route, they "
        "are created in the console",
    ),
    429: (
        "请求太密，被限流（失败的请求也计数）：等一分钟，减少同时发出的请求再试",
        "rate limited (failed requests count too): wait a minute and send fewer requests at once",
    ),
    503: (
        "模型服务过载：过一会儿再试，或换一个模型",
        "the model is overloaded: try again later, or use another model",
    ),
    504: (
        "平台超时没有答完：改用 stream=True，或减小 max_tokens 再试",
        "the platform timed out: use stream=True or a smaller max_tokens",
    ),
}
