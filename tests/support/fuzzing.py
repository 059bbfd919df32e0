"""One entry for any bytes: whatever they are, each decoder, pipe and voice says a fault or a value, and nothing else.

The first bytes choose what reads the rest; hypothesis and atheris (`make fuzz`) both come in here.
"""

from collections.abc import Callable, Iterator, Sequence

from support.event_grammar import check_events
from tollhouse.dialects.dialect import Dialect
from tollhouse.dialects.hpp_router.surface import HppRouter
from tollhouse.dialects.hyperinfer.surface import HyperInfer
from tollhouse.dialects.voltagegpu.surface import VoltageGpu
from tollhouse.ir.fault import Fault, FaultError
from tollhouse.ir.fold import fold
from tollhouse.ir.loss import Loss
from tollhouse.ir.usage import Usage
from tollhouse.tokens.encodings import encoding
from tollhouse.tokens.prompt import count_prompt
from tollhouse.wire.envelope import request_taken_back
from tollhouse.wire.format import Answered, AnswerPolicy, Peek, WireFormat
from tollhouse.wire.pipe import Pipe, open_pipe
from tollhouse.wire.quirks import Quirks
from tollhouse.wire.registry import FORMATS
from tollhouse.wire.translation import Made, open_translation

POLICIES = (
    AnswerPolicy(),
    AnswerPolicy(answer_id="gen-1", model="a/b", usage_always=True, cost=True, tidy=True),
    AnswerPolicy(model="a/b"),
)
QUIRKS = (
    Quirks(),
    Quirks(thinking="budget", stream_usage=False, output_limit_field="max_tokens"),
    Quirks(thinking="adaptive", sampling=False, system_turns=True, output_limit_field="max_completion_tokens"),
)
_DIALECTS: tuple[Dialect, ...] = (HppRouter(strict_schema=True), HyperInfer(strict_schema=True), VoltageGpu())
VOICES = tuple(route.voice for dialect in _DIALECTS for route in dialect.routes if route.voice is not None)
# A fault, a frame or an answer has words of its own, and JSON may spell a byte in six.
_MOST_BYTES = 64 * 1024
_MOST_PER_BYTE = 400


def consume(data: bytes) -> None:
    """Read `data` in one way. Raises whatever is raised that is no FaultError, and AssertionError."""
    if len(data) < 3:
        return
    kind, formats, more = data[0], data[1], data[2]
    source, target = FORMATS[formats % 3], FORMATS[formats // 3 % 3]
    body = data[3:]
    WAYS[kind % len(WAYS)](source, target, more, body)


def _request(source: WireFormat, target: WireFormat, more: int, body: bytes) -> None:
    scan = source.scan(body)
    quirks = QUIRKS[more % len(QUIRKS)]
    source.scan(source.rewrite(scan, {}, quirks))
    request = source.decode_request(scan)
    losses: list[Loss] = []
    request = request_taken_back(request, "acme", target.name, losses)
    encoded = target.encode_request(request, losses, quirks)
    assert len(encoded) <= _MOST_BYTES + _MOST_PER_BYTE * len(body)
    target.rewrite(target.scan(encoded), {}, quirks)
    target.decode_request(target.scan(encoded))
    assert count_prompt(request, encoding("bytes")) >= 0


def _answer(source: WireFormat, target: WireFormat, more: int, body: bytes) -> None:
    answer = source.decode_response(body)
    encoded = target.encode_response(answer, [])
    assert len(encoded) <= _MOST_BYTES + _MOST_PER_BYTE * len(body)
    target.decode_response(encoded)


def _events(source: WireFormat, target: WireFormat, more: int, body: bytes) -> None:
    decoder = source.stream_decoder()
    events = [event for piece in _pieces(body, more) for event in decoder.feed(piece)]
    events += decoder.flush()
    check_events(events)
    fold(events)
    encoder = target.stream_encoder([], 7)
    encoded = b"".join([encoder.feed(event) for event in events]) + encoder.flush()
    assert len(encoded) <= _MOST_BYTES + _MOST_PER_BYTE * len(body)
    again = target.stream_decoder()
    check_events(again.feed(encoded) + again.flush())


def _piped(source: WireFormat, target: WireFormat, more: int, body: bytes) -> None:
    peek = Peek(model="m", stream=bool(more & 1), wants_usage=bool(more & 2))
    policy = POLICIES[more // 4 % len(POLICIES)]
    if source is target:
        pipe: Pipe = open_pipe(source, policy, peek)
    else:
        made = Made(id="1", created=1, creator="acme", losses=[], input_tokens=5)
        pipe = open_translation(source, target, policy, peek, made)
    out = b"".join([pipe.feed(piece) for piece in _pieces(body, more)]) + pipe.close()
    out += pipe.finish(Answered(usage=pipe.usage or Usage(), cost_nano_usd=1))
    assert len(out) <= _MOST_BYTES + _MOST_PER_BYTE * len(body)
    assert 0 <= pipe.received_bytes <= len(body)


def _fault(source: WireFormat, target: WireFormat, more: int, body: bytes) -> None:
    fault = source.decode_fault(400 + more, (("retry-after", body[:9].decode("latin-1")),), body)
    assert isinstance(fault, Fault)
    for voice in VOICES:
        if voice.format_name == target.name:
            target.error_frame(voice.word(fault, "1", "/x").body)


def _validated(source: WireFormat, target: WireFormat, more: int, body: bytes) -> None:
    VOICES[more % len(VOICES)].validate(body)


WAYS: Sequence[Callable[[WireFormat, WireFormat, int, bytes], None]] = (
    _request,
    _answer,
    _events,
    _piped,
    _fault,
    _validated,
)


def read(data: bytes) -> Fault | None:
    """`consume`, with the fault as its value."""
    try:
        consume(data)
    except FaultError as error:
        return error.fault
    return None


def _pieces(body: bytes, more: int) -> Iterator[bytes]:
    """The bytes in pieces of a size that `more` gives, or whole."""
    size = (more >> 3) or len(body) or 1
    for start in range(0, len(body), size):
        yield body[start : start + size]
