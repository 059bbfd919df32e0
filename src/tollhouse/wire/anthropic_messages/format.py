"""AnthropicMessages: the Messages format as one object."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

from tollhouse.ir.fault import Fault
from tollhouse.ir.loss import Loss
from tollhouse.ir.request import ChatRequest
from tollhouse.ir.response import ChatResponse
from tollhouse.ir.usage import Usage
from tollhouse.wire.anthropic_messages.body_pipe import MessagesBodyPipe
from tollhouse.wire.anthropic_messages.fault import decode_fault
from tollhouse.wire.anthropic_messages.names import NAME
from tollhouse.wire.anthropic_messages.peek import peek_fields, tool_price_name
from tollhouse.wire.anthropic_messages.request import decode_request, encode_request
from tollhouse.wire.anthropic_messages.response import decode_response, encode_response
from tollhouse.wire.anthropic_messages.stream_decode import MessagesStreamDecoder
from tollhouse.wire.anthropic_messages.stream_encode import MessagesStreamEncoder
from tollhouse.wire.anthropic_messages.stream_pipe import MessagesStreamPipe
from tollhouse.wire.anthropic_messages.usage import decode_usage
from tollhouse.wire.failed_usage import usage_object
from tollhouse.wire.format import AnswerPolicy, Peek, Scan
from tollhouse.wire.framing import sse_frame
from tollhouse.wire.offered_tools import tools_without
from tollhouse.wire.pipe import Pipe
from tollhouse.wire.quirks import STANDARD, Quirks
from tollhouse.wire.scan import join_object, scan_object


class AnthropicMessages:
    """Messages, as Anthropic published it."""

    name = NAME
    operation: Literal["chat"] = "chat"
    path = "/messages"
    output_limit_field = "max_tokens"
    needs_output_limit = True
    custom_tools = False
    forwarded_headers = frozenset({"anthropic-version", "anthropic-beta"})

    def scan(self, body: bytes) -> Scan:
        """Cut a request body and peek into it. Raises FaultError (invalid_request)."""
        fields = scan_object(body)
        return Scan(fields, peek_fields(fields), len(body))

    def rewrite(self, scan: Scan, changes: Mapping[str, msgspec.Raw], quirks: Quirks) -> bytes:
        """The body for a provider of the same format: its quirks bend translations only."""
        del quirks
        return join_object({**scan.fields, **changes})

    def without_tools(self, scan: Scan, names: Collection[str]) -> tuple[msgspec.Raw, tuple[str, ...]]:
        """See WireFormat."""
        return tools_without(scan.fields["tools"], names, tool_price_name)

    def decode_request(self, scan: Scan) -> ChatRequest:
        """Raises FaultError (invalid_request) naming the field that does not fit."""
        return decode_request(scan.fields)

    def encode_request(self, request: ChatRequest, losses: list[Loss], quirks: Quirks = STANDARD) -> bytes:
        """Appends to `losses` what this format, or the deployment with these `quirks`, cannot say."""
        return encode_request(request, losses, quirks)

    def decode_response(self, body: bytes) -> ChatResponse:
        """Raises FaultError (provider_unavailable) when the body is no answer of this format."""
        return decode_response(body)

    def encode_response(self, response: ChatResponse, losses: list[Loss]) -> bytes:
        """The whole body of an answer."""
        return encode_response(response, losses)

    def stream_decoder(self) -> MessagesStreamDecoder:
        """A fresh decoder for one stream."""
        return MessagesStreamDecoder()

    def stream_encoder(self, losses: list[Loss] | None = None, input_tokens: int = 0) -> MessagesStreamEncoder:
        """A fresh encoder for one stream; it appends to `losses` what this format cannot say, and begins by saying
        `input_tokens` where the provider has told nothing yet."""
        return MessagesStreamEncoder(losses, input_tokens)

    def pipe(self, policy: AnswerPolicy, peek: Peek) -> Pipe:
        """Verbatim when the policy names nothing that could differ, else patched."""
        return MessagesStreamPipe(policy) if peek.stream else MessagesBodyPipe(policy)

    def decode_fault(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Fault:
        """What a provider's answer of status >= 400 means; never raises."""
        return decode_fault(status, headers, body)

    def failed_usage(self, body: bytes) -> Usage | None:
        """What an error says was used all the same; never raises."""
        usage = usage_object(body)
        return None if usage is None else decode_usage(usage)

    def error_frame(self, body: bytes) -> bytes:
        """The event that carries an error body in the middle of a stream; no message_stop follows it."""
        return sse_frame(body, b"error")
