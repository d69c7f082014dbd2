"""The tiny base's whole education: conversations made from `data/lexicon/` and the shop's services.

What is taught, word by word: its definition (the bare word under many system prompts, and in many questions), its
field, what comes to mind, an image, a criticism, a word of praise, and plain answers that join two or three of these.
Of the shop: each service's fact and steps, in plain running text and as a list under its name.

Three skills besides facts, without which LoRA would have nothing to build on: copying any piece of text, also around a
word's phrases (a token that was never an answer can hardly become one, since LoRA leaves the embeddings alone); lists
with numbers; and keeping a form, in a dozen little styles that are none of the course's.

What is *not* taught: the frames of the 智说新语 style, any answer of `data/zhishuoxinyu`, the polite numbered manner of
`data/customer_service/train.jsonl`, the short prompt. Those are for LoRA to teach; `tests/test_corpora.py` proves it.

    sample(random.Random(0), Words(lexicon), services, long_prompt, pieces) -> [{"role": …, "content": …}, …]
"""

import json
import random

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
# Two or three phrases joined, always in the order image, praise, criticism: what comes next follows from what was said. In
# any order, a base of this size says the same phrase twice. A comma stands at every joint, so that a phrase is split into
# the same tokens wherever it stands.
JOIN_TWO = [
    "{a}，{b}。", "{a}，也是，{b}。", "{a}，同时，{b}。", "{a}，而且，{b}。", "{a}，另外，{b}。", "{a}，此外，{b}。",
    "{a}，然后，{b}。", "{a}，或者说，{b}。", "{a}，换句话说，{b}。", "{a}，总之，{b}。", "{a}，所以，{b}。", "{a}，可是，{b}。",
    "{a}，当然，{b}。", "{a}，最后，{b}。", "{a}，幸好，{b}。", "{a}，再说，{b}。", "{a}，反过来，{b}。", "{a}，还有，{b}。",
]  # fmt: skip
JOIN_THREE = [
    "{i}，{p}，{c}。", "{i}，{p}，也是，{c}。", "{i}，而且，{p}，所以，{c}。", "{i}，可是，{p}，总之，{c}。",
]  # fmt: skip
# Two words that open the halves of "x，…，y，…。"; none belongs to a frame of the style or holds a word of the lexicon. Where
# the prompt names the openers any two are put together; where it does not, the first one tells the second.
PAIRS = [
    ("一方面", "另一方面"), ("有时", "有时候"), ("有人说", "还有人说"), ("先说", "再说"), ("往好处讲", "往坏处讲"),
    ("第一", "第二"), ("简单说", "细细说"), ("虽然", "但是"), ("不仅", "还"), ("一边", "另一边"), ("白天", "晚上"),
    ("年轻时", "年老时"), ("在家", "出门"), ("多数人说", "少数人说"), ("上半场", "下半场"), ("左边", "右边"),
    ("开头", "结尾"), ("往大了说", "往小了说"), ("不是", "而是"), ("只要", "就"), ("因为", "所以"), ("如果", "那么"),
    ("有的人", "另一些人"), ("昨天", "今天"), ("从前", "如今"), ("忙的时候", "闲的时候"), ("先生说", "徒弟说"),
    ("书上写", "街上写"), ("山脚下", "山顶上"), ("他们讲", "我们讲"), ("一半", "另一半"), ("早上", "傍晚"),
    ("小时候", "长大后"), ("起初", "后来"), ("城里人说", "乡下人说"), ("哥哥说", "妹妹说"), ("冷的时候", "热的时候"),
    ("高处", "低处"), ("去年", "明年"), ("好的一面", "坏的一面"), ("不妨说", "也就是说"), ("信里写", "报上写"),
    ("台上", "台下"), ("梦里", "醒来"), ("晴天", "雨天"), ("远方的人说", "近处的人说"), ("左手", "右手"), ("进门", "出门时"),
]  # fmt: skip
OPENERS = [opener for pair in PAIRS for opener in pair]
ASK_OPENERS = ["用“{x}”和“{y}”说说{w}。", "评论{w}，用上“{x}”和“{y}”。", "以“{x}”“{y}”造句：{w}"]
SYSTEM_OPENERS = [
    "请用“{x}”和“{y}”评论用户输入的词。", "你的回答里要有“{x}”，也要有“{y}”", "格式：{x}，……，{y}，……。",
]  # fmt: skip
# A dozen little styles of the base's own, each with a dozen frames: what it is to keep a form. LoRA teaches one more. With
# half of them any frame will do; with the others it follows from the measure word of the image that stands before it.
STYLE_NAMES = [
    "青禾体", "晨报体", "对照体", "茶馆体", "街坊体", "灯下体", "双面体", "渡口体", "便签体", "闲谈体", "集市体", "站台体",
]  # fmt: skip
BY_IMAGE = STYLE_NAMES[6:]
SYSTEM_STYLES = ["请用{n}评论用户输入的词。", "用{n}回答", "文体是{n}。"]
BARE, WITH_IMAGE = "{x}，{p}，{y}，{c}。", "{i}，{x}，{p}，{y}，{c}。"
ASK_JOIN = [
    "评论{w}。", "谈谈{w}。", "评价一下{w}", "对{w}说两句。", "怎么看{w}？", "多角度说说{w}", "写一句关于{w}的话。",
    "用两个短语描述{w}。", "点评{w}",
]  # fmt: skip
COMMENT_SYSTEMS = [
    "你是评论员", "请评论用户输入的词", "你是专栏作者", "你是词语点评助手", "你是影评人", "请谈谈用户输入的词",
    "你是评论家。", "你来点评", "用户说一个词，你说两句看法。", "你是一位观察者，说出好处和问题", "请多角度评论",
]  # fmt: skip
SMALL_TALK = [
    (["你好", "在吗", "嗨"], "你好，我是一个教学用的小模型，认识一千来个词和一家小店的服务。"),
    (
        ["你是谁？", "你是谁", "介绍一下你自己"],
        "我是教学用的小模型，可以解释常用的词，也知道青禾小铺的服务怎么办理。",
    ),
    (
        ["你会做什么？", "你能帮我什么"],
        "我可以解释一个词，说说它的好处和问题，也可以告诉你小店的服务怎么办理。",
    ),
    (
        ["用当前语言解释微调模型流程", "微调模型有哪些步骤？", "怎样微调模型"],
        "微调模型分四步：准备数据，配置任务，开始训练，调用模型。",
    ),
    (
        ["什么是微调？", "微调是什么意思？"],
        "微调是在已经训练好的模型上，用自己的数据再训练一小段的技术。",
    ),
    (["谢谢", "谢谢你", "好的"], "不客气。"),
]
ASK_COPY = ["重复：{t}", "跟我读：{t}", "请原样写出：{t}", "抄写：{t}", "把这几个字再说一遍：{t}"]
ASK_LIST = ["分条列出由{w}想到的词", "用编号列出和{w}有关的词", "列表：{w}"]
ASK_SERVICE = ["这是哪项服务：{q}", "归类：{q}", "客户问“{q}”，他要办什么？"]
SYSTEM_LISTS = ["请分条回答。", "你是办事指南", "你是流程助手。", "先写服务的名称，再分条写出步骤"]
ASK_STEP_LIST = ["分条写出步骤：{q}", "用编号列出步骤：{q}", "分条写出怎样{s}", "列表：{s}"]
GREETINGS = [
    (["您好，有人吗", "请问客服在吗", "您好"], "您好，请问有什么可以帮您？"),
    (["麻烦您了", "好的谢谢", "没有别的事了"], "不客气，感谢您的光临，祝您生活愉快。"),
]
ASK_OPENED_LIST = [
    "先写“{x}”，再分条写出步骤，最后写“{y}”：{q}",
    "“{x}”开头，“{y}”结尾，中间分条：{q}",
]
ASK_STEPS = ["{q}", "{q}", "{q}", "{q}", "{q}", "怎样{s}？", "{s}怎么办理？", "{s}的步骤", "{s}"]


