"""End user: names of any length reach formats that take short ones, and stay apart."""

import json

import pytest

from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import TextPart
from tollhouse.ir.request import ChatRequest, Message
from tollhouse.wire.registry import FORMATS

SHORT = [form for form in FORMATS if form.name.startswith("openai_")]


def sent(fmt_name: str, user: str) -> tuple[str, list[Loss]]:
    losses: list[Loss] = []
    (fmt,) = (form for form in FORMATS if form.name == fmt_name)
    request = ChatRequest(model="m", messages=(Message(role="user", parts=(TextPart(text="Hi"),)),), user=user)
    return json.loads(fmt.encode_request(request, losses))["user"], losses


@pytest.mark.parametrize("name", [form.name for form in SHORT])
def test_a_long_name_is_sent_as_its_hash_and_a_short_one_as_it_is(name: str) -> None:
    assert sent(name, "u" * 64) == ("u" * 64, [])
    long, losses = sent(name, "u" * 65)
    assert len(long) == 64
    assert [loss.path for loss in losses] == ["user"]
    assert sent(name, "u" * 65)[0] == long != sent(name, "u" * 66)[0]
