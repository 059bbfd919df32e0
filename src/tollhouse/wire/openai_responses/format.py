"""OpenAIResponses: the Responses format as one object."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

from tollhouse.ir.fault import Fault
from tollhouse.ir.loss import Loss
from tollhouse.ir.request import ChatRequest
from tollhouse.ir.response import ChatResponse
from tollhouse.ir.usage import Usage
from tollhouse.wire.failed_usage import usage_object
from tollhouse.wire.format import AnswerPolicy, Peek, Scan
from tollhouse.wire.offered_tools import tools_without
from tollhouse.wire.openai_fault import decode_fault
from tollhouse.wire.openai_responses.body_pipe import BodyPipe
from tollhouse.wire.openai_responses.error_frame import error_frame
from tollhouse.wire.openai_responses.peek import peek_fields, tool_price_name
from tollhouse.wire.openai_responses.request import decode_request, encode_request
from tollhouse.wire.openai_responses.response import decode_response, encode_response
from tollhouse.wire.openai_responses.stream_decode import ResponsesStreamDecoder
from tollhouse.wire.openai_responses.stream_encode import ResponsesStreamEncoder
from tollhouse.wire.openai_responses.stream_pipe import StreamPipe
from tollhouse.wire.openai_responses.usage import decode_usage
from tollhouse.wire.pipe import Pipe
from tollhouse.wire.quirks import STANDARD, Quirks
from tollhouse.wire.scan import join_object, scan_object


class OpenAIResponses:
    """Responses, as OpenAI published it; nothing is stored between calls."""

    name = "openai_responses"
    operation: Literal["chat"] = "chat"
    path = "/responses"
    output_limit_field = "max_output_tokens"
    needs_output_limit = False
    custom_tools = True
    forwarded_headers = frozenset({"openai-beta"})

    def scan(self, body: bytes) -> Scan:
        """Cut a request body and peek into it. Raises FaultError (invalid_request)."""
        fields = scan_object(body)
        return Scan(fields, peek_fields(fields), len(body))

    def rewrite(self, scan: Scan, changes: Mapping[str, msgspec.Raw], quirks: Quirks) -> bytes:
        """The body for a provider of the same format. Usage comes unasked, and the output limit has one name.

        An answer in the background would come to nobody: there is nothing here that it could be fetched from, and what
        it costs is known only when it is there. So it is given while the caller waits.
        """
        del quirks
        fields = {**scan.fields, **changes}
        fields.pop("background", None)
        return join_object(fields)

    def without_tools(self, scan: Scan, names: Collection[str]) -> tuple[msgspec.Raw, tuple[str, ...]]:
        """See WireFormat."""
        return tools_without(scan.fields["tools"], names, tool_price_name)

    def decode_request(self, scan: Scan) -> ChatRequest:
        """Raises FaultError (invalid_request) naming the field that does not fit."""
        return decode_request(scan.fields)

    def encode_request(self, request: ChatRequest, losses: list[Loss], quirks: Quirks = STANDARD) -> bytes:
        """Appends to `losses` what this format cannot say; `rewrite` is where its quirks matter."""
        del quirks
        return encode_request(request, losses)

    def decode_response(self, body: bytes) -> ChatResponse:
        """Raises FaultError (provider_unavailable) when the body is no answer of this format."""
        return decode_response(body)

    def encode_response(self, response: ChatResponse, losses: list[Loss]) -> bytes:
        """The whole body of an answer."""
        return encode_response(response, losses)

    def stream_decoder(self) -> ResponsesStreamDecoder:
        """A fresh decoder for one stream."""
        return ResponsesStreamDecoder()

    def stream_encoder(self, losses: list[Loss] | None = None, input_tokens: int = 0) -> ResponsesStreamEncoder:
        """A fresh encoder for one stream; it appends to `losses` what this format cannot say."""
        del input_tokens
        return ResponsesStreamEncoder(losses)

    def pipe(self, policy: AnswerPolicy, peek: Peek) -> Pipe:
        """Verbatim when the policy names nothing that could differ, else patched."""
        return StreamPipe(policy) if peek.stream else BodyPipe(policy)

    def decode_fault(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Fault:
        """What a provider's answer of status >= 400 means; never raises."""
        return decode_fault(status, headers, body)

    def failed_usage(self, body: bytes) -> Usage | None:
        """What an error says was used all the same; never raises."""
        usage = usage_object(body)
        return None if usage is None else decode_usage(usage)

    def error_frame(self, body: bytes) -> bytes:
        """The event that carries an error body in the middle of a stream; nothing follows it."""
        return error_frame(body)