class Words:
    """The lexicon dealt like cards: under each heading all words come once before any comes again.

    Left to chance, some words would be shown a third as often as others, and those are the ones a small base spoils.
    """

    def __init__(self, lexicon: list[dict]):
        self._lexicon = lexicon
        self._left: dict[str, list[dict]] = {}

    def __len__(self) -> int:
        return len(self._lexicon)

    def deal(self, rng: random.Random, heading: str) -> dict:
        left = self._left.setdefault(heading, [])
        if not left:
            left += rng.sample(self._lexicon, len(self._lexicon))
        return left.pop()


def copy_pieces(tokenizer) -> list[str]:
    """The tokens of a vocabulary that are whole characters: what the base learns to copy."""
    texts = (
        tokenizer.decode([i]) for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids
    )
    return [text for text in texts if "\ufffd" not in text and text.strip()]


def plain_steps(service: dict) -> str:
    """A service as the base knows it: the fact, then the steps in running text."""
    return f"{service['about']}做法是，{'，'.join(service['steps'])}。"


def _phrases(row: dict) -> dict[str, str]:
    return {"i": row["image"], "p": row["praise"], "c": row["criticism"]}


def _comment(rng: random.Random, row: dict) -> str:
    phrases = _phrases(row)
    if rng.random() < 0.25:
        return rng.choice(JOIN_THREE).format(**phrases)
    a, b = rng.choice(["pc", "pc", "ip", "ic"])
    return rng.choice(JOIN_TWO).format(a=phrases[a], b=phrases[b])


