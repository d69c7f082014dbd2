"""One entry of each format, own words in real shapes, with the messages that it becomes."""

Q, A = "借书要押金吗？", "不用押金。"
Q2, A2 = "能借几天？", "三十天。"


def talk(*texts, system=None):
    speakers = ("user", "assistant")
    messages = [{"role": speakers[i % 2], "content": text} for i, text in enumerate(texts)]
    return [{"role": "system", "content": system}, *messages] if system else messages


ONE = talk(Q, A)
TWO = talk(Q, A, Q2, A2)


def turns(user, assistant, role="from", text="value"):
    return [{role: user, text: Q}, {role: assistant, text: A}]


def chat(custom_id="1", text=A, **more):
    choice = {"index": 0, "message": {"role": "assistant", "content": text, "refusal": None}}
    body = {"choices": [choice | {"finish_reason": "stop"} | more]}
    response = {"status_code": 200, "body": body}
    return {"id": "b", "custom_id": custom_id, "response": response, "error": None}


def task(**result):
    region = {"from_name": "a", "to_name": "t", **result}
    annotation = {"id": 5, "was_cancelled": False, "result": [region]}
    return {"id": 1, "data": {"text": Q}, "annotations": [annotation], "project": 3}


WRITTEN = {"type": "textarea", "value": {"text": [A]}}
CHOSEN = {"type": "choices", "value": {"choices": [A]}}


# name of the shape, an entry, the messages it becomes
def chatgpt(authors, texts, last=None):
    """Return a conversation of ChatGPT: for each message who said it, and what is above it."""
    above = {parent for _, parent in authors.values()}
    nodes = {
        name: {
            "message": {"author": {"role": role}, "content": {"parts": [texts[name]]}},
            "parent": parent,
            "children": [0] if name in above else [],
        }
        for name, (role, parent) in authors.items()
    }
    return {"title": "问答", "mapping": nodes, "current_node": last}


