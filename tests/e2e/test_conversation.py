"""Ten turns with tools, parallel calls, thinking, images and a PDF: over each pair of formats the provider is told the
same, and sealed reasoning finds its way home."""

import json
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest

from support.conversation import (
    PDF,
    PHOTO_URL,
    PNG,
    SYSTEM,
    ChatCaller,
    Folded,
    MessagesCaller,
    ResponsesCaller,
    fold,
    media_hash,
)
from support.gateway import RunningGateway
from tollhouse.simulator.tokens import words

FORMATS = {"chat": "openai_chat", "responses": "openai_responses", "messages": "anthropic_messages"}
CATALOG = "extends: default\nproviders:\n" + "".join(
    f"  - {{{{id: {name}, format: {form}, base_url: '{{simulator}}/v1', api_key: none}}}}\n"
    for name, form in FORMATS.items()
)
CATALOG += "models:\n" + "".join(
    f"  - {{{{slug: {name}/*, name: {name}, creator: simulator, free: true, max_output_tokens: 8000, "
    f"deployments: [{{{{provider: {name}, model: '*'}}}}]}}}}\n"
    for name in FORMATS
)
# The same formats, but models of another maker.
OTHERS = tuple(f"other_{name}" for name in FORMATS)
CATALOG += "".join(
    f"  - {{{{slug: {name}/*, name: {name}, creator: openai, free: true, max_output_tokens: 8000, "
    f"deployments: [{{{{provider: {name.removeprefix('other_')}, model: '*'}}}}]}}}}\n"
    for name in OTHERS
)
CALLERS = {"chat": ChatCaller, "responses": ResponsesCaller, "messages": MessagesCaller}
# What the model says in each of the ten turns.
TURNS = (
    "reasoning=6/say=Good morning.",
    "say=A small picture.",
    "reasoning=4/say=One page of sums.",
    "reasoning=3/tools=2",
    "say=Sunny at noon.",
    "say=Let me look again./call=weather/args=%7B%22city%22%3A%22Oslo%22%7D",
    "reasoning=2/say=It failed.",
    "say=A lighthouse.",
    "reasoning=5/tools=2",
    "say=Done.",
)


def told() -> Folded:
    """What the provider must be told in turn ten, whatever the formats."""

    def thought(tokens: int) -> tuple[str, str, str]:
        return "assistant", "reasoning", "".join(words(tokens))

    def calls(first: int) -> Folded:
        made = ('weather {"city": "Rome"}', 'clock {"zone": "CET"}')
        return [("assistant", "call", f"call {first + number}: {call}") for number, call in enumerate(made)]

    return [
        ("system", "text", SYSTEM),
        ("user", "text", "Good morning!"),
        thought(6),
        ("assistant", "text", "Good morning."),
        ("user", "text", "What is this?"),
        ("user", "image", media_hash(PNG)),
        ("assistant", "text", "A small picture."),
        ("user", "file", media_hash(PDF)),
        ("user", "text", "And this?"),
        thought(4),
        ("assistant", "text", "One page of sums."),
        ("user", "text", "Weather and time?"),
        thought(3),
        *calls(0),
        ("tool", "result", "call 0: sunny"),
        ("tool", "result", "call 1: noon"),
        ("assistant", "text", "Sunny at noon."),
        ("user", "text", "And in Oslo?"),
        ("assistant", "text", "Let me look again."),
        ("assistant", "call", 'call 2: weather {"city": "Oslo"}'),
        ("tool", "result", "call 2: no answer"),
        thought(2),
        ("assistant", "text", "It failed."),
        ("user", "image", media_hash(PHOTO_URL)),
        ("user", "text", "And where is that?"),
        ("assistant", "text", "A lighthouse."),
        ("user", "text", "Once more."),
        thought(5),
        *calls(3),
        ("tool", "result", "call 3: rain"),
        ("tool", "result", "call 4: evening"),
    ]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    gateway = RunningGateway(tmp_path_factory.mktemp("conversation"), catalog=CATALOG)
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def clients(running: RunningGateway) -> Iterator[dict[str, Any]]:
    key = running.key()
    with (
        openai.OpenAI(base_url=f"{running.url}/api/v1", api_key=key, max_retries=0) as ours,
        anthropic.Anthropic(base_url=f"{running.url}/api", api_key=key, max_retries=0) as theirs,
    ):
        yield {"chat": ours, "responses": ours, "messages": theirs}


