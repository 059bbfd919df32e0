"""The OpenAI Agents SDK over Responses and Chat Completions."""

from collections.abc import Callable, Sequence

from openai import AsyncOpenAI
from pydantic import BaseModel

from agents import (
    Agent,
    Model,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    Tool,
    function_tool,
    set_tracing_disabled,
)
from scenarios import CITY, KEY, QUESTION, SAID, URL, WRONG_KEY, Models, breaks, refused, run, same, wait

set_tracing_disabled(True)


class Place(BaseModel):
    """A place."""

    city: str


def answer(model: Model, output_type: type | None = None, tools: Sequence[Tool] = ()) -> object:
    """The output of an agent in one piece."""
    agent = Agent(name="agent", instructions="Be brief.", model=model, output_type=output_type, tools=list(tools))
    return wait(Runner.run(agent, QUESTION)).final_output


def streamed(model: Model, tools: Sequence[Tool] = ()) -> object:
    """The output of an agent that streams."""

    async def read() -> object:
        result = Runner.run_streamed(Agent(name="agent", model=model, tools=list(tools)), QUESTION)
        async for _ in result.stream_events():
            pass
        return result.final_output

    return wait(read())


def with_tools(play: Callable[..., object], model: Model) -> object:
    """The output after one call of the tool."""
    asked: list[str] = []

    @function_tool
    def weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return "Rain."

    output = play(model, tools=[weather])
    same(asked, [CITY])
    return output


def scenarios(make: Callable[[str, str], Model]) -> dict[str, Callable[[Models], None]]:
    """What is played with the models that `make` gives for a name and a key."""
    return {
        "text": lambda models: same(answer(make(models.text, KEY)), SAID),
        "stream": lambda models: same(streamed(make(models.thinking, KEY)), SAID),
        "tools": lambda models: same(with_tools(answer, make(models.tools, KEY)), SAID),
        "tools, streamed": lambda models: same(with_tools(streamed, make(models.tools, KEY)), SAID),
        "structured": lambda models: same(type(answer(make(models.structured, KEY), output_type=Place)), Place),
        "error 400": lambda models: refused(400, lambda: answer(make(models.status(400), KEY))),
        "error 401": lambda models: refused(401, lambda: answer(make(models.text, WRONG_KEY))),
        "error 429": lambda models: refused(429, lambda: answer(make(models.status(429), KEY))),
        "broken stream": lambda models: breaks(lambda: streamed(make(models.broken, KEY))),
    }


def client(key: str) -> AsyncOpenAI:
    """The gateway as OpenAI, without retries."""
    return AsyncOpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0)


run("openai-agents, Responses", scenarios(lambda name, key: OpenAIResponsesModel(name, client(key))))
run("openai-agents, Chat", scenarios(lambda name, key: OpenAIChatCompletionsModel(name, client(key))))
