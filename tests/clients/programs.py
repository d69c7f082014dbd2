"""What people do with each client, against the service: `python programs.py` prints a line each.

Run by the Python of the clients' own environment. OPENAI_BASE_URL, OPENAI_API_KEY and MODEL name
the service, TOKENIZER the folder of its base. A line is JSON: client, package, version, habit,
works, and what was said if it does not.
"""

import asyncio
import importlib.metadata
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

BASE_URL, KEY = os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"]
MODEL = os.environ["MODEL"]
ASK = [{"role": "user", "content": "你好"}]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Habit:
    """Something that people do with a client."""

    client: str
    package: str
    name: str
    run: Callable[[], None]


HABITS: list[Habit] = []


def habit(client: str, package: str, name: str) -> Callable[[Callable], Callable]:
    """Register a function that does it, and fails where the service does not play along."""

    def register(run: Callable) -> Callable:
        HABITS.append(Habit(client, package, name, run))
        return run

    return register


# LangChain


def _langchain(**options):
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model=MODEL, base_url=BASE_URL, api_key=KEY, max_retries=0, **options)


@habit("LangChain", "langchain-openai", "ask, and send the answer back")
def _():
    llm = _langchain(max_tokens=8)
    answer = llm.invoke("你好")
    again = llm.invoke([("user", "你好"), answer, ("user", "再见")])
    assert answer.usage_metadata["output_tokens"] and again.content is not None


@habit("LangChain", "langchain-openai", "stream, with usage counted once")
def _():
    whole = None
    for chunk in _langchain(max_tokens=8, stream_usage=True).stream("你好"):
        whole = chunk if whole is None else whole + chunk
    usage = whole.usage_metadata
    assert usage["output_tokens"] <= 8
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


@habit("LangChain", "langchain-openai", "`with_structured_output`, by JSON schema")
def _():
    llm = _langchain(max_tokens=200)
    answer = llm.with_structured_output({"title": "person", **SCHEMA}, method="json_schema")
    assert set(answer.invoke("小明今年八岁")) == {"name", "age"}


@habit("LangChain", "langchain-openai", "`bind_tools`")
def _():
    tool = {"title": "weather", "description": "the weather", **SCHEMA}
    _langchain().bind_tools([tool]).invoke("天气")


# LiteLLM


def _litellm(**options):
    import litellm

    asked = {"model": f"openai/{MODEL}", "api_base": BASE_URL, "api_key": KEY, "messages": ASK}
    return litellm.completion(**asked, max_tokens=8, **options)


@habit("LiteLLM", "litellm", "ask, and send the answer back")
def _():
    message = _litellm().choices[0].message
    again = _litellm_messages([*ASK, message.model_dump(), *ASK])
    assert again.usage.completion_tokens


def _litellm_messages(messages):
    import litellm

    where = {"model": f"openai/{MODEL}", "api_base": BASE_URL, "api_key": KEY}
    return litellm.completion(**where, messages=messages, max_tokens=8)


@habit("LiteLLM", "litellm", "stream, with usage counted once")
def _():
    chunks = list(_litellm(stream=True, stream_options={"include_usage": True}))
    usage = [chunk.usage for chunk in chunks if getattr(chunk, "usage", None)]
    assert len(usage) == 1 and usage[0].completion_tokens <= 8


@habit("LiteLLM", "litellm", "JSON mode")
def _():
    import litellm

    where = {"model": f"openai/{MODEL}", "api_base": BASE_URL, "api_key": KEY}
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
    answer = litellm.completion(**where, messages=ASK, max_tokens=200, response_format=form)
    assert set(json.loads(answer.choices[0].message.content)) == {"name", "age"}


# Pydantic AI


def _pydantic_agent(**options):
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=BASE_URL, api_key=KEY)
    return Agent(OpenAIChatModel(MODEL, provider=provider), **options)


@habit("Pydantic AI", "pydantic-ai-slim", "ask twice in a conversation")
def _():
    agent = _pydantic_agent(model_settings={"max_tokens": 16})
    first = agent.run_sync("你好")
    agent.run_sync("再见", message_history=first.all_messages())
    assert first.usage.output_tokens <= 16


@habit("Pydantic AI", "pydantic-ai-slim", "stream, with usage counted once")
def _():
    async def stream():
        agent = _pydantic_agent(model_settings={"max_tokens": 16})
        async with agent.run_stream("你好") as result:
            async for _ in result.stream_text():
                pass
            return result.usage

    assert 0 < asyncio.run(stream()).output_tokens <= 16


@habit("Pydantic AI", "pydantic-ai-slim", "`NativeOutput` of a class")
def _():
    from pydantic import BaseModel, Field
    from pydantic_ai import NativeOutput

    class Person(BaseModel):
        name: str = Field(max_length=8)
        age: int = Field(ge=0, le=120)

    agent = _pydantic_agent(output_type=NativeOutput(Person), model_settings={"max_tokens": 200})
    assert isinstance(agent.run_sync("小明今年八岁").output, Person)


@habit("Pydantic AI", "pydantic-ai-slim", "output by a tool, its default")
def _():
    _pydantic_agent(output_type=dict[str, int]).run_sync("你好")


# AutoGen


def _autogen():
    from autogen_core.models import ModelInfo
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    info = ModelInfo(
        vision=False,
        function_calling=False,
        json_output=True,
        family="unknown",
        structured_output=True,
    )
    return OpenAIChatCompletionClient(
        model=MODEL, base_url=BASE_URL, api_key=KEY, max_retries=0, max_tokens=8, model_info=info
    )


