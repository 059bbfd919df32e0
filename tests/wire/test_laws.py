"""The laws that every wire format keeps, over the registry: a new format is tested by them unasked."""

import copy
import json
import re
from collections import Counter
from collections.abc import Callable
from typing import ParamSpec, TypeVar, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.chat_grammar import check_chat_stream
from support.event_grammar import check_events
from support.hostile import damaged, hostile_objects, hostile_streams
from support.messages_grammar import check_messages_stream
from support.responses_grammar import check_responses_stream
from support.strategies import cut, requests, responses
from tollhouse.ir.events import AnswerExtend, StreamEvent, ToolCallStart
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.ir.fold import fold, unfold
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from tollhouse.ir.request import ChatRequest, Message
from tollhouse.ir.response import ChatResponse, Choice, FinishReason
from tollhouse.wire.format import WireFormat
from tollhouse.wire.registry import FORMATS

P = ParamSpec("P")
T = TypeVar("T")

GRAMMARS = {
    "openai_chat": check_chat_stream,
    "openai_responses": check_responses_stream,
    "anthropic_messages": check_messages_stream,
}
# Settings that a format says under another name; what is not asked for need not be said.
SAID_AS = {("openai_responses", "logprobs"): "include"}
PROVIDER_KINDS = {FaultKind.PROVIDER_UNAVAILABLE}

every_format = pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
examples = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
splits = st.lists(st.integers(0, 2**20), max_size=6)


def _decode_request(fmt: WireFormat, body: bytes) -> ChatRequest:
    return fmt.decode_request(fmt.scan(body))


def _encode_stream(fmt: WireFormat, response: ChatResponse) -> bytes:
    encoder = fmt.stream_encoder()
    return b"".join(encoder.feed(event) for event in unfold(response)) + encoder.flush()


def _decode_stream(fmt: WireFormat, *pieces: bytes) -> list[StreamEvent]:
    decoder = fmt.stream_decoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.flush()


def _attempt(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T | None, Fault | None]:
    """What the call gives, or the fault that it raises; any other exception fails the test."""
    try:
        return call(*args, **kwargs), None
    except FaultError as error:
        return None, error.fault


def _settled(response: ChatResponse) -> ChatResponse:
    """Without the provider's own word for the end, which is for the record only."""
    choices = tuple(
        msgspec.structs.replace(choice, finish=choice.finish and msgspec.structs.replace(choice.finish, raw=None))
        for choice in response.choices
    )
    return msgspec.structs.replace(response, choices=choices)


def _normal(fmt: WireFormat, response: ChatResponse) -> ChatResponse:
    """What is left of `response` in this format."""
    return _settled(fmt.decode_response(fmt.encode_response(response, [])))


@every_format
def test_every_format_has_a_grammar(fmt: WireFormat) -> None:
    assert fmt.name in GRAMMARS


@every_format
@given(response=responses(), places=splits)
@examples
def test_law_1_any_split_of_the_bytes_gives_the_same_events(
    fmt: WireFormat, response: ChatResponse, places: list[int]
) -> None:
    stream = _encode_stream(fmt, response)
    assert _decode_stream(fmt, *cut(stream, places)) == _decode_stream(fmt, stream)


@every_format
@given(request=requests)
@examples
def test_law_2_a_request_survives_its_own_format(fmt: WireFormat, request: ChatRequest) -> None:
    once = _decode_request(fmt, fmt.encode_request(request, []))
    losses: list[Loss] = []
    again = _decode_request(fmt, fmt.encode_request(once, losses))
    assert again == once
    assert losses == []


@every_format
@given(response=responses())
@examples
def test_law_2_an_answer_survives_its_own_format(fmt: WireFormat, response: ChatResponse) -> None:
    once = _normal(fmt, response)
    losses: list[Loss] = []
    assert _settled(fmt.decode_response(fmt.encode_response(once, losses))) == once
    assert losses == []