KNOWN = [
    (
        "preference",
        {"messages": [*ONE[:1], {"role": "assistant", "chosen": A, "rejected": A2}]},
        ONE,
    ),
    (
        "chatgpt",
        chatgpt(
            {"u": ("user", None), "x": ("assistant", "u"), "a": ("assistant", "u")},
            {"u": Q, "x": A2, "a": A},
            last="a",
        ),
        ONE,
    ),
    (
        "chatgpt",
        chatgpt(
            {"s": ("system", None), "u": ("user", "s"), "a": ("assistant", "u")},
            {"s": "", "u": Q, "a": A},
        ),
        ONE,
    ),
    ("messages", {"messages": ONE}, ONE),
    ("messages", {"messages": turns("Human", "BOT", "role", "content")}, ONE),
    ("messages", {"messages": ONE, "system": "简短。"}, talk(Q, A, system="简短。")),
    ("sharegpt", {"conversations": turns("human", "gpt")}, ONE),
    ("sharegpt", {"Conversations": turns("Human", "GPT", "From", "Value")}, ONE),
    ("sharegpt", {"conversation": turns("用户", "助手", "role", "content")}, ONE),
    ("sharegpt", {"items": turns("user", "客服", "role", "value"), "id": 7}, ONE),
    ("sharegpt", {"messages": turns("user", "chatgpt")}, ONE),
    (
        "sharegpt",
        {"conversations": turns("human", "gpt"), "bot_setting": "简短。"},
        talk(Q, A, system="简短。"),
    ),
    ("sharegpt", {"chat_messages": turns("human", "assistant", "sender", "text")}, ONE),
    (
        "sharegpt",
        {"interactions": [{"is_user": True, "text": Q}, {"is_user": False, "text": A}]},
        ONE,
    ),
    (
        "sharegpt",
        {"conversations": '[{"from": "human", "value": "问"}, {"from": "gpt", "value": "答"}]'},
        talk("问", "答"),
    ),
    ("turns", turns("user", "assistant", "role", "content"), ONE),
    ("strings", [Q, A, Q2, A2], TWO),
    ("strings", {"id": "3", "data": [Q, A, Q2, A2]}, TWO),
    ("pairs", [[Q, A], [Q2, A2]], TWO),
    (
        "pairs",
        {"conversation": [{"human": Q, "assistant": A}, {"human": Q2, "assistant": A2}]},
        TWO,
    ),
    (
        "pairs",
        {
            "conversation": [
                {"system": "简短。", "input": Q, "output": A},
                {"input": Q2, "output": A2},
            ]
        },
        talk(Q, A, Q2, A2, system="简短。"),
    ),
    ("pairs", [{"prompt": Q, "response": [[A]]}, {"prompt": Q2, "response": [[A2]]}], TWO),
    ("pairs", [{"system": "简短。", "prompt": Q, "response": A}], talk(Q, A, system="简短。")),
    ("alpaca", {"instruction": Q, "input": "", "output": A}, ONE),
    ("alpaca", {"instruction": "回答问题。", "input": Q, "output": A}, talk(f"回答问题。\n{Q}", A)),
    (
        "alpaca",
        {"instruction": Q2, "output": A2, "history": [[Q, A]], "system": "简短。"},
        talk(Q, A, Q2, A2, system="简短。"),
    ),
    ("alpaca", {"Instruction": Q, "Input": None, "Output": A}, ONE),
    (
        "dolly",
        {"instruction": Q, "context": "馆规。", "response": A, "category": "qa"},
        talk(f"{Q}\n馆规。", A),
    ),
    ("query-response", {"query": Q2, "response": A2, "history": [[Q, A]]}, TWO),
    ("prompt-completion", {"prompt": f"{Q}\n\n###\n\n", "completion": f" {A} END"}, ONE),
    (
        "prompt-completion",
        {
            "prompt": [{"role": "user", "content": Q}],
            "completion": [{"role": "assistant", "content": A}],
        },
        ONE,
    ),
    ("firefly", {"kind": "QA", "input": Q, "target": A}, ONE),
    ("question-answer", {"question": Q, "answer": A, "cot": ""}, ONE),
    ("question-answer", {"问题": Q, "回答": A}, ONE),
    ("question-answer", {"input": Q, "output": A}, ONE),
    (
        "query-response",
        {"prompt": "回答问题。", "query": Q, "response": A},
        talk(f"回答问题。\n{Q}", A),
    ),
    ("question-answer", {"context": [Q, A, Q2], "target": A2}, TWO),
    (
        "question-answer",
        {"system": "简短。", "user": Q, "assistant": A},
        talk(Q, A, system="简短。"),
    ),
    ("question-answer", {"input": Q, "content": A}, ONE),
    (
        "transcript",
        {
            "instruction": f"Human:{Q}\nAssistant:{A}\nHuman:{Q2}\nAssistant:",
            "input": "",
            "output": A2,
        },
        TWO,
    ),
    (
        "transcript",
        {
            "topic": "借书",
            "input": f"The conversation between human and AI assistant.\n"
            f"[|Human|] {Q}\n[|AI|] {A}\n[|Human|] ",
        },
        ONE,
    ),
    ("transcript", {"plain_text": f"[Human]: {Q}<eoh> [MOSS]: {A}<eoa>"}, ONE),
    ("transcript", {"dialogue": f"User: {Q}\nAssistant: {A}"}, ONE),
    (
        "moss",
        {
            "meta_instruction": "简短。",
            "num_turns": 1,
            "chat": {
                "turn_1": {
                    "Human": f"<|Human|>: {Q}<eoh>\n",
                    "Commands": "<|Commands|>: None<eoc>\n",
                    "MOSS": f"<|MOSS|>: {A}<eom>\n",
                }
            },
        },
        talk(Q, A, system="简短。"),
    ),
    (
        "sharegpt",
        {
            "bot_setting": [{"bot_name": "馆员", "content": "简短。"}],
            "messages": turns("USER", "BOT", "sender_type", "text"),
        },
        talk(Q, A, system="简短。"),
    ),
    ("sharegpt", {"conversations": [{"from": "system", "value": ""}, *turns("human", "gpt")]}, ONE),
    ("turns", [{"user": Q}, {"assistant": A}], ONE),
    ("strings", {"data": [f"问：{Q}", f"答：{A}"]}, ONE),
    ("question-answer", {"content": Q, "summary": A}, ONE),
    (
        "gemini",
        {
            "systemInstruction": {"parts": [{"text": "简短。"}]},
            "contents": [
                {"role": "user", "parts": [{"text": Q}]},
                {"role": "model", "parts": [{"text": A}]},
            ],
        },
        talk(Q, A, system="简短。"),
    ),
    ("hf-row", {"row_idx": 4, "row": {"question": Q, "answer": A}, "truncated_cells": []}, ONE),
    ("label-studio", task(**WRITTEN), ONE),
    ("label-studio", task(**CHOSEN), ONE),
    ("batch-input", {"custom_id": "1", "body": {"model": "m", "messages": ONE}}, ONE),
    ("batch-output", chat(), ONE),
    (
        "batch-output",
        {
            "custom_id": "1",
            "result": {
                "type": "succeeded",
                "message": {"role": "assistant", "content": [{"type": "text", "text": A}]},
            },
        },
        ONE,
    ),
    ("preference", {"prompt": Q, "chosen": A, "rejected": "不知道。"}, ONE),
    (
        "preference",
        {
            "conversations": turns("human", "gpt")[:1],
            "rejected": {"from": "gpt"},
            "chosen": {"from": "gpt", "value": A},
        },
        ONE,
    ),
    ("preference", {"chosen": f"\n\nHuman: {Q}\n\nAssistant: {A}", "rejected": "x"}, ONE),
    (
        "preference",
        {"input": {"messages": ONE[:1]}, "preferred_output": ONE[1:], "non_preferred_output": []},
        ONE,
    ),
]

