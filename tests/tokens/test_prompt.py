"""Whole prompts: every text counts once, media by their number and size."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given

from support.strategies import requests
from tollhouse.ir.parts import (
    AudioPart,
    FilePart,
    ImagePart,
    MediaData,
    MediaText,
    MediaUrl,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from tollhouse.ir.request import ChatRequest, CustomTool, FunctionTool, Message, ProviderTool, ResponseFormat
from tollhouse.tokens.encodings import encoding
from tollhouse.tokens.prompt import MEDIA_TOKENS, count_prompt

WORDS = "one two three four five six seven eight nine ten"
CODING = encoding("o200k_base")
EMPTY = count_prompt(ChatRequest(model="m", messages=(Message(role="user"),)), CODING)


def counted(*parts: Part, **more: Any) -> int:
    asked = ChatRequest(model="m", messages=(Message(role="user", parts=parts),), **more)
    return count_prompt(asked, CODING) - EMPTY


def test_every_text_counts() -> None:
    texts: Sequence[Part] = (
        TextPart(text=WORDS),
        RefusalPart(text=WORDS),
        ReasoningPart(text=WORDS),
        ReasoningPart(summary=(WORDS,)),
        ToolCallPart(id="c", name="f", arguments=WORDS),
        ToolResultPart(call_id="c", parts=(TextPart(text=WORDS),)),
        FilePart(source=MediaText(text=WORDS)),
        OpaquePart(format="openai_chat", value={"x": WORDS}),
    )
    for part in texts:
        assert 10 <= counted(part) <= 18, part
    assert counted(*texts) >= 80
    assert counted(TextPart(text=WORDS), TextPart(text=WORDS)) >= 20


def test_media_count_by_number_and_size() -> None:
    big = MediaData(data="A" * 200_000)
    assert counted(ImagePart(source=big)) == counted(ImagePart(source=MediaUrl(url="https://x"))) == MEDIA_TOKENS
    assert counted(FilePart(source=big)) == counted(AudioPart(source=big)) == 3 * MEDIA_TOKENS
    assert counted(FilePart(source=MediaUrl(url="https://x"))) == MEDIA_TOKENS
    inside = ToolResultPart(call_id="c", parts=(ImagePart(source=big), TextPart(text=WORDS)))
    assert MEDIA_TOKENS + 10 <= counted(inside) <= MEDIA_TOKENS + 20


def test_tools_and_schemas_count() -> None:
    schema: dict[str, object] = {"type": "object", "description": WORDS}
    for more in (
        {"tools": (FunctionTool(name="f", description=WORDS, parameters=schema),)},
        {"tools": (CustomTool(name="f", description=WORDS, grammar=schema),)},
        {"tools": (ProviderTool(format="openai_chat", value={"a": schema, "b": WORDS}),)},
        {"response_format": ResponseFormat(type="json_schema", schema={"a": schema, "b": WORDS})},
    ):
        assert counted(**more) >= 20, more


@given(requests)
def test_every_request_can_be_counted(request: ChatRequest) -> None:
    assert count_prompt(request, encoding("bytes")) >= 0