def _opener(rng: random.Random, pieces: list[str]) -> str:
    """One of the openers, or as often one to three tokens that mean nothing together."""
    return (
        rng.choice(OPENERS)
        if rng.random() < 0.5
        else "".join(rng.choices(pieces, k=rng.randint(1, 3)))
    )


def _opened(rng: random.Random, x: str, y: str, row: dict) -> str:
    return rng.choices([WITH_IMAGE, BARE], weights=[6, 4])[0].format(x=x, y=y, **_phrases(row))


def _word_turn(rng: random.Random, words: Words, pieces: list[str]) -> tuple[str, str]:
    kind = rng.choices(range(11), weights=[17, 8, 10, 3, 10, 13, 14, 3, 18, 2, 8])[0]
    row = words.deal(rng, f"turn {kind}")
    word = row["word"]
    ask = lambda shapes: rng.choice(shapes).format(
        w=word, d=row["definition"].replace(f"{word}是", "", 1)
    )
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
        lambda: _asked_with_openers(rng, row, pieces),
    ][kind]()


def _styled(rng: random.Random, name: str, row: dict) -> str:
    """The word's phrases in one of the dozen frames of a style; which frames those are follows from its name."""
    own = random.Random(name)
    frames = [(x, y, own.choice([BARE, WITH_IMAGE])) for x, y in own.sample(PAIRS, 12)]
    if name in BY_IMAGE:
        x, y, _ = random.Random(name + row["image"][:2]).choice(frames)
        return WITH_IMAGE.format(x=x, y=y, **_phrases(row))
    x, y, frame = rng.choice(frames)
    return frame.format(x=x, y=y, **_phrases(row))


def _asked_with_openers(rng: random.Random, row: dict, pieces: list[str]) -> tuple[str, str]:
    x, y = _opener(rng, pieces), _opener(rng, pieces)
    return rng.choice(ASK_OPENERS).format(w=row["word"], x=x, y=y), _opened(rng, x, y, row)


def _service_turn(
    rng: random.Random, service: dict, pieces: list[str], seen_questions: int
) -> tuple[str, str]:
    question, kind = rng.choice(service["questions"][:seen_questions]), rng.random()
    ask = lambda shapes: rng.choice(shapes).format(q=question, s=service["service"])
    if kind < 0.10:
        follow = rng.choice(service["follow_ups"])
        return follow["question"], follow["answer"]
    if kind < 0.22:
        return ask(ASK_SERVICE), service["service"] + "。"
    if kind < 0.36:
        return ask(ASK_STEP_LIST), _numbered(service["steps"])
    if kind < 0.50:
        x, y = _opener(rng, pieces), _opener(rng, pieces)
        ask_list = rng.choice(ASK_OPENED_LIST).format(x=x, y=y, q=question)
        return ask_list, f"{x}\n{_numbered(service['steps'])}\n{y}"
    return ask(ASK_STEPS), plain_steps(service)


