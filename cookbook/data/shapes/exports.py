"""Exports of programs: rows of Hugging Face's viewer, tasks of Label Studio, Gemini, ChatGPT."""

from collections.abc import Mapping

from cookbook.data.report.names import named
from cookbook.data.shapes import lists, pair
from cookbook.data.shapes.shape import (
    Converted,
    Options,
    Refused,
    Shape,
    folded,
    is_empty,
    only_text,
)

HF_ROW = Shape("hf-row", "Hugging Face 页面的行", "Hugging Face viewer rows")
LABEL_STUDIO = Shape("label-studio", "Label Studio 的导出", "Label Studio export")
GEMINI = Shape("gemini", "Gemini 的 contents 格式", "Gemini contents")
CHATGPT = Shape("chatgpt", "ChatGPT 导出的对话", "ChatGPT export")

# What an annotator is shown is called like a question, or like any text.
_TASK_TEXTS = (*pair.QUESTIONS, "text", "文本", "content", "title")
_ANSWER_KINDS = ("textarea", "choices")


def is_hf_row(entry: Mapping) -> bool:
    """Return whether an entry is a row as the viewer's API gives it."""
    return "row_idx" in entry and isinstance(entry.get("row"), dict)


def is_task(entry: Mapping) -> bool:
    """Return whether an entry is a task of Label Studio."""
    done = entry.get("annotations", entry.get("completions"))
    return isinstance(entry.get("data"), dict) and isinstance(done, list)


def is_gemini(entry: Mapping) -> bool:
    """Return whether an entry has Gemini's contents."""
    contents = entry.get("contents")
    first = contents[0] if isinstance(contents, list) and contents else None
    return isinstance(first, dict) and "parts" in first


def is_chatgpt(entry: Mapping) -> bool:
    """Return whether an entry is a conversation of ChatGPT: a tree of messages."""
    nodes = entry.get("mapping")
    if not isinstance(nodes, dict) or not nodes:
        return False
    first = next(iter(nodes.values()))
    return isinstance(first, dict) and "message" in first and "parent" in first


def convert_chatgpt(entry: object, options: Options) -> Converted:
    """Return the messages of the branch that the conversation ended with."""
    assert isinstance(entry, dict)
    nodes = entry["mapping"]
    branch = _branch(nodes, entry.get("current_node"))
    turns = []
    for node in branch:
        message = nodes[node].get("message")
        turn = _chatgpt_turn(message) if isinstance(message, dict) else None
        if turn is not None:
            turns.append(turn)
    result = lists.of_list(turns, options)
    result.leave(entry, {"mapping", "current_node"})
    said = [node for node in nodes.values() if isinstance(node, dict) and node.get("message")]
    elsewhere = len(said) - sum(bool(nodes[node].get("message")) for node in branch)
    if elsewhere > 0:
        zh, en = f"别的分支上的 {elsewhere} 条消息", f"messages on other branches: {elsewhere}"
        result.note("not-used", zh, en)
    lists.add_system(result, {}, options)
    return result


def _branch(nodes: dict, last: object) -> list[str]:
    """Return the ids from the root to the last message."""
    if not isinstance(last, str) or last not in nodes:
        leaves = [
            name
            for name, node in nodes.items()
            if isinstance(node, dict) and not node.get("children")
        ]
        last = leaves[-1] if leaves else None
    branch: dict[str, None] = {}
    while isinstance(last, str) and isinstance(nodes.get(last), dict) and last not in branch:
        branch[last] = None
        last = nodes[last].get("parent")
    return list(branch)[::-1]


def _chatgpt_turn(message: dict) -> dict | None:
    """Return a message as role and content; None for one that nobody saw."""
    author, content = message.get("author"), message.get("content")
    role = author.get("role") if isinstance(author, dict) else None
    details = message.get("metadata")
    is_hidden = isinstance(details, dict) and details.get("is_visually_hidden_from_conversation")
    if is_hidden or not isinstance(content, dict):
        return None
    parts = content.get("parts")
    parts = parts if isinstance(parts, list) else [content.get("text")]
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) < len([part for part in parts if part is not None]):
        raise Refused(
            zh="带图片或音视频，这里只训练文字",
            en="it has images or sound: only text is trained here",
            fix=("换成纯文字的数据", "use data of text alone"),
            key="mapping",
        )
    # A call of a tool goes to the tool, not to all.
    is_call = message.get("recipient", "all") != "all"
    text = "\n".join(texts)
    if not text.strip() and not is_call:
        return None
    return {"role": "tool" if is_call else role, "content": text}


