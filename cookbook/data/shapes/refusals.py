"""Shapes that are known and are not for training a chat: each with its reason.

Of preference data the preferred answer is used where the reader asks for it.
"""

from collections.abc import Callable, Mapping

from cookbook.data.shapes import conversations, lists, pair, transcripts
from cookbook.data.shapes.shape import (
    Convert,
    Converted,
    Options,
    Refused,
    Shape,
    folded,
    is_empty,
    keys_in,
    words,
)

_CHOSEN = "data.from_messages(path, chosen=True)"

PREFERENCE = Shape("preference", "偏好数据（好坏两个回答）", "preference data", call=_CHOSEN)
TEXT = Shape("text", "纯文本（预训练数据）", "plain text for pretraining", call="")
TEMPLATE = Shape("template", "套好对话模板的文本", "text with a chat template", call="")
MULTIMODAL = Shape("multimodal", "带图片或音视频的数据", "data with images or audio", call="")
EMBEDDING = Shape("embedding", "训练向量模型的数据", "embedding data", call="")
LABELED = Shape("labeled", "分类数据（文本和标签）", "texts with labels", call="")
SEGMENTS = Shape("segments", "分段标注的文本（input_output）", "labeled segments", call="")
TREE = Shape("tree", "对话树里的消息", "messages of a conversation tree", call="")
UNWANTED = Shape(
    "unwanted", "标为不好的回答（label 是 false）", "answer marked as bad (label is false)", call=""
)
ONE_TURN = Shape("one-turn", "单独的一条消息", "a single message", call="")

_MEDIA = words("images image videos video audios audio image_path 图片")
_PREFERRED = ("chosen", "preferred_output", "chosen_response", "preferred")
_OTHERS = ("rejected", "non_preferred_output", "rejected_response", "non_preferred", "dispreferred")
_TEMPLATE_MARKS = (
    "<|im_start|>",
    "<|start_header_id|>",
    "[INST]",
    "<start_of_turn>",
    "<|user|>",
    "<|User|>",
    "<｜User｜>",
    "### Instruction:",
    "### Human:",
    "### Response:",
    "USER: ",
    "[gMASK]",
)
_HEAD = 4_000  # characters of a text that are searched for a template

# name of the shape -> (why not, what to do), in Chinese and English
_WHY = {
    "text": (
        ("只有一段文本，没有问和答", "it is one text without question and answer"),
        ("写成一问一答", "write questions and answers"),
    ),
    "template": (
        (
            "对话已经套进模板，再套一次就错了",
            "a chat template was applied already; a second one would be wrong",
        ),
        ("用套模板之前的数据", "use the data before the template was applied"),
    ),
    "multimodal": (
        ("带图片或音视频，这里只训练文字", "it has images or audio: only text is trained here"),
        ("换成纯文字的数据", "use text-only data"),
    ),
    "embedding": (
        ("是训练向量模型的数据，没有回答", "it is for training embeddings and has no answer"),
        ("换成一问一答的数据", "use questions and answers"),
    ),
    "labeled": (
        ("只有文本和标签，没有问和答", "it has a text and a label, no question and answer"),
        ("写成一问一答：问里写明要怎样分类", "write a question that asks for the label"),
    ),
    "segments": (
        ("只有分段的文本，不知道谁在说话", "it has text segments, but not who speaks"),
        ("用分段之前的数据", "use the data before it was split"),
    ),
    "tree": (
        (
            "是对话树里的一条消息，一条树枝才是一段对话",
            "it is part of a tree; only a branch of it is a conversation",
        ),
        ("先按 parent_id 接成一段一段的对话", "join the messages by parent_id first"),
    ),
    "unwanted": (
        (
            "label 是 false：这是标为不好的回答",
            "its label is false: the answer is marked as a bad one",
        ),
        (
            "不学它就删去；label 不是这个意思，就去掉 label",
            "drop it; where the label means something else, remove the label",
        ),
    ),
    "one-turn": (
        ("只有一条消息，不知道属于哪段对话", "it is a single message of an unknown conversation"),
        (
            "加一个会话编号 session_id，再用 data.from_chat_log(path) 合并",
            "add a session_id that tells conversations apart, then join them: "
            "data.from_chat_log(path)",
        ),
    ),
}


def refuse(shape: Shape) -> Convert:
    """Return a conversion that says why this shape has none."""

    def convert(entry: object, options: Options) -> Converted:
        why, fix = _WHY[shape.name]
        raise Refused(zh=why[0], en=why[1], fix=fix)

    return convert


def remedy(shape: Shape) -> tuple[str, str] | None:
    """Return what to do with entries of a shape that is refused; None for any other."""
    return _WHY[shape.name][1] if shape.name in _WHY else None


def why(shape: Shape) -> tuple[str, str]:
    """Return why entries of a shape are refused, in Chinese and English."""
    return _WHY[shape.name][0]


def has_media(entry: Mapping) -> bool:
    """Return whether an entry comes with images, sound or video."""
    names = folded(entry)
    media = keys_in(names, _MEDIA)
    if all(is_empty(entry[key]) for key in media):
        return False
    # Of other entries nobody would expect a row.
    return conversations.shape_of(entry) is not None or pair.shape_of(entry) is not None


def is_unwanted(entry: Mapping) -> bool:
    """Return whether an entry is a conversation whose answer is marked as bad, as for KTO."""
    names = folded(entry)
    marks = keys_in(names, ("kto_tag", "label"))
    if not any(entry[key] is False for key in marks):
        return False
    return conversations.shape_of(entry) is not None