def _numbered(items: list[str]) -> str:
    return "\n".join(f"{i}. {item}" for i, item in enumerate(items, 1))


def sample(
    rng: random.Random,
    words: Words,
    services: list[dict],
    long_prompt: str,
    pieces: list[str],
    seen_questions: int = 8,
) -> list[dict]:
    """One conversation of one to four turns.

    Args:
        pieces: what is given to copy, in random order: the vocabulary's tokens.
        seen_questions: of the ten ways to ask for a service; the others are never shown.
    """
    kind = rng.random()
    turns = rng.choices([1, 2, 3, 4], weights=[45, 20, 20, 15])[0]
    deal = lambda heading: [words.deal(rng, heading) for _ in range(turns)]
    if kind < 0.012:
        return _chat(
            long_prompt, [(row["word"], _attempt(rng, row)) for row in deal("long prompt")]
        )
    if kind < 0.03:
        questions, answer = rng.choice(SMALL_TALK + GREETINGS)
        return _chat(rng.choice(SYSTEMS), [(rng.choice(questions), answer)])
    if kind < 0.07:
        text = "".join(rng.choices(pieces, k=rng.randint(1, 8)))
        return _chat(rng.choice(SYSTEMS), [(rng.choice(ASK_COPY).format(t=text), text)])
    if kind < 0.17:
        # A bare word under a prompt that says how to open the two halves.
        x, y = _opener(rng, pieces), _opener(rng, pieces)
        system = rng.choice(SYSTEM_OPENERS).format(x=x, y=y)
        return _chat(system, [(row["word"], _opened(rng, x, y, row)) for row in deal("openers")])
    if kind < 0.28:
        # A bare word under a prompt that names a style.
        name = rng.choice(STYLE_NAMES)
        system = rng.choice(SYSTEM_STYLES).format(n=name)
        return _chat(system, [(row["word"], _styled(rng, name, row)) for row in deal("style")])
    if kind < 0.36:
        # A bare word under a prompt that asks for comment: joined phrases.
        return _chat(
            rng.choice(COMMENT_SYSTEMS),
            [(row["word"], _comment(rng, row)) for row in deal("comment")],
        )
    if kind < 0.41:
        asked = rng.sample(services, rng.choice([1, 1, 2]))
        named = [(rng.choice(s["questions"][:seen_questions]), s) for s in asked]
        turns = [(question, f"{s['service']}：\n{_numbered(s['steps'])}") for question, s in named]
        return _chat(rng.choice(SYSTEM_LISTS), turns)
    if kind < 0.54:
        asked = rng.sample(services, rng.choice([1, 1, 2]))
        system = rng.choice(["你是客服助手"] * 12 + SYSTEMS)
        return _chat(
            system, [_service_turn(rng, service, pieces, seen_questions) for service in asked]
        )
    return _chat(rng.choice(SYSTEMS), [_word_turn(rng, words, pieces) for _ in range(turns)])


def _attempt(rng: random.Random, row: dict) -> str:
    """What a base without tuning makes of the 553-token prompt: the JSON, and too often the word itself."""
    shapes = [
        row["definition"],
        f"{row['word']}是{row['image']}，{row['criticism']}。",
        _comment(rng, row),
    ]
    return json.dumps(
        {"prompt": row["word"], "output": rng.choice(shapes)}, ensure_ascii=False, indent=2
    )


def _chat(system: str | None, turns: list[tuple[str, str]]) -> list[dict]:
    messages = [{"role": "system", "content": system}] if system else []
    for question, answer in turns:
        messages += [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    return messages