def convert_gemini(entry: object, options: Options) -> Converted:
    """Return the messages of Gemini's contents."""
    assert isinstance(entry, dict)
    turns = []
    for content in entry["contents"]:
        if isinstance(content, dict):
            # Gemini lets a single turn be without a role: then a person speaks.
            content = {
                "role": content.get("role", "user"),
                "content": only_text(content.get("parts")),
            }
        turns.append(content)
    result = lists.of_list(turns, options)
    result.leave(entry, {"contents"})
    lists.add_system(result, entry, options)
    return result


def convert_task(entry: object, options: Options) -> Converted:
    """Return the messages of a task: what was shown is asked, what was written is the answer."""
    assert isinstance(entry, dict)
    task = entry["data"]
    result = Converted([])
    answer = _written(entry, result)
    used: set[str] = set()
    conversation = _conversation(task)
    if conversation is not None:
        used.add(conversation)
        turns = lists.of_list(task[conversation], options)
        result.messages += turns.messages
        result.add(turns)
    else:
        key = _shown(task)
        used.add(key)
        result.messages.append({"role": "user", "content": pair.text_of(task[key], key)})
    result.messages.append({"role": "assistant", "content": answer})
    result.leave(task, used)
    lists.add_system(result, task, options)
    return result


def _conversation(task: Mapping) -> str | None:
    return next((key for key in task if lists.kind_of(task[key]) is lists.TURNS), None)


def _shown(task: Mapping) -> str:
    """Return the key of what was asked: one by its name, or the only text."""
    names = folded(task)
    texts = [key for key in task if isinstance(task[key], str) and not is_empty(task[key])]
    # A name such as `question` says more than that it is the only text.
    by_name = [names[name] for name in _TASK_TEXTS if names.get(name) in texts]
    candidates = by_name or texts
    if len(candidates) == 1:
        return candidates[0]
    found = named([str(key) for key in candidates or task])
    raise Refused(
        zh=f"data 里哪一个是提问，说不准：{found}",
        en=f"it is not clear which part of data is the question: {found}",
        fix=("只留一个文本", "keep one text"),
        key="data",
    )


def _written(entry: Mapping, result: Converted) -> str:
    """Return the text that a person wrote or chose.

    Raises:
        Refused: nobody did, or it is not clear which is meant.
    """
    done = entry.get("annotations", entry.get("completions"))
    # Skipped tasks are exported too.
    kept = [a for a in done if isinstance(a, dict) and not a.get("was_cancelled")]
    if not kept:
        raise Refused(
            zh="还没有标注", en="not annotated yet", fix=("标注以后再导出", "annotate it first")
        )
    if len(kept) > 1:
        n = len(kept)
        result.note("choices", f"（annotations，共 {n} 份）", f"(annotations has {n})")
    regions = kept[0].get("result")
    regions = regions if isinstance(regions, list) else []
    # What was written says more than what was ticked.
    for kind in _ANSWER_KINDS:
        texts = _texts_of(regions, kind)
        if len(texts) == 1:
            return texts[0]
        if texts:
            raise Refused(
                zh=f"一份标注里有 {len(texts)} 个答案",
                en=f"one annotation has {len(texts)} answers",
                fix=("只留一个", "keep one of them"),
                key="annotations",
            )
    raise Refused(
        zh="标注里没有写下的文字，也没有选项",
        en="the annotation has neither text nor choices",
        fix=("导出带文本框或选项的标注", "export annotations with text or choices"),
        key="annotations",
    )


def _texts_of(regions: list, kind: str) -> list[str]:
    texts: list[str] = []
    for region in regions:
        if isinstance(region, dict) and region.get("type") == kind:
            value = region.get("value")
            value = value if isinstance(value, dict) else {}
            found = value.get("text" if kind == "textarea" else kind)
            listed_texts = found if isinstance(found, list) else [found]
            texts += [text for text in listed_texts if isinstance(text, str)]
    return texts
