"""Events to Chat Completions streams: exactly which frames, and what is lost."""

import json
from typing import Any

from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from support.chat_grammar import check_chat_stream
from tollhouse.ir.events import (
    AnswerExtend,
    AnswerStart,
    ChoiceExtend,
    ChoiceFinish,
    PartAdd,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    RefusalDelta,
    RefusalEnd,
    RefusalStart,
    StreamEvent,
    TextCitation,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageReport,
)
from tollhouse.ir.fold import fold
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import (
    Citation,
    ImagePart,
    MediaUrl,
    OpaquePart,
    ReasoningOrigin,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)
from tollhouse.ir.response import Finish, FinishReason
from tollhouse.ir.usage import Usage
from tollhouse.wire.openai_chat.stream_decode import ChatStreamDecoder
from tollhouse.wire.openai_chat.stream_encode import ChatStreamEncoder

START = AnswerStart(id="a", model="m", created=7)
STOP = ChoiceFinish(finish=Finish(reason=FinishReason.STOP))
OWN = ReasoningOrigin(format="openai_chat")
FOREIGN = ReasoningOrigin(format="anthropic_messages", creator="acme")


def _encode(*events: StreamEvent) -> tuple[list[dict[str, Any]], list[str]]:
    """The chunks of a stream, `[DONE]` left out, and the paths of what was lost."""
    losses: list[Loss] = []
    encoder = ChatStreamEncoder(losses)
    chunks = check_chat_stream(b"".join(encoder.feed(event) for event in (START, *events)) + encoder.flush())
    return chunks, [loss.path for loss in losses]


def _deltas(*events: StreamEvent) -> list[dict[str, Any]]:
    """The deltas between the role frame and the finish frame."""
    chunks, _ = _encode(*events, STOP)
    return [chunk["choices"][0]["delta"] for chunk in chunks[1:-1]]


def test_frames_of_text_alone_differ_in_the_text_alone() -> None:
    encoder = ChatStreamEncoder([])
    names = {"id": 'a""', "model": 'm","content":""', "created": 7}
    encoder.feed(AnswerStart(**names))  # type: ignore[arg-type]
    encoder.feed(TextStart(choice=1, index=0))
    for choice in (0, 1, 0, 1):
        for text in ('""', "\n\n", "\\", "\u2028ä\0", "x"):
            frame = encoder.feed(TextDelta(choice=choice, index=0, text=text))
            told = {"index": choice, "delta": {"content": text}, "finish_reason": None}
            expected = {**names, "object": "chat.completion.chunk", "choices": [told]}
            assert json.loads(frame.removeprefix(b"data: ")) == expected
            assert frame.endswith(b"}\n\n")
            assert frame.count(b"\n") == 2


def test_the_frames_of_a_plain_answer() -> None:
    encoder = ChatStreamEncoder()
    head = b'data: {"id":"a","object":"chat.completion.chunk","created":7,"model":"m","choices":['
    opening = b'{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
    assert encoder.feed(START) == head + opening
    assert encoder.feed(TextStart(index=0)) == b""
    assert encoder.feed(TextDelta(index=0, text="Hé")) == head + (
        '{"index":0,"delta":{"content":"Hé"},"finish_reason":null}]}\n\n'.encode()
    )
    assert encoder.feed(TextEnd(index=0)) == b""
    assert encoder.feed(UsageReport(usage=Usage(input_tokens=3, output_tokens=2))) == b""
    assert encoder.feed(STOP) == head + b'{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    usage, done = encoder.flush().split(b"\n\n")[:2]
    assert usage.startswith(head + b'],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5')
    assert done == b"data: [DONE]"


def test_a_stream_without_usage_ends_without_it() -> None:
    encoder = ChatStreamEncoder()
    encoder.feed(START)
    encoder.feed(STOP)
    assert encoder.flush() == b"data: [DONE]\n\n"


def test_tool_calls_are_numbered_on_their_own() -> None:
    deltas = _deltas(
        TextStart(index=0),
        TextDelta(index=0, text="Hi"),
        TextEnd(index=0),
        ToolCallStart(index=1, id="c1", name="f", item_id="i", extensions={"openai_chat": {"x": 1}}),
        ToolCallStart(index=2, id="c2", name="g", kind="custom"),
        ToolCallDelta(index=2, arguments="ls"),
        ToolCallDelta(index=1, arguments="{}"),
        ToolCallEnd(index=1),
        ToolCallEnd(index=2),
    )
    assert [call for delta in deltas[1:] for call in delta["tool_calls"]] == [
        {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}, "x": 1},
        {"index": 1, "id": "c2", "type": "custom", "custom": {"name": "g", "input": ""}},
        {"index": 1, "custom": {"input": "ls"}},
        {"index": 0, "function": {"arguments": "{}"}},
    ]


def test_paragraphs_of_a_summary_are_one_text_as_readers_put_it_together() -> None:
    deltas = _deltas(
        ReasoningStart(index=0),
        ReasoningDelta(index=0, text="one", segment=0),
        ReasoningDelta(index=0, text="!", segment=0),
        ReasoningDelta(index=0, text="two", segment=1),
        ReasoningEnd(index=0),
    )
    assert [delta["reasoning"] for delta in deltas] == ["one", "!", "two"]


