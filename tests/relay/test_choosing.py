"""Choosing: what is read of a request and when, that it is linear, and which provider may serve."""

import asyncio
import json
import threading
from typing import Any

import pytest

from tollhouse.catalog.entries import Catalog, Creator, Deployment, Model, Price, Provider
from tollhouse.ir.request import ChatRequest
from tollhouse.relay import choosing
from tollhouse.relay.choosing import Chooser
from tollhouse.routing.rules import Band, RuleSet, Simple
from tollhouse.wire.format import Scan
from tollhouse.wire.openai_chat.format import OpenAIChat

PROVIDER = Provider(id="p", format="openai_chat", base_url="http://127.0.0.1")
CATALOG = Catalog(
    {"p": PROVIDER},
    tuple(
        Model(
            slug=f"m/{name}",
            name=name,
            creator=Creator(slug="m", name="M"),
            deployments=(Deployment(provider=PROVIDER, upstream_model=name),),
            price=Price(),
        )
        for name in ("tool", "simple", "t1", "stream")
    ),
)
RULES = RuleSet(
    version="7",
    tool_model="m/tool",
    simple=Simple(model="m/simple", keywords=("translate",), up_to_tokens=5),
    bands=(Band(tier="T1", model="m/t1"),),
    streaming_model="m/stream",
    tokenizer="bytes",
)


class WatchedFormat(OpenAIChat):
    """Notes each decoding, and on which thread it was."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def decode_request(self, scan: Scan) -> ChatRequest:
        self.threads.append(threading.current_thread())
        return super().decode_request(scan)


class Meter:
    """An encoding that notes what it is asked to count."""

    name = "bytes"
    is_loaded = True

    def __init__(self) -> None:
        self.asked: list[int] = []

    def count_text(self, text: str) -> int:
        self.asked.append(len(text))
        return len(text)


def choose(form: OpenAIChat, rules: RuleSet = RULES, **fields: Any) -> choosing.Chosen:
    body = {"model": "hpprouter/auto", "messages": [{"role": "user", "content": "hello there, old friend"}]} | fields
    scan = form.scan(json.dumps(body).encode())
    return asyncio.run(Chooser(lambda: rules, lambda: CATALOG).choose(form, scan))


@pytest.mark.parametrize("fields", [{"stream": True}, {"tools": [{"type": "function"}]}, {"tool_choice": "auto"}])
def test_a_prompt_that_decides_nothing_is_not_read(fields: dict[str, Any]) -> None:
    form = WatchedFormat()
    assert choose(form, **fields).request is None
    assert form.threads == []


@pytest.mark.parametrize(("size", "on_loop"), [(60_000, True), (70_000, False)])
def test_it_is_read_once_and_off_the_loop_when_it_is_long(size: int, on_loop: bool) -> None:
    form = WatchedFormat()
    chosen = choose(form, messages=[{"role": "user", "content": "x" * size}])
    assert chosen.decision.model == "m/t1"
    assert chosen.request is not None
    assert [thread is threading.main_thread() for thread in form.threads] == [on_loop]


def test_a_vocabulary_that_is_not_loaded_is_loaded_off_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter()
    meter.is_loaded = False
    monkeypatch.setattr(choosing, "encoding", lambda _name: meter)
    form = WatchedFormat()
    choose(form)
    assert [thread is threading.main_thread() for thread in form.threads] == [False]


@pytest.mark.parametrize("turns", [1, 10, 100])
@pytest.mark.parametrize("keywords", [("translate",), ("xxxx", "translate"), ("x y",)])
def test_each_character_is_counted_once(monkeypatch: pytest.MonkeyPatch, turns: int, keywords: tuple[str, ...]) -> None:
    meter = Meter()
    monkeypatch.setattr(choosing, "encoding", lambda _name: meter)
    simple = Simple(model="m/simple", keywords=keywords, up_to_tokens=5)
    rules = RuleSet(**{name: getattr(RULES, name) for name in RULES.__struct_fields__} | {"simple": simple})
    turn = {"role": "user", "content": "xxxxy " * 100}
    choose(OpenAIChat(), rules, messages=[turn] * turns)
    assert meter.asked == [600] * turns


def test_a_decision_on_the_outside_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter()
    monkeypatch.setattr(choosing, "encoding", lambda _name: meter)
    choose(OpenAIChat(), stream=True)
    choose(OpenAIChat(), messages=[{"role": "user", "content": "Translate this: " + "x" * 5_000}])
    assert meter.asked == []
