"""Metering: what a call is charged for: the provider's report where it can be trusted, else a count of what was sent
and received."""

import msgspec

from tollhouse.catalog.entries import Price
from tollhouse.ir.usage import GeneratedImages, Usage
from tollhouse.money.image_pricing import image_tokens
from tollhouse.tokens.bounds import most_tokens
from tollhouse.tokens.encodings import BYTES, encoding
from tollhouse.tokens.estimate import estimate
from tollhouse.wire.quirks import Quirks

# The longest token of text in a published vocabulary is 128 blanks (OpenAI's o200k_base): a report of fewer tokens
# than that counts something else. The first bytes are left out of account: formats put a few of their own there.
_LONGEST_TOKEN_BYTES = 128
_UNCOUNTED_BYTES = 4096
# More bytes than these in a token are no text that somebody reads.
_MANY_BYTES = 16
# What a model says of itself is what one step of it may take; a provider that runs tools of its own adds steps up.
_STEPS = 4
_UNKNOWN_ROOM_TOKENS = 2**24


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider was asked: the caller's body, or what of it is prompt, in so many `calls`, the most output tokens
    of each of `choices` answers (None: as many as the model makes), the model's window and longest answer in tokens, 0
    where unknown, and its vocabulary."""

    body: bytes
    output_limit: int | None = None
    choices: int = 1
    calls: int = 1
    context_length: int = 0
    max_output_tokens: int = 0
    tokenizer: str = BYTES


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """What came back: the last trusted report of the provider, if any, how many bytes of generated text, reasoning and
    tool arguments had come when it was made, and how many came in all. `cut`: the gateway ended the stream, because it
    had passed twice the limit on the answer; what was handed out beyond the limit is charged as well."""

    report: Usage | None = None
    reported_at_bytes: int = 0
    size_bytes: int = 0
    cut: bool = False


def meter(sent: Sent, received: Received) -> Usage:
    """The tokens to charge, with their source.

    `provider`: the report counts all that was received and makes sense. Otherwise `estimated`, and never above what
    the call was admitted for: a report that was made before the rest came is completed by a count of the rest; a
    missing one, or one that contradicts what was sent and received, is replaced by a count of both.
    """
    report = received.report
    if report is None or not _makes_sense(report, sent, received):
        counted = estimate(sent.body, encoding(sent.tokenizer))
        prompt = Usage(input_tokens=sent.calls * counted.prompt_tokens)
        return _bounded(prompt, counted.tokens_of(received.size_bytes), sent, received)
    told_bytes = received.reported_at_bytes if report.completion_tokens else 0
    rest_bytes = received.size_bytes - told_bytes
    if rest_bytes <= 0:
        return report
    # Figures for output that had not come yet: all of it, told in advance, or no more than a beginning (Anthropic's
    # message_start says 1).
    if told_bytes == 0 and rest_bytes <= report.completion_tokens * _MANY_BYTES:
        return report
    told_tokens = report.completion_tokens if told_bytes else 0
    rest_tokens = estimate(sent.body, encoding(sent.tokenizer)).tokens_of(rest_bytes)
    return _bounded(report, told_tokens + rest_tokens, sent, received)


def with_images(usage: Usage, made: GeneratedImages, price: Price) -> Usage:
    """The usage of a call for pictures. Where the provider told no tokens, each is taken to have those that the
    catalogue has for it."""
    if usage.source == "estimated":
        tokens = made.count * image_tokens(price, made.size, made.quality)
        usage = msgspec.structs.replace(usage, image_output_tokens=tokens)
    return msgspec.structs.replace(usage, images=made)


def placed(report: Usage | None, quirks: Quirks) -> Usage | None:
    """The report with every token in a class; None where that of some is not known."""
    if report is None or not report.unplaced_tokens:
        return report
    if not quirks.hidden_reasoning:
        return None
    hidden = report.unplaced_tokens
    return msgspec.structs.replace(
        report,
        output_tokens=report.output_tokens + hidden,
        reasoning_tokens=report.reasoning_tokens + hidden,
        unplaced_tokens=0,
    )


def _makes_sense(report: Usage, sent: Sent, received: Received) -> bool:
    """Whether the report may be true. Text is never more tokens than bytes; beyond that there are pictures by URL,
    hidden reasoning and tools of the provider's, for which there is room up to a few times what the model takes."""
    room = _STEPS * sent.context_length or _UNKNOWN_ROOM_TOKENS
    if report.prompt_tokens <= 0 or report.prompt_tokens > sent.calls * max(room, most_tokens(len(sent.body))):
        return False
    # The limit that was sent is no argument: a provider may exceed it, and then bills what it made.
    room = sent.choices * _STEPS * max(sent.max_output_tokens, sent.context_length) or _UNKNOWN_ROOM_TOKENS
    if report.completion_tokens > max(room, most_tokens(received.size_bytes)):
        return False
    if report.audio_output_tokens or report.image_output_tokens:
        return True
    told_bytes = received.reported_at_bytes - _UNCOUNTED_BYTES
    return told_bytes <= report.completion_tokens * _LONGEST_TOKEN_BYTES


def _bounded(known: Usage, output_tokens: int, sent: Sent, received: Received) -> Usage:
    """An estimate on the ground of what is `known` of the prompt, within what the call was admitted for."""
    limit = sent.output_limit or sent.max_output_tokens
    if limit and not received.cut:
        output_tokens = min(output_tokens, max(known.completion_tokens, limit * sent.choices))
    text_tokens = max(0, output_tokens - known.audio_output_tokens - known.image_output_tokens)
    return msgspec.structs.replace(
        known,
        output_tokens=text_tokens,
        reasoning_tokens=min(known.reasoning_tokens, text_tokens),
        source="estimated",
    )