@pytest.mark.row(66, 69, 75, 78, 83, 84, 86, 90, 118)
@pytest.mark.parametrize("upstream", FORMATS)
@pytest.mark.parametrize("caller", FORMATS)
def test_ten_turns_tell_every_provider_the_same(
    running: RunningGateway, clients: dict[str, Any], caller: str, upstream: str
) -> None:
    talk = CALLERS[caller](clients[caller])
    steps: tuple[Callable[[bool], None], ...] = (
        lambda stream: talk.say([("text", "Good morning!")], stream=stream),
        lambda stream: talk.say([("text", "What is this?"), ("image", PNG)], stream=stream),
        lambda stream: talk.say([("pdf", PDF), ("text", "And this?")], stream=stream),
        lambda stream: talk.say([("text", "Weather and time?")], stream=stream),
        lambda stream: talk.answer_calls(["sunny", "noon"], stream=stream),
        lambda stream: talk.say([("text", "And in Oslo?")], stream=stream),
        lambda stream: talk.answer_calls(["no answer"], stream=stream),
        lambda stream: talk.say([("photo", PHOTO_URL), ("text", "And where is that?")], stream=stream),
        lambda stream: talk.say([("text", "Once more.")], stream=stream),
        lambda stream: talk.answer_calls(["rain", "evening"], stream=stream),
    )
    for number, (step, script) in enumerate(zip(steps, TURNS, strict=True)):
        talk.model = f"{upstream}/script/seal=c2Vh%2F%2Bw=/{script.replace(' ', '%20')}"
        step(number % 2 == 0)
    assert not talk.calls
    arrival = running.arrivals()[-1]
    assert fold(upstream, json.loads(arrival.body)) == told()


def carried(upstream: str, body: dict[str, Any]) -> list[str]:
    """The payloads in the reasoning that the provider was sent."""
    if upstream == "responses":
        items = [item for item in body["input"] if item.get("type") == "reasoning"]
        return [item["encrypted_content"] for item in items if "encrypted_content" in item]
    turns = [turn for turn in body["messages"] if turn["role"] == "assistant"]
    if upstream == "chat":
        details = [detail for turn in turns for detail in turn.get("reasoning_details", [])]
        return [text for detail in details if (text := detail.get("signature") or detail.get("data"))]
    blocks = [block for turn in turns if isinstance(turn["content"], list) for block in turn["content"]]
    return [text for block in blocks if (text := block.get("signature") or block.get("data"))]


SEALS = ("Zm9v+/w=", "first.th1.second=", "ünïcode \u2028 and/or=")


@pytest.mark.row(68, 83, 86)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("hidden", ["", "hidden/"], ids=["shown", "hidden"])
@pytest.mark.parametrize("upstream", FORMATS)
@pytest.mark.parametrize("caller", FORMATS)
def test_sealed_reasoning_goes_home_and_nowhere_else(
    running: RunningGateway, clients: dict[str, Any], caller: str, upstream: str, hidden: str, stream: bool
) -> None:
    talk = CALLERS[caller](clients[caller])
    for seal in SEALS:
        talk.model = f"{upstream}/script/reasoning=3/{hidden}seal={urllib.parse.quote(seal, safe='')}/say=Well."
        talk.say([("text", "Go on.")], stream=stream)
    talk.say([("text", "And?")], stream=stream)
    body = json.loads(running.arrivals()[-1].body)
    assert carried(upstream, body) == list(SEALS)
    visible = [value for _, kind, value in fold(upstream, body) if kind == "text"]
    assert visible == [SYSTEM, *["Go on.", "Well."] * len(SEALS), "And?"]

    # Another format, and another maker's model of the same, cannot read it; and it is not forgotten for that.
    for name in (*FORMATS, *OTHERS):
        spoken = name.removeprefix("other_")
        # What never left its format has no envelope that could say who made it.
        if name == upstream or spoken == upstream == caller:
            continue
        talk.model = f"{name}/echo"
        talk.say([("text", "You there?")], stream=stream)
        sent = json.dumps(json.loads(running.arrivals()[-1].body))
        assert not [seal for seal in SEALS if json.dumps(seal)[1:-1] in sent]
        assert '"th1.' not in sent
    talk.model = f"{upstream}/script/say=Back."
    talk.say([("text", "Still there?")], stream=stream)
    assert carried(upstream, json.loads(running.arrivals()[-1].body))[: len(SEALS)] == list(SEALS)
