"""OpenAIEmbeddings: the Embeddings format, spoken by callers and providers alike."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from tollhouse.ir.fault import Fault, invalid_request
from tollhouse.ir.usage import Usage
from tollhouse.wire.failed_usage import usage_object
from tollhouse.wire.format import AnswerPolicy, Peek, Scan
from tollhouse.wire.openai_embeddings.body_pipe import EmbeddingsPipe
from tollhouse.wire.openai_embeddings.usage import decode_usage
from tollhouse.wire.openai_fault import decode_fault
from tollhouse.wire.peeking import read_field
from tollhouse.wire.scan import join_object, scan_object

_ENCODING = "encoding_format"

_text_decoder = msgspec.json.Decoder(str | None)
_items_decoder = msgspec.json.Decoder(list[msgspec.Raw])


class OpenAIEmbeddings:
    """`POST /embeddings`, as OpenAI published it (platform.openai.com, API reference, "Embeddings", read 2026-11)."""

    name = "openai_embeddings"
    operation: Literal["embeddings"] = "embeddings"
    path = "/embeddings"
    forwarded_headers: frozenset[str] = frozenset({"openai-beta"})

    def scan(self, body: bytes) -> Scan:
        """Cut a request body. Raises FaultError (invalid_request) when it is no JSON object or lacks a field."""
        fields = scan_object(body)
        model = read_field(fields, "model", _text_decoder, "a string")
        if not model:
            raise invalid_request("'model' is required: name the model to call as a string.", "model")
        if "input" not in fields:
            raise invalid_request("'input' is required: a text, or a list of texts.", "input")
        given = fields["input"]
        return Scan(fields, Peek(model=model, output_limit=0, choices=_count(given)), len(memoryview(given)))

    def rewrite(self, scan: Scan, changes: Mapping[str, msgspec.Raw], policy: AnswerPolicy) -> bytes:
        """The body for a provider: fields of `changes` replaced or added, all else verbatim. Where the caller has to
        get numbers, the encoding is left out: numbers are what everybody answers then."""
        fields = {**scan.fields, **changes}
        if policy.numbers:
            fields.pop(_ENCODING, None)
        return join_object(fields)

    def pipe(self, policy: AnswerPolicy, peek: Peek) -> EmbeddingsPipe:
        """A fresh pipe for one answer."""
        return EmbeddingsPipe(policy, peek.choices)

    def decode_fault(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Fault:
        """What a provider's answer of status >= 400 means; never raises."""
        return decode_fault(status, headers, body)

    def failed_usage(self, body: bytes) -> Usage | None:
        """What an error says was used all the same; never raises."""
        usage = usage_object(body)
        return None if usage is None else decode_usage(usage)


def _count(given: msgspec.Raw) -> int:
    """How many vectors are asked for: one for a text or a list of tokens, else one for each entry."""
    try:
        items = _items_decoder.decode(given)
    except msgspec.DecodeError:
        return 1
    return len(items) if items and bytes(items[0])[:1] in (b'"', b"[") else 1