# name of the shape, an entry, a word of the reason
REFUSED = [
    ("text", {"text": "云杉图书馆建于山脚。"}, "问和答"),
    ("template", {"text": f"<|im_start|>user\n{Q}<|im_end|>"}, "模板"),
    ("template", {"text": f"### Human: {Q}### Assistant: {A}"}, "模板"),
    ("template", {"text": f"<s>[INST] {Q} [/INST] {A}</s>"}, "模板"),
    ("labeled", {"text": "服务很好", "label": "好评"}, "标签"),
    ("embedding", {"query": Q, "pos": [A], "neg": []}, "向量"),
    ("multimodal", {"messages": ONE, "images": ["a.png"]}, "图片"),
    ("multimodal", {"query": Q, "response": A, "images": ["a.png"]}, "图片"),
    ("tree", {"message_id": "b", "parent_id": "a", "role": "prompter", "text": Q}, "树"),
    ("segments", {"segments": [{"label": True, "text": A}]}, "分段"),
    ("one-turn", {"role": "user", "content": Q}, "一条消息"),
    ("unwanted", {"messages": ONE, "label": False}, "不好的回答"),
    ("batch-input", {"custom_id": "1", "body": {"messages": ONE[:1]}}, "没有回答"),
    ("batch-output", chat(finish_reason="length"), "截断"),
    ("batch-output", chat(custom_id="9"), "没有 custom_id"),
    ("batch-output", {"custom_id": "1", "response": {"status_code": 429}}, "429"),
    ("batch-output", {"custom_id": "1", "response": None, "error": {"code": "expired"}}, "expired"),
    ("label-studio", {"id": 1, "data": {"text": Q}, "annotations": []}, "标注"),
    (
        "hf-row",
        {"row_idx": 4, "row": {"question": Q, "answer": A}, "truncated_cells": ["answer"]},
        "截断",
    ),
    ("question-answer", {"question": Q, "prompt": Q2, "answer": A}, "好几个像提问"),
    ("question-answer", {"question": Q, "answer": A, "output": A2}, "好几个像回答"),
    ("question-answer", {"question": Q, "answer": 3}, "不是文字"),
    ("question-answer", {"prompt": Q, "response": A, "label": False}, "不好的回答"),
    ("alpaca", {"instruction": Q, "output": A, "history": "昨天聊过"}, "history"),
    ("messages", {"messages": ONE[:1], "answer": A}, "answer"),
    (
        "sharegpt",
        {
            "conversations": [
                {"from": "human", "value": Q},
                {"from": "function_call", "value": "{}"},
            ]
        },
        "工具",
    ),
    (None, {"标题": "馆规", "正文": "安静"}, "标题、正文"),
    (None, {"question": Q}, "找不到回答"),
    (None, {}, "认不出"),
]
