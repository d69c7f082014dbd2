"""JSON mode: answers that fit a schema, drawn from a model with random weights."""

import json
import queue
from typing import Literal

import jsonschema
import openai
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from cookbook.service.chat_request import ChatRequest
from cookbook.service.engine import grammar
from cookbook.service.engine.generate import Engine
from cookbook.service.engine.grammar import BadSchema, Grammars
from cookbook.service.engine.load import load

MESSAGES = [{"role": "user", "content": "你好"}]
WORD = {"type": "string", "maxLength": 6}
# Regular expressions whose meet takes time without end, in a kilobyte.
ENDLESS = {"allOf": [{"type": "string", "pattern": f"(a|b|c){{{i}}}d"} for i in range(1, 60)]}


@pytest.fixture(scope="module")
def engine():
    engine = Engine()
    engine.start()
    return engine


def ask(engine, base, schema=None, **options):
    """Start a request; its pieces arrive in the queue."""
    pieces = queue.Queue()
    options = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 200} | options
    if schema is not None:
        options["schema"] = json.dumps(schema)
    engine.submit(ChatRequest(base, None, MESSAGES, **options), pieces.put)
    return pieces


def read(pieces):
    """Return the text of an answer and how it ended; fail where it failed."""
    text = ""
    while True:
        piece = pieces.get(timeout=60)
        assert not piece.error, piece.error
        text += piece.text
        if piece.finish_reason:
            return text, piece.finish_reason


def refusal(pieces):
    piece = pieces.get(timeout=60)
    assert piece.error_code == "invalid_schema"
    return str(piece.error)


def leaves():
    """Return schemas of values that soon end."""
    return st.sampled_from(
        [
            WORD,
            {"type": "string", "pattern": "^[0-9]{2}-[a-z]$"},
            {"type": "string", "format": "date"},
            {"type": "integer", "minimum": -5, "maximum": 300},
            {"type": "boolean"},
            {"type": "null"},
            {"enum": ["退款", "换货", 3, None]},
            {"const": {"a": ['“”\\"\n']}},
            {"anyOf": [WORD, {"type": "null"}]},
        ]
    )


def containers(inner):
    """Return arrays and objects of these schemas."""

    def as_object(properties):
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties)[::2],
            "additionalProperties": False,
        }

    def as_array(items):
        return {"type": "array", "items": items, "minItems": 1, "maxItems": 2}

    names = st.sampled_from(["a", "名 字", 'q"', "\\", "z1"])
    objects = st.dictionaries(names, inner, max_size=3).map(as_object)
    return st.one_of(objects, inner.map(as_array))


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)
@given(schema=st.recursive(leaves(), containers, max_leaves=4))
def test_every_answer_that_ends_fits_its_schema(engine, small_base, schema):
    answers = [ask(engine, small_base, schema, seed=seed) for seed in range(6)]
    ended = 0
    for text, reason in map(read, answers):
        if reason == "stop":
            jsonschema.validate(json.loads(text), schema)
            ended += 1
    assert ended


@pytest.mark.parametrize("temperature", [0, 2])
def test_any_object_is_a_json_object_or_runs_out_of_tokens(engine, small_base, temperature):
    options = {"temperature": temperature, "max_tokens": 60}
    schema = {"type": "object"}
    answers = [ask(engine, small_base, schema, seed=seed, **options) for seed in range(16)]
    for text, reason in map(read, answers):
        assert text.startswith("{")
        assert reason == "length" or isinstance(json.loads(text), dict)


def test_an_answer_without_room_says_so(engine, small_base):
    schema = {"type": "string", "minLength": 500}
    assert read(ask(engine, small_base, schema, max_tokens=5))[1] == "length"


def test_white_space_comes_to_an_end(small_base):
    model, tokenizer = load(small_base)
    ends = [tokenizer.eos_token_id]
    json_of = Grammars(tokenizer, model.config.vocab_size, ends).compile('{"type": "object"}')
    for text in ["{", "\n", *[" "] * 16]:
        [token] = tokenizer(text)["input_ids"]
        json_of.take(token)
    logits = torch.zeros(model.config.vocab_size)
    json_of.restrict(logits)
    allowed = logits.isfinite().nonzero()[:, 0].tolist()
    assert allowed and not any(tokenizer.decode([token])[0].isspace() for token in allowed)


def test_other_rows_of_the_batch_are_as_they_were(engine, small_base):
    plain = {"temperature": 0, "max_tokens": 30}
    alone = read(ask(engine, small_base, **plain))
    together = [ask(engine, small_base, {"type": "object"}, max_tokens=40) for _ in range(4)]
    beside = [ask(engine, small_base, **plain) for _ in range(4)]
    assert [read(pieces) for pieces in beside] == [alone] * 4
    assert all(read(pieces) for pieces in together)


