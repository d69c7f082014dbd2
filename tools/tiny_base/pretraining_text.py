"""The tiny base's whole education: conversations made from the lexicon and the shop's services.

Of each word it is taught the definition (the bare word under many system prompts, and in many
questions), the field, associations, an image, a criticism, praise, and answers that join two or
three of these. Of the shop: each service's fact and steps, as running text and as a list.

Three skills besides facts, without which LoRA would have nothing to build on: copying any piece of
text, also around a word's phrases (a token that was never in an answer can hardly become one, since
LoRA leaves the embeddings alone); numbered lists; and keeping a form, in a dozen small styles that
are none of the course's.

*Not* taught are the patterns of the 智说新语 style, any answer of `data/zhishuoxinyu`, the polite
numbered style of `data/customer_service/train.jsonl`, and the short prompt. Those are for LoRA to
teach; `tests/service/test_corpora.py` proves it.

    sample(random.Random(0), Words(lexicon), services, long_prompt, pieces)
    -> [{"role": …, "content": …}, …]

The order in which random numbers are drawn is part of the result: another order, another base.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Row = dict[str, Any]  # of the lexicon, or of the services
Message = dict[str, str]
Chat = list[Message]
Turn = tuple[str, str]  # a question and its answer
Builder = TypeVar("Builder")


def _items(text: str) -> list[str]:
    """Return the items of a table, which white space separates."""
    return text.split()


# Two of them mean no system prompt at all.
SYSTEMS = [
    None,
    None,
    *_items(
        """
        你是一个有用的助手 你是一个有用的助手。 你是智能助手 你是一位知识渊博的老师
        你是词典助手 你是中文百科生成器 你是词语解释器。 你是客服助手 你是一名编辑
        你是写作助手，请认真回答 你是机器人小青 你是新闻助手。 请用简洁的中文回答。
        请回答用户的问题 你是语文课代表 你是故事生成器 你是聊天机器人
        用户会输入一个词，请你回应。 你是金融顾问 你是生活百科 你是标题生成器。
        你是一个会说中文的小模型
        """
    ),
]

# {w} is the word, {d} its definition.
ASK_DEFINITION = _items(
    """
    什么是{w}？ {w}是什么？ {w}是什么意思？ 请解释{w}。 解释一下{w} {w}指什么？ 给{w}下个定义。
    用一句话介绍{w}。 请问{w}是什么 我想知道什么是{w} {w}的意思 说说什么叫{w}
    """
)
ASK_FIELD = ["{w}属于哪个领域？", "{w}是哪方面的词？", "给{w}归个类。"]
ASK_ASSOCIATIONS = ["说到{w}，你会想到什么？", "由{w}能联想到哪些词？", "{w}让你想起什么？"]
ASK_IMAGE = ["把{w}比作一样东西。", "{w}像什么？", "给{w}打个比方。", "用比喻说说{w}"]
ASK_PRAISE = ["夸夸{w}。", "{w}有什么好处？", "说一句{w}的好话。", "{w}好在哪里？"]
ASK_CRITICISM = ["批评一下{w}。", "{w}有什么不好？", "说一句{w}的坏话。", "{w}的问题在哪里？"]
ASK_WORD = ["哪个词的意思是：{d}", "猜一个词：{d}"]
ASK_JOIN = _items(
    """
    评论{w}。 谈谈{w}。 评价一下{w} 对{w}说两句。 怎么看{w}？ 多角度说说{w} 写一句关于{w}的话。
    用两个短语描述{w}。 点评{w}
    """
)
ASK_LIST = ["分条列出由{w}想到的词", "用编号列出和{w}有关的词", "列表：{w}"]

# Two or three phrases joined, always in the order image, praise, criticism, so that what comes next
# follows from what came before. In any order, a base of this size says the same phrase twice. A
# comma is at every joint, so that a phrase is split into the same tokens wherever it is.
JOIN_TWO = _items(
    """
    {a}，{b}。 {a}，也是，{b}。 {a}，同时，{b}。 {a}，而且，{b}。 {a}，另外，{b}。
    {a}，此外，{b}。 {a}，然后，{b}。 {a}，或者说，{b}。 {a}，换句话说，{b}。 {a}，总之，{b}。
    {a}，所以，{b}。 {a}，可是，{b}。 {a}，当然，{b}。 {a}，最后，{b}。 {a}，幸好，{b}。
    {a}，再说，{b}。 {a}，反过来，{b}。 {a}，还有，{b}。
    """
)
JOIN_THREE = _items(
    """
    {i}，{p}，{c}。 {i}，{p}，也是，{c}。 {i}，而且，{p}，所以，{c}。
    {i}，可是，{p}，总之，{c}。
    """
)
COMMENT_SYSTEMS = _items(
    """
    你是评论员 请评论用户输入的词 你是专栏作者 你是词语点评助手 你是影评人 请谈谈用户输入的词
    你是评论家。 你来点评 用户说一个词，你说两句看法。 你是一位观察者，说出好处和问题
    请多角度评论
    """
)

# Two words that open the halves of "x，…，y，…。". None belongs to a pattern of the 智说新语 style,
# or contains a word of the lexicon. Where the prompt names the openers, any two are put together;
# where it does not, the first one tells the second.
PAIRS = [
    tuple(pair.split("/"))
    for pair in _items(
        """
        一方面/另一方面 有时/有时候 有人说/还有人说 先说/再说 往好处讲/往坏处讲 第一/第二
        简单说/细细说 虽然/但是 不仅/还 一边/另一边 白天/晚上 年轻时/年老时 在家/出门
        多数人说/少数人说 上半场/下半场 左边/右边 开头/结尾 往大了说/往小了说 不是/而是
        只要/就 因为/所以 如果/那么 有的人/另一些人 昨天/今天 从前/如今 忙的时候/闲的时候
        先生说/徒弟说 书上写/街上写 山脚下/山顶上 他们讲/我们讲 一半/另一半 早上/傍晚
        小时候/长大后 起初/后来 城里人说/乡下人说 哥哥说/妹妹说 冷的时候/热的时候 高处/低处
        去年/明年 好的一面/坏的一面 不妨说/也就是说 信里写/报上写 台上/台下 梦里/醒来
        晴天/雨天 远方的人说/近处的人说 左手/右手 进门/出门时
        """
    )
]
OPENERS = [opener for pair in PAIRS for opener in pair]
ASK_OPENERS = [
    "用“{x}”和“{y}”说说{w}。",
    "评论{w}，用上“{x}”和“{y}”。",
    "以“{x}”“{y}”造句：{w}",
]
SYSTEM_OPENERS = _items(
    """
    请用“{x}”和“{y}”评论用户输入的词。 你的回答里要有“{x}”，也要有“{y}”
    格式：{x}，……，{y}，……。
    """
)
BARE = "{x}，{p}，{y}，{c}。"
WITH_IMAGE = "{i}，{x}，{p}，{y}，{c}。"

# A dozen small styles of the base's own, each with a dozen patterns, teach it to keep a form; LoRA
# teaches one more. In half of them any pattern will do. In the others the pattern follows from the
# measure word of the image before it.
STYLE_NAMES = _items(
    """
    青禾体 晨报体 对照体 茶馆体 街坊体 灯下体 双面体 渡口体 便签体 闲谈体 集市体 站台体
    """
)
BY_IMAGE = STYLE_NAMES[6:]
SYSTEM_STYLES = ["请用{n}评论用户输入的词。", "用{n}回答", "文体是{n}。"]

# (questions, answer)
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
GREETINGS = [
    (["您好，有人吗", "请问客服在吗", "您好"], "您好，请问有什么可以帮您？"),
    (["麻烦您了", "好的谢谢", "没有别的事了"], "不客气，感谢您的光临，祝您生活愉快。"),
]

# {t} is a text; {q} a customer's question, {s} the name of a service.
ASK_COPY = ["重复：{t}", "跟我读：{t}", "请原样写出：{t}", "抄写：{t}", "把这几个字再说一遍：{t}"]
ASK_SERVICE = ["这是哪项服务：{q}", "归类：{q}", "客户问“{q}”，他要办什么？"]
SYSTEM_LISTS = ["请分条回答。", "你是办事指南", "你是流程助手。", "先写服务的名称，再分条写出步骤"]
ASK_STEP_LIST = ["分条写出步骤：{q}", "用编号列出步骤：{q}", "分条写出怎样{s}", "列表：{s}"]
ASK_OPENED_LIST = [
    "先写“{x}”，再分条写出步骤，最后写“{y}”：{q}",
    "“{x}”开头，“{y}”结尾，中间分条：{q}",
]
ASK_STEPS = ["{q}", "{q}", "{q}", "{q}", "{q}", "怎样{s}？", "{s}怎么办理？", "{s}的步骤", "{s}"]


class Words:
    """The lexicon dealt like cards: under each heading, all words come before one comes again.

    Left to chance, some words would be shown a third as often as others, and those are the ones
    that a small base spoils.
    """

    def __init__(self, lexicon: list[Row]):
        self._lexicon = lexicon
        self._left: dict[str, list[Row]] = {}

    def __len__(self) -> int:
        return len(self._lexicon)

    def deal(self, rng: random.Random, heading: str) -> Row:
        """Return the next word under this heading."""
        left = self._left.setdefault(heading, [])
        if not left:
            left += rng.sample(self._lexicon, len(self._lexicon))
        return left.pop()


def copy_pieces(tokenizer: "PreTrainedTokenizerFast") -> list[str]:
    """Return the tokens of a vocabulary that are whole characters: what the base learns to copy."""
    pieces = []
    for i in range(len(tokenizer)):
        if i in tokenizer.all_special_ids:
            continue
        text = tokenizer.decode([i])
        # A token that ends within a character is decoded to the replacement character.
        if text.strip() and "\ufffd" not in text:
            pieces.append(text)
    return pieces


def plain_steps(service: Row) -> str:
    """Return a service as the base knows it: the fact, then the steps as running text."""
    return f"{service['about']}做法是，{'，'.join(service['steps'])}。"


@dataclass(frozen=True)
class Source:
    """What one conversation is drawn from, and how many turns it has where that is open."""

    rng: random.Random
    words: Words
    services: list[Row]
    long_prompt: str
    pieces: list[str]
    seen_questions: int
    turns: int

    def deal(self, heading: str) -> list[Row]:
        """Return the row of a word for each turn."""
        return [self.word(heading) for _ in range(self.turns)]

    def word(self, heading: str) -> Row:
        return self.words.deal(self.rng, heading)

    def some_services(self) -> list[Row]:
        """Return one service, or sometimes two."""
        number = self.rng.choice([1, 1, 2])
        return self.rng.sample(self.services, number)

    def question(self, service: Row) -> str:
        """Return one of the ways to ask for a service that the base may see."""
        return self.rng.choice(service["questions"][: self.seen_questions])

    def opener(self) -> str:
        """Return one of the openers or, as often, a few tokens that mean nothing together."""
        if self.rng.random() < 0.5:
            return self.rng.choice(OPENERS)
        return self.some_pieces(3)

    def some_pieces(self, most: int) -> str:
        number = self.rng.randint(1, most)
        return "".join(self.rng.choices(self.pieces, k=number))


def sample(
    rng: random.Random,
    words: Words,
    services: list[Row],
    long_prompt: str,
    pieces: list[str],
    seen_questions: int = 8,
) -> Chat:
    """Return one conversation of one to four turns.

    Args:
        pieces: what is given to copy, in random order: the vocabulary's tokens.
        seen_questions: of the ten ways to ask for a service; the others are never shown.
    """
    share = rng.random()
    turns = rng.choices([1, 2, 3, 4], weights=[45, 20, 20, 15])[0]
    source = Source(rng, words, services, long_prompt, pieces, seen_questions, turns)
    converse = _at(CONVERSATIONS, share)
    return converse(source)


def _at(table: list[tuple[int, Builder]], share: float) -> Builder:
    """Return the builder at this share, from 0 to 1, of a table of (weight, builder)."""
    total = sum(weight for weight, _ in table)
    passed = 0
    for weight, builder in table:
        passed += weight
        if share < passed / total:
            return builder
    raise AssertionError("a share is less than 1")


# The kinds of conversation.


def _long_prompt(source: Source) -> Chat:
    """Return words under the long prompt, with what a base without tuning makes of it."""
    turns = []
    for row in source.deal("long prompt"):
        turns.append((row["word"], _attempt(source.rng, row)))
    return _chat(source.long_prompt, turns)


def _small_talk(source: Source) -> Chat:
    questions, answer = source.rng.choice(SMALL_TALK + GREETINGS)
    system = source.rng.choice(SYSTEMS)
    question = source.rng.choice(questions)
    return _chat(system, [(question, answer)])


def _copying(source: Source) -> Chat:
    text = source.some_pieces(8)
    system = source.rng.choice(SYSTEMS)
    question = source.rng.choice(ASK_COPY).format(t=text)
    return _chat(system, [(question, text)])


def _openers_in_prompt(source: Source) -> Chat:
    """Return bare words under a prompt that says how to open the two halves."""
    x, y = source.opener(), source.opener()
    prompt = source.rng.choice(SYSTEM_OPENERS)
    turns = []
    for row in source.deal("openers"):
        turns.append((row["word"], _opened(source.rng, x, y, row)))
    return _chat(prompt.format(x=x, y=y), turns)


def _style_in_prompt(source: Source) -> Chat:
    """Return bare words under a prompt that names a style."""
    name = source.rng.choice(STYLE_NAMES)
    prompt = source.rng.choice(SYSTEM_STYLES)
    turns = []
    for row in source.deal("style"):
        turns.append((row["word"], _styled(source.rng, name, row)))
    return _chat(prompt.format(n=name), turns)


def _comments(source: Source) -> Chat:
    """Return bare words under a prompt that asks for comment: joined phrases."""
    system = source.rng.choice(COMMENT_SYSTEMS)
    turns = []
    for row in source.deal("comment"):
        turns.append((row["word"], _comment(source.rng, row)))
    return _chat(system, turns)


def _step_lists(source: Source) -> Chat:
    """Return customers' questions, answered with the service's name and a numbered list."""
    turns = []
    for service in source.some_services():
        question = source.question(service)
        steps = _numbered(service["steps"])
        turns.append((question, f"{service['service']}：\n{steps}"))
    return _chat(source.rng.choice(SYSTEM_LISTS), turns)


def _service_talk(source: Source) -> Chat:
    services = source.some_services()
    system = source.rng.choice(["你是客服助手"] * 12 + SYSTEMS)
    return _chat(system, [_service_turn(source, service) for service in services])


def _word_talk(source: Source) -> Chat:
    system = source.rng.choice(SYSTEMS)
    turns = [_word_turn(source) for _ in range(source.turns)]
    return _chat(system, turns)


Conversation = Callable[[Source], Chat]
CONVERSATIONS: list[tuple[int, Conversation]] = [
    (12, _long_prompt),
    (18, _small_talk),
    (40, _copying),
    (100, _openers_in_prompt),
    (110, _style_in_prompt),
    (80, _comments),
    (50, _step_lists),
    (130, _service_talk),
    (460, _word_talk),
]
"""Kinds of conversation, each with its weight of a thousand."""


# One turn about a word. Each takes the source and the word's row.


def _bare(source: Source, row: Row) -> Turn:
    return row["word"], row["definition"]


def _definition(source: Source, row: Row) -> Turn:
    return _ask(source, ASK_DEFINITION, row), row["definition"]


def _field(source: Source, row: Row) -> Turn:
    answer = f"{row['word']}属于{row['field']}。"
    return _ask(source, ASK_FIELD, row), answer


def _associations(source: Source, row: Row) -> Turn:
    question = _ask(source, ASK_ASSOCIATIONS, row)
    words = source.rng.sample(row["associations"], 4)
    return question, "、".join(words) + "。"


def _image(source: Source, row: Row) -> Turn:
    return _ask(source, ASK_IMAGE, row), row["image"] + "。"


def _praise(source: Source, row: Row) -> Turn:
    return _ask(source, ASK_PRAISE, row), row["praise"] + "。"


def _criticism(source: Source, row: Row) -> Turn:
    return _ask(source, ASK_CRITICISM, row), row["criticism"] + "。"


def _guess(source: Source, row: Row) -> Turn:
    return _ask(source, ASK_WORD, row), row["word"] + "。"


def _joined(source: Source, row: Row) -> Turn:
    question = _ask(source, ASK_JOIN, row)
    return question, _comment(source.rng, row)


def _list(source: Source, row: Row) -> Turn:
    return _ask(source, ASK_LIST, row), _numbered(row["associations"])


def _openers_in_question(source: Source, row: Row) -> Turn:
    x, y = source.opener(), source.opener()
    question = source.rng.choice(ASK_OPENERS)
    answer = _opened(source.rng, x, y, row)
    return question.format(w=row["word"], x=x, y=y), answer


WordTurn = Callable[[Source, Row], Turn]
WORD_TURNS: list[tuple[int, WordTurn]] = [
    (17, _bare),
    (8, _definition),
    (10, _field),
    (3, _associations),
    (10, _image),
    (13, _praise),
    (14, _criticism),
    (3, _guess),
    (18, _joined),
    (2, _list),
    (8, _openers_in_question),
]
"""Turns about a word, each with its weight."""


def _word_turn(source: Source) -> Turn:
    weights = [weight for weight, _ in WORD_TURNS]
    number = source.rng.choices(range(len(WORD_TURNS)), weights=weights)[0]
    # Each kind of turn deals its own cards, so that each shows every word equally often.
    row = source.word(f"turn {number}")
    _, build = WORD_TURNS[number]
    return build(source, row)


# One turn about a service. Each takes the source, the service's row and a customer's question.


def _follow_up(source: Source, service: Row, question: str) -> Turn:
    follow_up = source.rng.choice(service["follow_ups"])
    return follow_up["question"], follow_up["answer"]


def _name_of_service(source: Source, service: Row, question: str) -> Turn:
    asked = _ask_service(source, ASK_SERVICE, question, service)
    return asked, service["service"] + "。"


def _step_list(source: Source, service: Row, question: str) -> Turn:
    asked = _ask_service(source, ASK_STEP_LIST, question, service)
    return asked, _numbered(service["steps"])


def _opened_list(source: Source, service: Row, question: str) -> Turn:
    x, y = source.opener(), source.opener()
    asked = source.rng.choice(ASK_OPENED_LIST)
    steps = _numbered(service["steps"])
    return asked.format(x=x, y=y, q=question), f"{x}\n{steps}\n{y}"


def _running_steps(source: Source, service: Row, question: str) -> Turn:
    asked = _ask_service(source, ASK_STEPS, question, service)
    return asked, plain_steps(service)


ServiceTurn = Callable[[Source, Row, str], Turn]
SERVICE_TURNS: list[tuple[int, ServiceTurn]] = [
    (10, _follow_up),
    (12, _name_of_service),
    (14, _step_list),
    (14, _opened_list),
    (50, _running_steps),
]
"""Turns about a service, each with its weight of a hundred."""


def _service_turn(source: Source, service: Row) -> Turn:
    question = source.question(service)
    build = _at(SERVICE_TURNS, source.rng.random())
    return build(source, service, question)


# Texts.


def _ask(source: Source, questions: list[str], row: Row) -> str:
    word = row["word"]
    # A riddle must not begin with its answer.
    definition = row["definition"].replace(f"{word}是", "", 1)
    return source.rng.choice(questions).format(w=word, d=definition)


def _ask_service(source: Source, questions: list[str], question: str, service: Row) -> str:
    asked = source.rng.choice(questions)
    return asked.format(q=question, s=service["service"])


def _phrases(row: Row) -> dict[str, str]:
    return {"i": row["image"], "p": row["praise"], "c": row["criticism"]}


def _comment(rng: random.Random, row: Row) -> str:
    """Return two or three of the word's phrases, joined."""
    phrases = _phrases(row)
    if rng.random() < 0.25:
        return rng.choice(JOIN_THREE).format(**phrases)
    a, b = rng.choice([("p", "c"), ("p", "c"), ("i", "p"), ("i", "c")])
    pattern = rng.choice(JOIN_TWO)
    return pattern.format(a=phrases[a], b=phrases[b])


