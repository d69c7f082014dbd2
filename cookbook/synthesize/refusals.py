"""Recognize the answer of a model that declines instead of writing.

    refusal("抱歉，我无法为这个词写讽刺的句子。")    -> "抱歉，我无法"
    refusal("他说抱歉，我无法相信。")                -> None

Only the beginning of an answer is looked at, and an apology alone is not enough: what follows it
must decline, or the model must speak of itself as one. So a sentence that merely contains 抱歉, or
begins with it as a character would, is kept. A refusal in other words is not recognized; rules and
readers find it.
"""

import re

# In the order: an apology, then who declines, then the declining itself.
_CHINESE = r"""
    (?:(?:非常|很|十分|真的)?(?:抱歉|对不起|不好意思)[，,。！!：:\s]*)
    (?:但|可是|不过|作为[^，,。]{0,20}[，,]?)?\s*
    (?:我|本人|本模型|这个请求|该请求|您的请求|你的请求|这个问题|该问题)
    (?:目前|暂时|现在|还|并)?\s*
    (?:无法|不能|没办法|没法|不可以|不便|不太方便|拒绝|涉及|违反
      |不会(?:为|替|帮|写|生成|提供|创作|回答|协助|参与))
  | (?:我|本模型)(?:目前|暂时)?(?:无法|不能|没办法)(?:满足|提供|协助|帮助|回答|完成|生成|参与|讨论)
    (?:你|您|这|该|此|与|有关|关于|相关|任何|涉及)
  | 作为(?:一个|一名|一款)?(?:\s*AI|\s*ai|人工智能|大语言模型|语言模型|智能助手)
  | (?:我是|我只是)(?:一个|一名|一款)?(?:\s*AI|\s*ai|人工智能|大语言模型|语言模型)
"""
_ENGLISH = r"""
    (?:(?:i[ ]am|i['’]m)[ ](?:very[ ]|really[ ]|so[ ])?sorry|sorry|i[ ]apologi[sz]e|apologies
      |unfortunately)
    [,.;:!\s]*(?:but[ ])?
    (?:as[ ]an[ ]ai\b[^,.]{0,40}[,.]?[ ])?
    (?:i[ ](?:can(?:not|['’]t|[ ]not)|am[ ](?:not[ ]able|unable)|won['’]t|will[ ]not)
      |i['’]m[ ](?:not[ ]able|unable))
  | i[ ](?:can(?:not|['’]t|[ ]not)|am[ ](?:not[ ]able|unable)[ ]to|won['’]t)[ ]
    (?:help|assist|provide|fulfill|comply|create|generate|write|answer|do[ ]that)\b
  | i['’]m[ ](?:unable|not[ ]able)[ ]to[ ]
    (?:help|assist|provide|fulfill|comply|create|generate|write|answer|do[ ]that)\b
  | as[ ]an?[ ](?:ai|artificial[ ]intelligence|large[ ]language[ ]model|language[ ]model)\b
"""
_REFUSAL = re.compile(f"{_CHINESE}|{_ENGLISH}", re.VERBOSE | re.IGNORECASE)
# What may come before: quotation marks, Markdown, the opening of a JSON answer.
_BEFORE = " \t\r\n\"'“”‘’「」*_>#"
_LOOKED_AT = 200  # characters


def refusal(text: str) -> str | None:
    """Return the words with which an answer declines; None where it does not."""
    found = _REFUSAL.match(text.lstrip(_BEFORE)[:_LOOKED_AT])
    return found[0] if found else None