@pytest.mark.parametrize(
    "schema, names",
    [
        ({"type": "object", "not": {"type": "string"}}, "not"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"if": WORD, "then": WORD}, "if"),
        ({"type": "string", "format": "phone"}, "phone"),
        ({"oneOf": [WORD, {"type": "string"}]}, "oneOf"),
        ({"type": "strng"}, "strng"),
        ({"$ref": "#/$defs/none"}, "/$defs/none"),
        ({"$ref": "file:///etc/passwd"}, "file:///etc/passwd"),
        ({"type": "string", "pattern": "(("}, "pattern"),
        ({"not": WORD, "x-guidance": {"lenient": True}}, "not"),
        ({"type": "object", "properties": {f"p{i}": WORD for i in range(3000)}}, "复杂"),
        ({"enum": ["长" * grammar.MAX_SCHEMA]}, "复杂"),
        ({"$ref": "#"}, "没有 JSON 能符合"),
        ({"type": "integer", "minimum": 1e30}, "数值范围太大"),
        ({"anyOf": [{"type": "integer", "exclusiveMaximum": -(2**63)}]}, "数值范围太大"),
        ({"type": "string", "minLength": -1}, "minLength"),
        ({"type": "integer", "minimum": 4, "maximum": 3}, "没有 JSON 能符合"),
    ],
)
def test_a_schema_that_cannot_be_kept_is_refused_with_the_reason(engine, small_base, schema, names):
    assert names in refusal(ask(engine, small_base, schema))


def test_a_schema_cannot_make_the_answer_something_else_than_json(engine, small_base):
    options = {"item_separator": ";", "key_separator": "=", "whitespace_pattern": "x{3}"}
    schema = {"type": "array", "items": {"type": "null"}, "minItems": 3, "maxItems": 3}
    text, reason = read(ask(engine, small_base, schema | {"x-guidance": options}))
    assert reason == "stop" and json.loads(text) == [None] * 3


def test_a_recursive_schema_works(engine, small_base):
    tree = {"type": "array", "items": {"$ref": "#"}, "maxItems": 1}
    for text, reason in [read(ask(engine, small_base, tree, seed=seed)) for seed in range(4)]:
        assert reason == "length" or isinstance(json.loads(text), list)


def test_an_endless_schema_is_refused_while_others_are_answered(engine, small_base, monkeypatch):
    monkeypatch.setattr(grammar, "CHECK_SECONDS", 3.0)
    endless = [ask(engine, small_base, ENDLESS) for _ in range(2)]
    read(ask(engine, small_base, max_tokens=5))
    assert all(pieces.empty() for pieces in endless)
    assert all("复杂" in refusal(pieces) for pieces in endless)


def test_an_answer_that_fails_on_its_way_fails_alone(engine, small_base, monkeypatch):
    restrict = grammar.Grammar.restrict
    calls = []

    def fail_at_the_fifth_token(self, logits):
        calls.append(self)
        if calls.count(calls[0]) == 5:
            raise grammar.bad_schema("too many")
        restrict(self, logits)

    monkeypatch.setattr(grammar.Grammar, "restrict", fail_at_the_fifth_token)
    broken = ask(engine, small_base, {"type": "string", "minLength": 50})
    others = [ask(engine, small_base, max_tokens=30) for _ in range(3)]
    with pytest.raises(AssertionError, match="复杂"):
        read(broken)
    assert all(read(pieces) for pieces in others)


def test_without_the_library_the_reader_is_told_what_to_install(small_base, monkeypatch):
    monkeypatch.setattr(grammar.importlib.util, "find_spec", lambda name: None)
    model, tokenizer = load(small_base)
    with pytest.raises(Exception, match="pip install llguidance"):
        Grammars(tokenizer, model.config.vocab_size, [0]).compile("{}")


def test_the_error_of_a_schema_is_read_in_both_languages(monkeypatch):
    assert str(grammar.bad_schema('Unimplemented keys: ["not", "if"]')).endswith("关键字 not, if")
    monkeypatch.setenv("COOKBOOK_LANG", "en")
    assert "the keyword not is not supported" in str(
        BadSchema(zh="", en=grammar.bad_schema('Unimplemented keys: ["not"]').en)
    )


# Over HTTP, with the official client


class Item(BaseModel):
    name: Literal["茶", "咖啡"] | None
    count: int = Field(ge=0, le=9)


class Order(BaseModel):
    items: list[Item] = Field(max_length=2)
    paid: bool


def strict(service):
    return openai.OpenAI(
        base_url=service.base_url,
        api_key=service.api_key,
        max_retries=0,
        _strict_response_validation=True,
    )


def test_parse_gives_the_readers_own_class(service):
    with strict(service) as client:
        answer = client.chat.completions.parse(
            model=service.base_model, messages=MESSAGES, response_format=Order, n=2, seed=1
        )
    assert all(isinstance(choice.message.parsed, Order) for choice in answer.choices)


def test_a_stream_of_json_is_json(service):
    schema = {"type": "object", "properties": {"好": {"enum": ["是", "否"]}}, "required": ["好"]}
    schema["additionalProperties"] = False
    named = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    with strict(service) as client:
        chunks = list(
            client.chat.completions.create(
                model=service.base_model, messages=MESSAGES, response_format=named, stream=True
            )
        )
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert json.loads(text)["好"] in ("是", "否")


def test_a_keyword_that_is_not_supported_is_400_by_name(client, service):
    named = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}}}}
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="not") as caught:
            client.chat.completions.create(
                model=service.base_model, messages=MESSAGES, response_format=named, stream=stream
            )
        assert (caught.value.code, caught.value.param) == ("invalid_schema", "response_format")


def test_a_stop_text_cannot_cut_json_in_two(client, service):
    with pytest.raises(openai.BadRequestError, match="stop"):
        client.chat.completions.create(
            model=service.base_model,
            messages=MESSAGES,
            response_format={"type": "json_object"},
            stop=["}"],
        )
