"""A conversation has one name from its first turn to its last."""

import json
from collections import Counter
from typing import Any

import pytest

from tollhouse.routing.sticky import conversation, draw_for
from tollhouse.wire.registry import FORMATS

CHAT = next(form for form in FORMATS if form.name == "openai_chat")


def name_of(**fields: Any) -> bytes | None:
    return conversation(CHAT.scan(json.dumps({"model": "m", **fields}).encode()).fields)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


SYSTEM = {"role": "system", "content": "Be brief."}
ANSWER = {"role": "assistant", "content": "Here."}


@pytest.mark.parametrize("turns", ["messages", "input"])
def test_later_turns_and_moving_marks_change_nothing(turns: str) -> None:
    first = name_of(**{turns: [SYSTEM, user("Hi")]})
    later = [SYSTEM, user([{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]), ANSWER, user("?")]
    assert first is not None
    assert name_of(**{turns: later}, temperature=1, stream=True) == first
    assert name_of(**{turns: [SYSTEM, user("Ho")]}) != first
    assert name_of(**{turns: [user("Hi")]}) != first


def test_who_says_so_decides() -> None:
    assert name_of(prompt_cache_key="k", messages=[user("a")]) == name_of(prompt_cache_key="k", messages=[user("b")])
    assert name_of(prompt_cache_key="k", messages=[user("a")]) != name_of(prompt_cache_key="l", messages=[user("a")])
    assert name_of(prompt_cache_key=None, messages=[user("a")]) == name_of(messages=[user("a")])


def test_two_users_with_the_same_words_are_two_conversations() -> None:
    assert name_of(user="a", messages=[user("Hi")]) != name_of(user="b", messages=[user("Hi")])


def test_system_and_instructions_count_and_a_bare_text_is_a_conversation() -> None:
    assert name_of(system="A", messages=[user("Hi")]) != name_of(system="B", messages=[user("Hi")])
    assert name_of(instructions="A", input="Hi") != name_of(instructions="B", input="Hi")
    assert name_of(input="Hi") == name_of(input=[user("Hi")])
    assert name_of(messages=[user([{"type": "image_url", "image_url": {"url": "https://x"}}])]) is None
    assert name_of(messages=[]) is None


def test_odd_turns_are_no_fault() -> None:
    assert name_of(messages=[1, None, "x", {"content": {"content": ["y"]}}]) is not None


def test_conversations_are_spread_evenly_and_draws_are_never_nought() -> None:
    names = [name.encode() for name in map(str, range(3000))]
    first = Counter(max("abc", key=lambda deployment, n=name: draw_for(n, deployment)) for name in names)
    assert all(900 < count < 1100 for count in first.values())
    assert all(0 < draw_for(name, "a") <= 1 for name in names)