@habit("AutoGen", "autogen-ext", "an agent, which sends its name")
def _():
    from autogen_agentchat.agents import AssistantAgent

    result = asyncio.run(AssistantAgent("bot", _autogen()).run(task="你好"))
    assert result.messages[-1].content


@habit("AutoGen", "autogen-ext", "a team of two that talk in turns")
def _():
    from autogen_agentchat.agents import AssistantAgent
    from autogen_agentchat.teams import RoundRobinGroupChat

    agents = [AssistantAgent(name, _autogen()) for name in ("teacher", "student")]
    result = asyncio.run(RoundRobinGroupChat(agents, max_turns=4).run(task="你好"))
    assert len(result.messages) == 5


# Haystack


def _haystack(**options):
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.utils import Secret

    return OpenAIChatGenerator(
        api_key=Secret.from_token(KEY), model=MODEL, api_base_url=BASE_URL, **options
    )


@habit("Haystack", "haystack-ai", "ask, and send the answer back")
def _():
    from haystack.dataclasses import ChatMessage

    generator = _haystack(generation_kwargs={"max_tokens": 8})
    answer = generator.run([ChatMessage.from_user("你好")])["replies"][0]
    again = generator.run([ChatMessage.from_user("你好"), answer, ChatMessage.from_user("再见")])
    assert again["replies"][0].meta["usage"]["completion_tokens"] <= 8


@habit("Haystack", "haystack-ai", "stream")
def _():
    from haystack.dataclasses import ChatMessage

    pieces = []
    generator = _haystack(
        generation_kwargs={"max_tokens": 8}, streaming_callback=lambda chunk: pieces.append(chunk)
    )
    generator.run([ChatMessage.from_user("你好")])
    assert pieces


# smolagents


@habit("smolagents", "smolagents", "ask a model, whole and streamed")
def _():
    from smolagents import OpenAIServerModel

    model = OpenAIServerModel(MODEL, api_base=BASE_URL, api_key=KEY, max_tokens=8)
    ask = [{"role": "user", "content": [{"type": "text", "text": "你好"}]}]
    assert model.generate(ask).token_usage.output_tokens <= 8
    assert list(model.generate_stream(ask))


# OpenAI Agents


def _agent(**options):
    from agents import Agent, ModelSettings, OpenAIChatCompletionsModel
    from openai import AsyncOpenAI

    model = OpenAIChatCompletionsModel(MODEL, AsyncOpenAI(max_retries=0))
    settings = ModelSettings(max_tokens=8)
    return Agent(name="bot", model=model, model_settings=settings, **options)


@habit("OpenAI Agents", "openai-agents", "an agent by chat completions, two turns")
def _():
    from agents import Runner

    async def talk():
        first = await Runner.run(_agent(instructions="你好"), "你好")
        return await Runner.run(_agent(), [*first.to_input_list(), *ASK])

    assert asyncio.run(talk()).final_output is not None


@habit("OpenAI Agents", "openai-agents", "its default, `/v1/responses`")
def _():
    from agents import Agent, Runner

    asyncio.run(Runner.run(Agent(name="bot", model=f"openai/{MODEL}"), "你好"))


# llm


@habit("llm", "llm", "a conversation of two prompts")
def _():
    from llm.default_plugins.openai_models import Chat

    model = Chat("cookbook", model_name=MODEL, api_base=BASE_URL)
    model.key = KEY
    talk = model.conversation()
    talk.prompt("你好", max_tokens=8, stream=False).text()
    assert talk.prompt("再见", max_tokens=8).text() is not None


# lm-eval


@habit("lm-eval", "lm_eval", "log-likelihoods and generation, `local-completions`")
def _():
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    lm = LocalCompletionsAPI(
        model=MODEL,
        base_url=f"{BASE_URL}/completions",
        tokenizer=os.environ["TOKENIZER"],
        tokenizer_backend="huggingface",
    )
    pairs = [("你好", "，我是"), ("你好", "𝕏𝕐")]
    asked = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
    likely, unlikely = lm.loglikelihood(asked)
    assert 0 > likely[0] > unlikely[0]
    options = {"until": ["。"], "max_gen_toks": 8}
    assert lm.generate_until([Instance("generate_until", {}, ("你好", options), 0)])


# openai itself


@habit("openai", "openai", "`parse` into a class, and `n=2` with logprobs")
def _():
    from openai import OpenAI
    from pydantic import BaseModel, Field

    class Person(BaseModel):
        name: str = Field(max_length=8)

    chat = OpenAI(max_retries=0).chat.completions
    parsed = chat.parse(model=MODEL, messages=ASK, response_format=Person, max_tokens=200)
    assert parsed.choices[0].message.parsed
    two = chat.create(model=MODEL, messages=ASK, n=2, logprobs=True, top_logprobs=2, max_tokens=4)
    assert [choice.index for choice in two.choices] == [0, 1]
    assert len(two.choices[1].logprobs.content[0].top_logprobs) == 2


@habit("openai", "openai", "`embeddings`")
def _():
    from openai import OpenAI

    OpenAI(max_retries=0).embeddings.create(model=MODEL, input="你好")


def main() -> None:
    for each in HABITS:
        line = {"client": each.client, "package": each.package, "habit": each.name}
        line["version"] = importlib.metadata.version(each.package)
        try:
            each.run()
            line |= {"works": True, "said": ""}
        # Whatever a client raises is what its user sees.
        except Exception as error:
            line |= {"works": False, "said": f"{type(error).__name__}: {error}"}
            traceback.print_exc(file=sys.stderr)
        print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
