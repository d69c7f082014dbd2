"""The tiny base's whole education: conversations made from `data/lexicon/` and the shop's services.

What is taught, word by word: its definition (the bare word under many system prompts, and in many questions), its
field, what comes to mind, an image, a criticism, a word of praise, and plain answers that join two or three of these
in any order. Of the shop: each service's fact and steps, in plain running text.

What is *not* taught: the frames of the 智说新语 style, any answer of `data/zhishuoxinyu`, the polite numbered manner of
`data/customer_service/train.jsonl`, the short prompt. Those are for LoRA to teach; `tests/test_corpora.py` proves it.

    sample(random.Random(0), lexicon, services) -> [{"role": …, "content": …}, …]
"""

import json
import random
from pathlib import Path

SYSTEMS = [
    None,
    None,
    "你是一个有用的助手",
    "你是一个有用的助手。",
    "你是智能助手",
    "你是一位知识渊博的老师",
    "你是词典助手",
    "你是中文百科生成器",
    "你是词语解释器。",
    "你是客服助手",
    "你是一名编辑",
    "你是评论生成器",
    "你是写作助手，请认真回答",
    "你是机器人小青",
    "你是新闻助手。",
    "请用简洁的中文回答。",
    "请回答用户的问题",
    "你是语文课代表",
    "你是故事生成器",
    "你是聊天机器人",
    "用户会输入一个词，请你回应。",
    "你是金融顾问",
    "你是生活百科",
    "你是标题生成器。",
    "你是一个会说中文的小模型",
]
ASK_DEFINITION = [
    "什么是{w}？", "{w}是什么？", "{w}是什么意思？", "请解释{w}。", "解释一下{w}", "{w}指什么？", "给{w}下个定义。",
    "用一句话介绍{w}。", "请问{w}是什么", "我想知道什么是{w}", "{w}的意思", "说说什么叫{w}",
]  # fmt: skip
ASK_FIELD = ["{w}属于哪个领域？", "{w}是哪方面的词？", "给{w}归个类。"]
ASK_ASSOCIATIONS = ["说到{w}，你会想到什么？", "由{w}能联想到哪些词？", "{w}让你想起什么？"]
ASK_IMAGE = ["把{w}比作一样东西。", "{w}像什么？", "给{w}打个比方。", "用比喻说说{w}"]
ASK_PRAISE = ["夸夸{w}。", "{w}有什么好处？", "说一句{w}的好话。", "{w}好在哪里？"]
ASK_CRITICISM = ["批评一下{w}。", "{w}有什么不好？", "说一句{w}的坏话。", "{w}的问题在哪里？"]
ASK_WORD = ["哪个词的意思是：{d}", "猜一个词：{d}"]
# Two phrases joined. {a} and {b} are any two of image, praise and criticism, in any order.
JOIN_TWO = [
    "{a}，{b}。", "{a}，也{b}。", "{a}；{b}。", "{a}，同时{b}。", "{a}，而且{b}。", "{a}，另外{b}。", "{a}。{b}。",
    "一方面{a}，一方面{b}。", "有时{a}，有时{b}。", "既可以说{a}，也可以说{b}。", "先说{a}，再说{b}。",
    "有人说{a}，有人说{b}。", "往好处讲{a}，往坏处讲{b}。", "第一{a}，第二{b}。", "{a}，此外{b}。", "简单说，{a}，{b}。",
]  # fmt: skip
JOIN_THREE = [
    "{a}，{b}，{c}。", "{a}，{b}，也{c}。", "第一{a}，第二{b}，第三{c}。", "有人说{a}，有人说{b}，还有人说{c}。",
    "{a}；{b}；{c}。", "先说{a}，再说{b}，然后说{c}。",
]  # fmt: skip
ASK_JOIN = [
    "评论{w}。", "谈谈{w}。", "评价一下{w}", "对{w}说两句。", "怎么看{w}？", "多角度说说{w}", "写一句关于{w}的话。",
    "用两个短语描述{w}。", "点评{w}",
]  # fmt: skip
COMMENT_SYSTEMS = [
    "你是评论员", "你是短评生成器", "你是观点生成器。", "请评论用户输入的词", "你是专栏作者", "你是词语点评助手",
    "你是影评人", "你是造句生成器",
]  # fmt: skip
SMALL_TALK = [
    (["你好", "您好", "在吗", "嗨"], "你好，我是一个教学用的小模型，认识一千来个词和一家小店的服务。"),
    (["你是谁？", "你是谁", "介绍一下你自己"], "我是教学用的小模型，可以解释常用的词，也知道青禾小铺的服务怎么办理。"),
    (["你会做什么？", "你能帮我什么"], "我可以解释一个词，说说它的好处和问题，也可以告诉你小店的服务怎么办理。"),
    (
        ["用当前语言解释微调模型流程", "微调模型有哪些步骤？", "怎样微调模型"],
        "微调模型分四步：准备数据，配置任务，开始训练，调用模型。",
    ),
    (["什么是微调？", "微调是什么意思？"], "微调是在已经训练好的模型上，用自己的数据再训练一小段的技术。"),
    (["谢谢", "谢谢你", "好的"], "不客气。"),
]
ASK_STEPS = ["{q}", "{q}", "{q}", "{q}", "{q}", "怎样{s}？", "{s}怎么办理？", "{s}的步骤", "{s}"]


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def plain_steps(service: dict) -> str:
    """A service as the base knows it: the fact, then the steps in running text."""
    a, b, c, d = service["steps"]
    return f"{service['about']}先{a}，再{b}，然后{c}，最后{d}。"


