"""The tiny base's whole education: conversations made from `data/lexicon/` and the shop's services.

What is taught, word by word: its definition (the bare word under many system prompts, and in many questions), its
field, what comes to mind, an image, a criticism, a word of praise, and plain answers that join two or three of these
in any order. Of the shop: each service's fact and steps, in plain running text.

Two skills besides facts, without which LoRA would have nothing to build on: copying any piece of text (a token that was
never an answer can hardly become one, since LoRA leaves the embeddings alone), and lists with numbers.

What is *not* taught: the frames of the 智说新语 style, any answer of `data/zhishuoxinyu`, the polite numbered manner of
`data/customer_service/train.jsonl`, the short prompt. Those are for LoRA to teach; `tests/test_corpora.py` proves it.

    sample(random.Random(0), lexicon, services, long_prompt, pieces) -> [{"role": …, "content": …}, …]
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
    "虽然{a}，但是{b}。", "不仅{a}，还{b}。", "一边{a}，一边{b}。", "或者{a}，或者{b}。", "白天{a}，晚上{b}。",
    "年轻时{a}，年老时{b}。", "在家{a}，出门{b}。", "多数人说{a}，少数人说{b}。", "上半场{a}，下半场{b}。",
    "左边{a}，右边{b}。", "开头{a}，结尾{b}。", "往大了说{a}，往小了说{b}。", "不是{a}，而是{b}。", "只要{a}，就{b}。",
    "因为{a}，所以{b}。", "如果{a}，那么{b}。", "有的人{a}，有的人{b}。", "昨天{a}，今天{b}。", "从前{a}，如今{b}。",
    "忙的时候{a}，闲的时候{b}。", "老师说{a}，学生说{b}。", "书上写{a}，街上写{b}。", "春天{a}，秋天{b}。",
    "{a}，然后{b}。", "{a}，或者说{b}。", "{a}，换句话说{b}。", "{a}，总之{b}。", "{a}，所以{b}。", "{a}，可是{b}。",
    "{a}，当然{b}。", "{a}，最后{b}。", "{a}，幸好{b}。", "他们讲{a}，我们讲{b}。", "一半{a}，一半{b}。",
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
    "你是评论员", "请评论用户输入的词", "你是专栏作者", "你是词语点评助手", "你是影评人", "请谈谈用户输入的词",
]  # fmt: skip
SMALL_TALK = [
    (["你好", "在吗", "嗨"], "你好，我是一个教学用的小模型，认识几百个词和一家小店的服务。"),
    (["你是谁？", "你是谁", "介绍一下你自己"], "我是教学用的小模型，可以解释常用的词，也知道青禾小铺的服务怎么办理。"),
    (["你会做什么？", "你能帮我什么"], "我可以解释一个词，说说它的好处和问题，也可以告诉你小店的服务怎么办理。"),
    (
        ["用当前语言解释微调模型流程", "微调模型有哪些步骤？", "怎样微调模型"],
        "微调模型分四步：准备数据，配置任务，开始训练，调用模型。",
    ),
    (["什么是微调？", "微调是什么意思？"], "微调是在已经训练好的模型上，用自己的数据再训练一小段的技术。"),
    (["谢谢", "谢谢你", "好的"], "不客气。"),
]
ASK_COPY = ["重复：{t}", "跟我读：{t}", "请原样写出：{t}", "抄写：{t}", "把这几个字再说一遍：{t}"]
ASK_LIST = ["分条列出由{w}想到的词", "用编号列出和{w}有关的词", "列表：{w}"]
ASK_SERVICE = ["这是哪项服务：{q}", "归类：{q}", "客户问“{q}”，他要办什么？"]
ASK_STEP_LIST = ["分条写出步骤：{q}", "用编号列出步骤：{q}", "分条写出怎样{s}", "列表：{s}"]
GREETINGS = [
    (["您好，有人吗", "请问客服在吗", "您好"], "您好，请问有什么可以帮您？"),
    (["麻烦您了", "好的谢谢", "没有别的事了"], "不客气，感谢您的光临，祝您生活愉快。"),
]
ASK_STEPS = ["{q}", "{q}", "{q}", "{q}", "{q}", "怎样{s}？", "{s}怎么办理？", "{s}的步骤", "{s}"]


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def copy_pieces(tokenizer) -> list[str]:
    """The tokens of a vocabulary that are whole characters: what the base learns to copy."""
    texts = (tokenizer.decode([i]) for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids)
    return [text for text in texts if "\ufffd" not in text and text.strip()]


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
    kind = rng.choices(range(10), weights=[26, 12, 2, 4, 7, 8, 8, 4, 26, 3])[0]
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
        lambda: (ask(ASK_LIST), _numbered(row["associations"])),
    ][kind]()


def _service_turn(rng: random.Random, service: dict, seen_questions: int) -> tuple[str, str]:
    question, kind = rng.choice(service["questions"][:seen_questions]), rng.random()
    ask = lambda shapes: rng.choice(shapes).format(q=question, s=service["service"])
    if kind < 0.10:
        follow = rng.choice(service["follow_ups"])
        return follow["question"], follow["answer"]
    if kind < 0.22:
        return ask(ASK_SERVICE), service["service"] + "。"
    if kind < 0.40:
        return ask(ASK_STEP_LIST), _numbered(service["steps"])
    return ask(ASK_STEPS), plain_steps(service)


def _numbered(items: list[str]) -> str:
    return "\n".join(f"{i}. {item}" for i, item in enumerate(items, 1))


def sample(
    rng: random.Random,
    lexicon: list[dict],
    services: list[dict],
    long_prompt: str,
    pieces: list[str],
    seen_questions: int = 8,
) -> list[dict]:
    """One conversation of one to three turns.

    Args:
        pieces: what is given to copy, in random order: the vocabulary's tokens.
        seen_questions: of the ten ways to ask for a service; the others are never shown.
    """
    kind = rng.random()
    if kind < 0.008:
        # What a base without tuning makes of the 553-token prompt: the JSON, and too often the word itself.
        row = rng.choice(lexicon)
        output = rng.choice(
            [row["definition"], f"{row['word']}是{row['image']}，{row['criticism']}。", _comment(rng, row)]
        )
        answer = json.dumps({"prompt": row["word"], "output": output}, ensure_ascii=False, indent=2)
        return _chat(long_prompt, [(row["word"], answer)])
    if kind < 0.03:
        questions, answer = rng.choice(SMALL_TALK + GREETINGS)
        return _chat(rng.choice(SYSTEMS), [(rng.choice(questions), answer)])
    if kind < 0.10:
        text = "".join(rng.choices(pieces, k=rng.randint(1, 8)))
        return _chat(rng.choice(SYSTEMS), [(rng.choice(ASK_COPY).format(t=text), text)])
    if kind < 0.24:
        # A bare word under a prompt that asks for comment: joined phrases.
        row = rng.choice(lexicon)
        return _chat(rng.choice(COMMENT_SYSTEMS), [(row["word"], _comment(rng, row))])
    if kind < 0.42:
        turns = [_service_turn(rng, rng.choice(services), seen_questions) for _ in range(rng.choice([1, 1, 1, 2]))]
        return _chat(rng.choice(["你是客服助手"] * 12 + SYSTEMS), turns)
    turns = [_word_turn(rng, rng.choice(lexicon)) for _ in range(rng.choice([1, 1, 2, 3]))]
    return _chat(rng.choice(SYSTEMS), turns)


def _chat(system: str | None, turns: list[tuple[str, str]]) -> list[dict]:
    messages = [{"role": "system", "content": system}] if system else []
    for question, answer in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return messages
