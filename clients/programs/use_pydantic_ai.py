"""pydantic-ai with its OpenAI and Anthropic models."""

from collections.abc import Callable

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from scenarios import CITY, KEY, QUESTION, SAID, URL, WRONG_KEY, Models, breaks, refused, run, same, wait


class Place(BaseModel):
    """A place."""

    city: str


def answer(model: Model) -> str:
    """The text of an answer in one piece."""
    return wait(Agent(model, instructions="Be brief.").run(QUESTION)).output


def streamed(model: Model) -> str:
    """The whole text of a stream."""

    async def read() -> str:
        async with Agent(model).run_stream(QUESTION) as result:
            text = await result.get_output()
            same(result.usage.output_tokens > 0, True)
            return text

    return wait(read())


def with_tools(model: Model) -> str:
    """The text after one call of the tool."""
    asked: list[str] = []
    agent = Agent(model)

    @agent.tool_plain
    def weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return "Rain."

    text = wait(agent.run(QUESTION)).output
    same(asked, [CITY])
    return text


def structured(model: Model, *, native: bool) -> type:
    """The kind of a structured answer: by the format's own means, or by a forced tool."""
    return type(wait(Agent(model, output_type=NativeOutput(Place) if native else Place).run(QUESTION)).output)


def scenarios(make: Callable[[str, str], Model]) -> dict[str, Callable[[Models], None]]:
    """What is played with the models that `make` gives for a name and a key."""
    return {
        "text": lambda models: same(answer(make(models.text, KEY)), SAID),
        "stream": lambda models: same(streamed(make(models.thinking, KEY)), SAID),
        "tools": lambda models: same(with_tools(make(models.tools, KEY)), SAID),
        "structured": lambda models: same(structured(make(models.structured, KEY), native=True), Place),
        "structured by a tool": lambda models: same(structured(make(models.structured, KEY), native=False), Place),
        "error 400": lambda models: refused(400, lambda: answer(make(models.status(400), KEY))),
        "error 401": lambda models: refused(401, lambda: answer(make(models.text, WRONG_KEY))),
        "error 429": lambda models: refused(429, lambda: answer(make(models.status(429), KEY))),
        "broken stream": lambda models: breaks(lambda: streamed(make(models.broken, KEY))),
    }


def openai(key: str) -> OpenAIProvider:
    """The gateway as OpenAI, without retries."""
    return OpenAIProvider(openai_client=AsyncOpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0))


def messages(name: str, key: str) -> Model:
    """Messages."""
    client = AsyncAnthropic(base_url=URL, api_key=key, max_retries=0)
    return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client))


run("pydantic-ai, Chat", scenarios(lambda name, key: OpenAIChatModel(name, provider=openai(key))))
run("pydantic-ai, Responses", scenarios(lambda name, key: OpenAIResponsesModel(name, provider=openai(key))))
# Only of Claude's models does it believe that they can give structured output by themselves.
run("pydantic-ai, Messages", scenarios(messages), prefix="claude-sonnet-4-5-")