def is_preference(entry: Mapping) -> bool:
    """Return whether an entry has a better and a worse answer."""
    # A whole conversation with a worse answer beside it can be used as it is.
    names = folded(entry)
    has_better = bool(keys_in(names, _PREFERRED))
    return bool(has_better and keys_in(names, _OTHERS)) or last_turn(entry) is not None


def last_turn(entry: Mapping) -> dict | None:
    """Return the last turn of a conversation that has both answers, as Volcano Engine's."""
    messages = entry.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, dict) or "content" in last:
        return None
    return last if {"chosen", "rejected"} <= last.keys() else None


def is_embedding(entry: Mapping) -> bool:
    """Return whether an entry is for training embeddings."""
    names = folded(entry).keys()
    groups: tuple[set[str], ...] = (
        {"query", "pos"},
        {"query", "positive"},
        {"anchor", "positive"},
        {"sentence1", "sentence2"},
        {"text1", "text2"},
        {"premise", "hypothesis"},
        {"query", "passage"},
    )
    return any(group <= names for group in groups)


def is_tree(entry: Mapping) -> bool:
    """Return whether an entry is a message of a tree, or a tree: OpenAssistant, ChatGPT."""
    if "parent_id" in entry and "role" in entry:
        return True
    prompt = entry.get("prompt")
    has_replies = isinstance(prompt, dict) and "replies" in prompt
    return has_replies or isinstance(entry.get("mapping"), dict)


def is_segments(entry: Mapping) -> bool:
    """Return whether an entry has axolotl's labeled segments."""
    segments = entry.get("segments")
    first = segments[0] if isinstance(segments, list) and segments else None
    return isinstance(first, dict) and "label" in first and "text" in first


def text_shape(entry: Mapping) -> Shape | None:
    """Return the shape of an entry that is a text; None for any other."""
    names = folded(entry)
    key = names.get("text") or names.get("文本")
    text = entry[key] if key is not None else None
    # With a question or an answer beside it, it is half of something else.
    is_half = bool(keys_in(names, (*pair.QUESTIONS, *pair.ANSWERS)))
    if not isinstance(text, str) or is_half:
        return None
    # A template shows at the beginning.
    head = text[:_HEAD]
    if any(mark in head for mark in _TEMPLATE_MARKS) or transcripts.marks_of(head):
        return TEMPLATE
    has_label = any(name in names for name in ("label", "labels", "category", "标签"))
    return LABELED if has_label else TEXT


def convert_preference(entry: object, options: Options) -> Converted:
    """Return the messages with the better answer, where the reader asks for it."""
    assert isinstance(entry, dict)
    if not options.chosen:
        raise Refused(
            zh="是偏好数据，有好坏两个回答",
            en="it is preference data, with a better and a worse answer",
            fix=(
                "只学好的那个：data.from_messages(path, chosen=True)",
                "to learn the better one: data.from_messages(path, chosen=True)",
            ),
        )
    names = folded(entry)
    last = last_turn(entry)
    if last is not None:
        answer = {"role": "assistant", "content": pair.text_of(last["chosen"], "chosen")}
        result = lists.of_list([*entry["messages"][:-1], answer], options)
        result.leave(entry, {"messages"})
        lists.add_system(result, entry, options)
        return result
    key = keys_in(names, _PREFERRED)[0]
    result = _better_answer(entry[key], key, options)
    used = {key}
    if not result.messages or result.messages[0].get("role") == "assistant":
        asked, used_too = _asked(entry, options)
        used |= used_too
        result.messages[:0] = asked.messages
        result.add(asked)
    result.leave(entry, used)
    lists.add_system(result, entry, options)
    return result


def _better_answer(value: object, key: str, options: Options) -> Converted:
    if transcripts.marks_of(value):
        assert isinstance(value, str)
        return Converted(transcripts.turns_of(value))
    if isinstance(value, dict):
        value = [value]
    if lists.kind_of(value) is lists.TURNS:
        assert isinstance(value, list | tuple)
        return lists.of_list(value, options)
    return Converted([{"role": "assistant", "content": pair.text_of(value, key)}])


def _asked(entry: dict, options: Options) -> tuple[Converted, set[str]]:
    """Return what was asked, and the keys that say it."""
    inner = entry.get("input")
    if isinstance(inner, dict) and isinstance(inner.get("messages"), list):  # OpenAI
        return lists.of_list(inner["messages"], options), {"input"}
    key = conversations.conversation_key(entry)
    if key is not None and isinstance(entry[key], list):
        return lists.of_list(entry[key], options), {key}
    if not any(name in folded(entry) for name in pair.QUESTIONS):
        raise Refused(
            zh="没有找到提问", en="there is no question", fix=("写上提问", "add the question")
        )
    keys = pair.question_keys(entry)
    value = entry[keys[0]]
    if lists.kind_of(value) is lists.TURNS:
        return lists.of_list(value, options), set(keys)
    return Converted([pair.question(entry, keys)]), set(keys)


# Every shape of this file that is refused as a whole, with how it is recognized.
REFUSED: tuple[tuple[Shape, Callable[[Mapping], bool]], ...] = (
    (EMBEDDING, is_embedding),
    (SEGMENTS, is_segments),
    (TREE, is_tree),
)
