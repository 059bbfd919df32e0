"""What a request of Responses, or of another format, cannot say in the other: it is named, never silent."""

import json
from typing import Any

from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import (
    AudioPart,
    CacheControl,
    FilePart,
    ImagePart,
    MediaText,
    MediaUrl,
    OpaquePart,
    ReasoningOrigin,
    ReasoningPart,
    TextPart,
    ToolResultPart,
)
from tollhouse.ir.request import ChatRequest, Message, ProviderTool, ReasoningSetting, Sampling
from tollhouse.wire.openai_chat.format import OpenAIChat
from tollhouse.wire.openai_responses.format import OpenAIResponses

FORMAT = OpenAIResponses()


def encode(request: ChatRequest) -> tuple[dict[str, Any], list[str]]:
    losses: list[Loss] = []
    return json.loads(FORMAT.encode_request(request, losses)), [loss.path for loss in losses]


def test_what_the_format_cannot_say_is_a_loss() -> None:
    foreign = ReasoningOrigin(format="anthropic_messages")
    request = ChatRequest(
        model="m",
        messages=(
            Message(role="system", parts=(TextPart(text="a"), TextPart(text="b", cache_control=CacheControl()))),
            Message(role="user", name="Bob", parts=(
                AudioPart(source=MediaUrl(url="https://x.example/a.wav")),
                FilePart(source=MediaText(text="Hi")),
                ImagePart(source=MediaText(text="Hi")),
                OpaquePart(format="openai_chat", value={"type": "x"}),
            )),
            Message(role="assistant", parts=(
                ReasoningPart(text="Hm", opaque="s", origin=foreign),
                ImagePart(source=MediaUrl(url="https://x.example/a.png")),
            )),
            Message(role="tool", parts=(ToolResultPart(call_id="c", is_error=True), TextPart(text="x"))),
        ),
        tools=(ProviderTool(format="openai_chat", value={"type": "x"}),),
        stop=("s",), choices=2, sampling=Sampling(top_k=1, seed=2, frequency_penalty=0, presence_penalty=1),
        reasoning=ReasoningSetting(mode="enabled", budget_tokens=5000),
        extensions={"openai_chat": {"x": 1}},
    )  # fmt: skip
    body, losses = encode(request)
    assert sorted(losses) == [
        "choices", "messages[0].parts[1].cache_control", "messages[1].name", "messages[1].parts[0]",
        "messages[1].parts[2]", "messages[1].parts[3]", "messages[2].parts[0].opaque", "messages[2].parts[1]",
        "messages[3].parts[0].is_error", "messages[3].parts[1]", "reasoning.budget_tokens",
        "sampling.frequency_penalty", "sampling.presence_penalty", "sampling.seed", "sampling.top_k", "stop",
        "tools[0]", "x",
    ]  # fmt: skip
    assert body["reasoning"] == {"effort": "medium"}
    assert "tools" not in body
    assert body["input"][1]["content"] == [{"type": "input_file", "file_data": "data:text/plain;base64,SGk="}]
    # The vendor refuses an item of reasoning that has content.
    assert body["input"][2] == {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}


def test_reasoning_that_a_caller_sends_back_as_content_stays_content() -> None:
    item = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]}
    request = FORMAT.decode_request(FORMAT.scan(json.dumps({"model": "m", "input": [item]}).encode()))
    body, losses = encode(request)
    assert (body["input"], losses) == ([item], [])


def test_of_reasoning_that_only_another_format_reads_nothing_is_left() -> None:
    foreign = ReasoningPart(opaque="s", origin=ReasoningOrigin(format="anthropic_messages"), redacted=True)
    body, losses = encode(ChatRequest(model="m", messages=(Message(role="assistant", parts=(foreign,)),)))
    assert (body["input"], losses) == ([], ["messages[0].parts[0].opaque"])


def test_a_turn_that_only_this_format_knows_leaves_no_empty_turn_elsewhere() -> None:
    asked = [{"role": "user", "content": "a"}, {"type": "item_reference", "id": "x"}]
    request = FORMAT.decode_request(FORMAT.scan(json.dumps({"model": "m", "input": asked}).encode()))
    losses: list[Loss] = []
    chat = json.loads(OpenAIChat().encode_request(request, losses))
    assert [message["role"] for message in chat["messages"]] == ["user"]
    assert [loss.path for loss in losses] == ["messages[1].parts[0]"]
