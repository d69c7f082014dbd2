"""Why a draft is dropped: the reasons in the order of the checks, and their titles."""

from cookbook.i18n import tr

KEPT = "kept"
RULE = "rule:"  # followed by the rule's name

BEFORE_RULES = ("failed", "cut_off", "empty", "refused", "unreadable")
AFTER_RULES = (
    "leak",
    "copy_of_prompt",
    "duplicate",
    "near_duplicate",
    "in_existing",
    "too_many_of_input",
    "same_opening",
    "same_frame",
)

_TITLES = {
    "failed": ("请求失败", "the request failed"),
    "cut_off": ("没写完就到了 max_tokens", "cut off at max_tokens"),
    "empty": ("空的", "empty"),
    "refused": ("模型拒绝写", "the model declined"),
    "unreadable": ("read 读不出来", "not readable by read"),
    "leak": ("含评测词", "an evaluation word leaks"),
    "copy_of_prompt": ("照抄提示词", "copied from the prompt"),
    "duplicate": ("与另一条相同", "the same as another"),
    "near_duplicate": ("与另一条近似", "nearly the same as another"),
    "in_existing": ("已有数据里有", "in the existing rows"),
    "too_many_of_input": ("同一输入太多", "too many of one input"),
    "same_opening": ("同一开头太多", "too many with one opening"),
    "same_frame": ("同一句式太多", "too many with one frame"),
    KEPT: ("留下", "kept"),
}


def title(reason: str) -> str:
    """Return what a reason means, in the reader's language."""
    if reason.startswith(RULE):
        name = reason.removeprefix(RULE)
        return tr(f"不合规则 {name}", f"breaks the rule {name}")
    return tr(*_TITLES[reason])
