"""The names that other tools give to user, assistant and system.

    known("Human") == "user"        known("客服") == "assistant"        known("客官") is None

Only names that mean one side wherever they are written are here.
"""

MAX_NAME = 40  # characters; a longer text is not a role's name

# Compared in lower case, without what templates put around them.
_USER = """
    user human prompter customer client usr question questioner query q visitor me
    用户 人类 客户 顾客 提问 问 问题 提问者 访客 读者 学生 买家 我
"""
_ASSISTANT = """
    assistant gpt chatgpt bot ai model chatbot agent answer a response robot
    bard bing claude moss gpt-3.5 gpt-4 gpt4 llm output
    助手 助理 客服 机器人 回答 答 答案 回复 智能助手 人工客服 智能客服 模型 老师 卖家 店小二
"""
_SYSTEM = "system sys developer system_prompt 系统 系统提示 系统提示词 系统消息"
_TOOL = """
    tool tools function function_call function_calls function-call function_response observation
    observations tool_call tool_calls tool_response tool_result tool_use ipython 工具 函数
"""

USER = frozenset(_USER.split())
ASSISTANT = frozenset(_ASSISTANT.split())
SYSTEM = frozenset(_SYSTEM.split())
TOOL = frozenset(_TOOL.split())  # turns of tool calls, which are not trained here

# What templates put around a name: `<|user|>`, `[|Human|]`, `### Assistant:`.
_AROUND = " \t\r\n<>|[]#*:：【】（）()"


def known(name: str) -> str | None:
    """Return `user`, `assistant` or `system` for a name that is known; else None."""
    plain = _plain(name)
    if plain in USER:
        return "user"
    if plain in ASSISTANT:
        return "assistant"
    if plain in SYSTEM:
        return "system"
    return None


def is_tool(name: object) -> bool:
    """Return whether a role is that of a tool call or of its result."""
    return isinstance(name, str) and _plain(name) in TOOL


def _plain(name: str) -> str:
    if len(name) > MAX_NAME:
        return ""
    return name.strip(_AROUND).casefold()
