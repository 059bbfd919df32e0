"""The envelope in which reasoning that only its own provider can read travels through a caller of another format."""

import base64
import binascii
import urllib.parse

import msgspec

from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import Part, ReasoningOrigin, ReasoningPart
from tollhouse.ir.request import ChatRequest, Message
from tollhouse.ir.response import ChatResponse

MARK = "th1."

_MARK = MARK.encode()
_LOOKS = 64


def wrap(payload: str, origin: ReasoningOrigin) -> str:
    """`th1.<format>.<creator>.<payload in base64url>`; text without a NUL of any length goes in and comes out whole."""
    creator = urllib.parse.quote(origin.creator or "", safe="-_~").replace(".", "%2E")
    packed = base64.urlsafe_b64encode(payload.encode("utf-8", "surrogatepass")).decode().rstrip("=")
    return f"{MARK}{origin.format}.{creator}.{packed}"


def unwrap(text: str) -> tuple[str, ReasoningOrigin] | None:
    """The payload and who can read it; None when `text` is no envelope of ours."""
    if not text.startswith(MARK):
        return None
    pieces = text.split(".", 3)
    if len(pieces) != 4:
        return None
    _, form, creator, packed = pieces
    try:
        payload = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        return payload.decode("utf-8", "surrogatepass"), ReasoningOrigin(
            format=form, creator=urllib.parse.unquote(creator) or None
        )
    except (binascii.Error, ValueError):
        return None


def may_hold_envelope(body: bytes) -> bool:
    """Whether the mark of an envelope stands anywhere in the bytes.

    Prose has few digits, and a single byte is found an order of magnitude faster than four in a row, so the `1` is
    looked for first; a body full of them is searched for the whole mark.
    """
    at = -1
    for _ in range(_LOOKS):
        at = body.find(b"1", at + 1)
        if at < 0:
            return False
        if at >= 2 and body.startswith(_MARK, at - 2):
            return True
    return body.find(_MARK, at) >= 0


def handed_out(part: ReasoningPart, creator: str, target: str) -> ReasoningPart:
    """The part as a caller of format `target` gets it: a payload in its envelope, in the place where that format
    carries payloads of its own."""
    if part.opaque is None:
        return part
    origin = ReasoningOrigin(format=part.origin.format if part.origin else target, creator=creator)
    return msgspec.structs.replace(
        part, opaque=wrap(part.opaque, origin), origin=ReasoningOrigin(format=target), form=None
    )


def answer_handed_out(answer: ChatResponse, creator: str, target: str) -> ChatResponse:
    """An answer whose reasoning is handed out."""
    choices = tuple(
        msgspec.structs.replace(
            choice,
            parts=tuple(
                handed_out(part, creator, target) if isinstance(part, ReasoningPart) else part for part in choice.parts
            ),
        )
        for choice in answer.choices
    )
    return msgspec.structs.replace(answer, choices=choices)


def request_taken_back(request: ChatRequest, creator: str, target: str, losses: list[Loss]) -> ChatRequest:
    """A request whose envelopes are opened again.

    A payload goes back to its own format and creator only, byte for byte; elsewhere it is dropped and noted in
    `losses`. One that came without an envelope belongs to the format it came in and the creator of the model asked.
    """
    messages = tuple(
        _message_taken_back(message, creator, target, losses, f"messages[{number}]")
        for number, message in enumerate(request.messages)
    )
    return msgspec.structs.replace(request, messages=messages)


def _message_taken_back(message: Message, creator: str, target: str, losses: list[Loss], path: str) -> Message:
    if not any(isinstance(part, ReasoningPart) and part.opaque is not None for part in message.parts):
        return message
    parts: list[Part] = []
    for number, part in enumerate(message.parts):
        if not isinstance(part, ReasoningPart) or part.opaque is None:
            parts.append(part)
            continue
        taken = _taken_back(part, creator, target, losses, f"{path}.parts[{number}]")
        if taken.opaque is not None and taken.opaque != part.opaque:
            taken = _with_paragraphs(taken, parts)
        parts.append(taken)
    return msgspec.structs.replace(message, parts=tuple(parts))


def _with_paragraphs(last: ReasoningPart, before: list[Part]) -> ReasoningPart:
    """`last` with the text of unsigned reasoning right before it, taken from there: a summary of several paragraphs
    is handed out as several blocks, of which the last has the envelope."""
    texts = [last.text] if last.text else []
    while before and isinstance(one := before[-1], ReasoningPart) and one == ReasoningPart(text=one.text):
        texts.insert(0, one.text)
        before.pop()
    return msgspec.structs.replace(last, text="\n\n".join(texts))


def _taken_back(part: ReasoningPart, creator: str, target: str, losses: list[Loss], path: str) -> ReasoningPart:
    opened = None if part.opaque is None else unwrap(part.opaque)
    if opened is None:
        return part
    payload, origin = opened
    if origin.format == target and origin.creator in (None, creator):
        return msgspec.structs.replace(part, opaque=payload, origin=origin, form=None)
    losses.append(Loss(f"{path}.opaque", f"only {origin.creator or origin.format} can read it"))
    # Without its payload, redacted reasoning is nothing; the text of other reasoning stays.
    return msgspec.structs.replace(part, opaque=None, origin=None, redacted=False, form=None)