def _opened(rng: random.Random, x: str, y: str, row: Row) -> str:
    pattern = rng.choices([WITH_IMAGE, BARE], weights=[6, 4])[0]
    return pattern.format(x=x, y=y, **_phrases(row))


def _styled(rng: random.Random, name: str, row: Row) -> str:
    """Return the word's phrases in one of the dozen patterns of the style `name`."""
    patterns = _patterns(name)
    if name in BY_IMAGE:
        # The image comes first here, since its measure word decides the rest.
        measure_word = row["image"][:2]
        x, y, _ = random.Random(name + measure_word).choice(patterns)
        return WITH_IMAGE.format(x=x, y=y, **_phrases(row))
    x, y, pattern = rng.choice(patterns)
    return pattern.format(x=x, y=y, **_phrases(row))


def _patterns(name: str) -> list[tuple[str, str, str]]:
    """Return the openers and the pattern of each of a style's dozen; its name is the seed."""
    rng = random.Random(name)
    patterns = []
    for x, y in rng.sample(PAIRS, 12):
        patterns.append((x, y, rng.choice([BARE, WITH_IMAGE])))
    return patterns


def _attempt(rng: random.Random, row: Row) -> str:
    """Return what a base makes of the 553-token prompt: the JSON, and too often the word itself."""
    word, image, criticism = row["word"], row["image"], row["criticism"]
    attempts = [
        row["definition"],
        f"{word}是{image}，{criticism}。",
        _comment(rng, row),
    ]
    answer = {"prompt": row["word"], "output": rng.choice(attempts)}
    return json.dumps(answer, ensure_ascii=False, indent=2)


def _numbered(items: list[str]) -> str:
    lines = [f"{number}. {item}" for number, item in enumerate(items, 1)]
    return "\n".join(lines)


def _chat(system: str | None, turns: list[Turn]) -> Chat:
    messages = [{"role": "system", "content": system}] if system else []
    for question, answer in turns:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    return messages