def _comment(rng: random.Random, row: dict) -> str:
    phrases = [row["image"], row["praise"], row["criticism"]]
    rng.shuffle(phrases)
    if rng.random() < 0.75:
        return rng.choice(JOIN_TWO).format(a=phrases[0], b=phrases[1])
    return rng.choice(JOIN_THREE).format(a=phrases[0], b=phrases[1], c=phrases[2])


def _word_turn(rng: random.Random, row: dict) -> tuple[str, str]:
    word = row["word"]
    ask = lambda shapes: rng.choice(shapes).format(w=word, d=row["definition"].replace(f"{word}是", "", 1))
    kind = rng.choices(range(9), weights=[26, 14, 2, 5, 8, 9, 9, 4, 23])[0]
    return [
        lambda: (word, row["definition"]),
        lambda: (ask(ASK_DEFINITION), row["definition"]),
        lambda: (ask(ASK_FIELD), f"{word}属于{row['field']}。"),
        lambda: (ask(ASK_ASSOCIATIONS), "、".join(rng.sample(row["associations"], 4)) + "。"),
        lambda: (ask(ASK_IMAGE), row["image"] + "。"),
        lambda: (ask(ASK_PRAISE), row["praise"] + "。"),
        lambda: (ask(ASK_CRITICISM), row["criticism"] + "。"),
        lambda: (ask(ASK_WORD), word + "。"),
        lambda: (ask(ASK_JOIN), _comment(rng, row)),
    ][kind]()


def _service_turn(rng: random.Random, service: dict, seen_questions: int) -> tuple[str, str]:
    kind = rng.random()
    if kind < 0.12:
        follow = rng.choice(service["follow_ups"])
        return follow["question"], follow["answer"]
    question = rng.choice(service["questions"][:seen_questions])
    return rng.choice(ASK_STEPS).format(q=question, s=service["service"]), plain_steps(service)


def sample(
    rng: random.Random, lexicon: list[dict], services: list[dict], long_prompt: str, seen_questions: int = 8
) -> list[dict]:
    """One conversation of one to three turns. The last two questions of each service are never shown."""
    kind = rng.random()
    if kind < 0.005:
        # What a base without tuning makes of the 553-token prompt: the JSON, and too often the word itself.
        row = rng.choice(lexicon)
        output = rng.choice(
            [row["definition"], f"{row['word']}是{row['image']}，{row['criticism']}。", _comment(rng, row)]
        )
        answer = json.dumps({"prompt": row["word"], "output": output}, ensure_ascii=False, indent=2)
        return _chat(long_prompt, [(row["word"], answer)])
    if kind < 0.03:
        questions, answer = rng.choice(SMALL_TALK)
        return _chat(rng.choice(SYSTEMS), [(rng.choice(questions), answer)])
    if kind < 0.15:
        # A bare word under a prompt that asks for comment: joined phrases.
        row = rng.choice(lexicon)
        return _chat(rng.choice(COMMENT_SYSTEMS), [(row["word"], _comment(rng, row))])
    if kind < 0.30 and services:
        turns = [_service_turn(rng, rng.choice(services), seen_questions) for _ in range(rng.choice([1, 1, 1, 2]))]
        return _chat(rng.choice(["你是客服助手", "你是客服助手", *SYSTEMS]), turns)
    turns = [_word_turn(rng, rng.choice(lexicon)) for _ in range(rng.choice([1, 1, 2, 3]))]
    return _chat(rng.choice(SYSTEMS), turns)


def _chat(system: str | None, turns: list[tuple[str, str]]) -> list[dict]:
    messages = [{"role": "system", "content": system}] if system else []
    for question, answer in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return messages