@every_format
@given(request=requests)
@examples
def test_law_2_nothing_of_a_request_is_lost_in_silence(fmt: WireFormat, request: ChatRequest) -> None:
    """Each part and tool carries a mark of its own; it arrives, or a loss names its place."""
    marked = _marked(request)
    losses: list[Loss] = []
    body = fmt.encode_request(marked, losses).decode()
    paths = [loss.path for loss in losses]
    for number, message in enumerate(marked.messages):
        for place, part in enumerate(message.parts):
            path = f"messages[{number}].parts[{place}]"
            for mark in re.findall(r"MARK\d+;", repr(part)):
                assert mark in body or any(lost.startswith(path) for lost in paths), f"{path} vanished"
    for field, value in (("user", marked.user), ("prompt_cache_key", marked.prompt_cache_key)):
        assert value is None or json.dumps(value)[1:-1] in json.dumps(json.loads(body)) or field in paths
    for field, value in msgspec.structs.asdict(marked.sampling).items():
        unsaid = value is None or value is False
        said = SAID_AS.get((fmt.name, field), field) in json.loads(body)
        assert unsaid or said or f"sampling.{field}" in paths


def _marked(request: ChatRequest) -> ChatRequest:
    count = 0

    def mark() -> str:
        nonlocal count
        count += 1
        return f"MARK{count};"

    def of(part: Part) -> Part:
        match part:
            case TextPart():
                return msgspec.structs.replace(part, text=part.text + mark())
            case ReasoningPart(redacted=False):
                return msgspec.structs.replace(part, text=part.text + mark())
            case ToolCallPart():
                return msgspec.structs.replace(part, arguments=json.dumps({"a": mark()}))
            case ToolResultPart():
                return msgspec.structs.replace(part, parts=tuple(of(inner) for inner in part.parts))
            case _:
                return part

    def message(old: Message) -> Message:
        return msgspec.structs.replace(old, parts=tuple(of(part) for part in old.parts))

    return msgspec.structs.replace(request, messages=tuple(message(old) for old in request.messages))


@every_format
@given(response=responses())
@examples
def test_law_3_the_fold_of_a_stream_is_the_whole_answer(fmt: WireFormat, response: ChatResponse) -> None:
    whole = _normal(fmt, response)
    events = _decode_stream(fmt, _encode_stream(fmt, whole))
    check_events(events)
    assert _settled(fold(events)) == whole


@every_format
@given(data=st.data(), response=responses())
@examples
def test_law_5_a_damaged_stream_is_a_fault_or_an_answer(
    fmt: WireFormat, data: st.DataObject, response: ChatResponse
) -> None:
    stream = data.draw(damaged(_encode_stream(fmt, response)))
    events, fault = _attempt(_decode_stream, fmt, stream)
    if events is None:
        assert fault is not None
        assert fault.source == "provider"
    else:
        check_events(events)
        fold(events)


@every_format
@given(response=responses(), kept=st.floats(0, 1, exclude_max=True))
@examples
def test_law_5_a_truncated_answer_is_a_fault(fmt: WireFormat, response: ChatResponse, kept: float) -> None:
    body = fmt.encode_response(response, [])
    with pytest.raises(FaultError) as raised:
        fmt.decode_response(body[: int(len(body) * kept)])
    assert raised.value.fault.kind in PROVIDER_KINDS


@every_format
@given(data=st.data())
@settings(examples, max_examples=150)
def test_law_5_hostile_json_is_a_fault_or_a_value(fmt: WireFormat, data: st.DataObject) -> None:
    body = data.draw(hostile_objects(fmt.name))
    frames = (b"data: " + body + b"\n\ndata: [DONE]\n\n", b"event: error\ndata: " + body + b"\n\n")
    for frame in (*frames, data.draw(hostile_streams(fmt.name))):
        events, _ = _attempt(_decode_stream, fmt, frame)
        if events is not None:
            check_events(events)
            _decode_stream(fmt, _encode_stream(fmt, fold(events)))
    answer, _ = _attempt(fmt.decode_response, body)
    if answer is not None:
        fmt.decode_response(fmt.encode_response(answer, []))
    request, fault = _attempt(_decode_request, fmt, body)
    if request is not None:
        _decode_request(fmt, fmt.encode_request(request, []))
    else:
        assert fault is not None
        assert (fault.kind, fault.source) == (FaultKind.INVALID_REQUEST, "client")