def test_reasoning_keeps_its_form_and_its_own_payload() -> None:
    deltas = _deltas(
        ReasoningStart(index=0, form="reasoning_content"),
        ReasoningDelta(index=0, text="a"),
        ReasoningEnd(index=0),
        ReasoningStart(index=1, form="reasoning.text", id="r"),
        ReasoningDelta(index=1, text="b"),
        ReasoningEnd(index=1, opaque="s==", origin=OWN),
        ReasoningStart(index=2, redacted=True),
        ReasoningEnd(index=2, opaque="gAA", origin=OWN),
        ReasoningStart(index=3, form="thinking"),
        ReasoningDelta(index=3, text="c"),
        ReasoningEnd(index=3),
    )
    assert deltas == [
        {"reasoning_content": "a"},
        {
            "reasoning": "b",
            "reasoning_details": [{"type": "reasoning.text", "text": "b", "id": "r", "index": 0}],
        },
        {"reasoning_details": [{"type": "reasoning.text", "signature": "s==", "id": "r", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "gAA", "index": 1}]},
        {"reasoning": "c"},
    ]


def test_the_official_sdk_joins_citations_that_come_one_by_one() -> None:
    encoder = ChatStreamEncoder()
    cited = [TextCitation(index=0, citation=Citation(url=f"https://{n}.example")) for n in range(3)]
    said = TextDelta(index=0, text="Hi")
    events = [AnswerStart(id="a"), TextStart(index=0), said, *cited[:2], said, cited[2], TextEnd(index=0), STOP]
    stream = b"".join(encoder.feed(event) for event in events) + encoder.flush()
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for frame in stream.decode().split("\n\n"):
        if frame.startswith("data: {"):
            state.handle_chunk(ChatCompletionChunk.model_validate_json(frame.removeprefix("data: ")))
    message = state.current_completion_snapshot.choices[0].message.model_dump(exclude_unset=True)
    assert [note["url_citation"]["url"] for note in message["annotations"]] == [
        f"https://{n}.example" for n in range(3)
    ]
    decoder = ChatStreamDecoder()
    (text,) = fold(decoder.feed(stream) + decoder.flush()).choices[0].parts
    assert text == TextPart(text="HiHi", citations=tuple(one.citation for one in cited))


def test_citations_count_from_the_start_of_the_content() -> None:
    deltas = _deltas(
        TextStart(index=0),
        TextDelta(index=0, text="Hé🦊"),
        TextEnd(index=0),
        TextStart(index=1),
        TextDelta(index=1, text="you"),
        TextCitation(index=1, citation=Citation(url="u", start=0, end=3)),
        TextEnd(index=1),
    )
    cited = deltas[-1]["annotations"][0]["url_citation"]
    assert cited == {"url": "u", "start_index": 3, "end_index": 6}


def test_whole_parts_are_told_as_if_they_had_streamed() -> None:
    deltas = _deltas(
        PartAdd(index=0, part=ReasoningPart(text="so")),
        PartAdd(index=1, part=RefusalPart(text="No")),
        PartAdd(index=2, part=ToolCallPart(id="c", name="f", arguments="{}")),
    )
    assert [list(delta) for delta in deltas] == [["reasoning"], ["refusal"], ["tool_calls"], ["tool_calls"]]


def test_what_a_stream_cannot_say_is_named() -> None:
    chunks, lost = _encode(
        ReasoningStart(index=0),
        ReasoningDelta(index=0, text="so"),
        ReasoningEnd(index=0, opaque="sig==", origin=FOREIGN),
        PartAdd(index=1, part=ImagePart(source=MediaUrl(url="u"))),
        PartAdd(index=2, part=OpaquePart(format="anthropic_messages", value={"type": "server_tool_use"})),
        TextStart(index=3, extensions={"openai_responses": {"x": 1}}),
        TextDelta(index=3, text="Hi"),
        TextCitation(index=3, citation=Citation(title="t")),
        TextEnd(index=3),
        ChoiceExtend(extensions={"anthropic_messages": {"stop_details": {}}}),
        STOP,
        AnswerExtend(extensions={"anthropic_messages": {"container": {}}}),
    )
    assert lost == [
        "choices[0].parts[0].opaque",
        "choices[0].parts[1]",
        "choices[0].parts[2]",
        "choices[0].parts[3].x",
        "choices[0].parts[3].citations[0]",
        "choices[0].stop_details",
        "container",
    ]
    assert "sig==" not in json.dumps(chunks)


def test_late_facts_come_with_the_last_frames() -> None:
    chunks, lost = _encode(
        RefusalStart(index=0),
        RefusalDelta(index=0, text="No", logprobs=({"token": "No"},)),
        RefusalEnd(index=0),
        ChoiceExtend(extensions={"openai_chat": {"native": "x", "message": {"audio": {"id": "a"}}}}),
        STOP,
        AnswerExtend(service_tier="flex", extensions={"openai_chat": {"sources": [1]}}),
    )
    assert lost == []
    assert chunks[1]["choices"][0]["logprobs"] == {"content": None, "refusal": [{"token": "No"}]}
    assert chunks[2]["choices"] == [
        {"native": "x", "index": 0, "delta": {"audio": {"id": "a"}}, "finish_reason": "stop"}
    ]
    assert (chunks[3]["choices"], chunks[3]["service_tier"], chunks[3]["sources"]) == ([], "flex", [1])


def test_every_choice_opens_with_its_role() -> None:
    chunks, _ = _encode(
        TextStart(choice=1, index=0),
        TextDelta(choice=1, index=0, text="Hi"),
        TextEnd(choice=1, index=0),
        ChoiceFinish(choice=1, finish=Finish(reason=FinishReason.LENGTH)),
        STOP,
    )
    assert [chunk["choices"][0]["index"] for chunk in chunks] == [0, 1, 1, 1, 0]
