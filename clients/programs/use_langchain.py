"""LangChain with its OpenAI and Anthropic packages."""

from collections.abc import Callable

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from scenarios import CITY, KEY, QUESTION, SAID, URL, WRONG_KEY, Models, breaks, refused, run, same


class Place(BaseModel):
    """A place."""

    city: str


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"Rain in {city}."


def streamed(model: BaseChatModel) -> str:
    """The whole text of a stream."""
    whole = None
    for chunk in model.stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    same(bool(whole and whole.usage_metadata and whole.usage_metadata["output_tokens"] > 0), True)
    return "" if whole is None else str(whole.text)


def with_tools(model: BaseChatModel) -> str:
    """The text after one call of the tool."""
    bound = model.bind_tools([weather])
    turns = [HumanMessage(QUESTION)]
    answer = bound.invoke(turns)
    same([call["args"] for call in answer.tool_calls], [{"city": CITY}])
    return str(bound.invoke([*turns, answer, *(weather.invoke(call) for call in answer.tool_calls)]).text)


def scenarios(make: Callable[[str, str], BaseChatModel]) -> dict[str, Callable[[Models], None]]:
    """What is played with the models that `make` gives for a name and a key."""
    return {
        "text": lambda models: same(str(make(models.text, KEY).invoke(QUESTION).text), SAID),
        "stream": lambda models: same(streamed(make(models.thinking, KEY)), SAID),
        "tools": lambda models: same(with_tools(make(models.tools, KEY)), SAID),
        "structured": lambda models: same(
            type(make(models.structured, KEY).with_structured_output(Place).invoke(QUESTION)), Place
        ),
        "error 400": lambda models: refused(400, lambda: make(models.status(400), KEY).invoke(QUESTION)),
        "error 401": lambda models: refused(401, lambda: make(models.text, WRONG_KEY).invoke(QUESTION)),
        "error 429": lambda models: refused(429, lambda: make(models.status(429), KEY).invoke(QUESTION)),
        "broken stream": lambda models: breaks(lambda: streamed(make(models.broken, KEY))),
    }


def chat(name: str, key: str) -> BaseChatModel:
    """Chat Completions."""
    return ChatOpenAI(model=name, base_url=f"{URL}/v1", api_key=key, max_retries=0, stream_usage=True)


def responses(name: str, key: str) -> BaseChatModel:
    """Responses."""
    return ChatOpenAI(model=name, base_url=f"{URL}/v1", api_key=key, max_retries=0, use_responses_api=True)


def messages(name: str, key: str) -> BaseChatModel:
    """Messages."""
    return ChatAnthropic(model=name, base_url=URL, api_key=key, max_retries=0, max_tokens=2000)


run("langchain-openai, Chat", scenarios(chat))
run("langchain-openai, Responses", scenarios(responses))
run("langchain-anthropic", scenarios(messages))