@every_format
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'"\\ud800"', b"[" * 100_000, b'{"a":1e999}'])
def test_law_5_what_is_no_object_is_a_fault(fmt: WireFormat, body: bytes) -> None:
    with pytest.raises(FaultError):
        fmt.decode_response(body)
    with pytest.raises(FaultError):
        _decode_stream(fmt, b"data: " + body + b"\n\n")
    with pytest.raises(FaultError):
        _decode_request(fmt, body)


@every_format
@pytest.mark.parametrize("depth", [100, 500, 600, 950, 5000])
def test_law_5_deep_nesting_is_a_fault_or_a_value(fmt: WireFormat, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    body = fmt.encode_response(ChatResponse(id="a", choices=(Choice(parts=(TextPart(text="Hi"),)),)), [])
    body = body[:-1] + b',"x_deep":' + deep + b"}"
    answer, _ = _attempt(fmt.decode_response, body)
    if answer is not None:
        assert answer.extensions == fmt.decode_response(fmt.encode_response(answer, [])).extensions
    _attempt(_decode_stream, fmt, b"data: " + body + b"\n\ndata: " + body + b"\n\ndata: [DONE]\n\n")
    request, _ = _attempt(_decode_request, fmt, b'{"model":"m","messages":[],"input":[],"x_deep":' + deep + b"}")
    if request is not None:
        fmt.encode_request(request, [])
    assert (answer is None) == (request is None) == (depth > 512)


@every_format
@given(response=responses())
@examples
def test_law_6_every_stream_keeps_the_grammar_of_its_format(fmt: WireFormat, response: ChatResponse) -> None:
    GRAMMARS[fmt.name](_encode_stream(fmt, response))


@every_format
@given(response=responses())
@examples
def test_law_7_the_reason_fits_what_was_emitted(fmt: WireFormat, response: ChatResponse) -> None:
    whole = fmt.decode_response(fmt.encode_response(response, []))
    streamed = fold(_decode_stream(fmt, _encode_stream(fmt, response)))
    for answer in (whole, streamed):
        for choice in answer.choices:
            called = any(isinstance(part, ToolCallPart) for part in choice.parts)
            assert choice.finish is not None
            reason = choice.finish.reason
            assert reason is not (FinishReason.STOP if called else FinishReason.TOOL_CALLS)


@every_format
@given(request=requests, response=responses())
@examples
def test_law_8_the_same_value_gives_the_same_bytes(
    fmt: WireFormat, request: ChatRequest, response: ChatResponse
) -> None:
    assert fmt.encode_request(copy.deepcopy(request), []) == fmt.encode_request(request, [])
    once = fmt.encode_request(_decode_request(fmt, fmt.encode_request(request, [])), [])
    assert fmt.encode_request(_decode_request(fmt, once), []) == once
    assert fmt.encode_response(response, []) == fmt.encode_response(response, [])


def test_the_strategies_make_every_kind_of_part_and_event() -> None:
    parts: Counter[str] = Counter()
    events: Counter[str] = Counter()

    @given(request=requests, response=responses())
    @settings(examples, max_examples=200)
    def collect(request: ChatRequest, response: ChatResponse) -> None:
        parts.update(type(part).__name__ for message in request.messages for part in message.parts)
        parts.update(type(part).__name__ for choice in response.choices for part in choice.parts)
        events.update(type(event).__name__ for event in unfold(response))
        for fmt in FORMATS:
            events.update(type(event).__name__ for event in _decode_stream(fmt, _late_facts(fmt, response)))

    collect()
    assert {kind.__name__ for kind in get_args(Part)} == parts.keys()
    assert {kind.__name__ for kind in get_args(StreamEvent)} == events.keys()
    assert events[ToolCallStart.__name__] > 20


def _late_facts(fmt: WireFormat, response: ChatResponse) -> bytes:
    """The stream of an answer of which something was learned late."""
    encoder = fmt.stream_encoder()
    frames = b"".join(encoder.feed(event) for event in unfold(response))
    return frames + encoder.feed(AnswerExtend(extensions={fmt.name: {"x_late": 1}})) + encoder.flush()
