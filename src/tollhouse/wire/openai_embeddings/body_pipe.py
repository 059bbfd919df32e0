"""EmbeddingsPipe: the vectors of one answer, checked, in the order of the texts, as numbers where they have to be."""

import array
import base64
import binascii
import sys

import msgspec

from tollhouse.ir.fault import FaultError
from tollhouse.ir.plain import is_object
from tollhouse.wire.collecting import MAX_BODY_BYTES, WordlessBody
from tollhouse.wire.fields import unreadable_answer
from tollhouse.wire.format import Answered, AnswerPolicy
from tollhouse.wire.openai_embeddings.usage import decode_usage, shown_usage
from tollhouse.wire.openai_fault import decode_stream_fault
from tollhouse.wire.scan import join_object

_UNREADABLE = "The provider's answer holds no embeddings that can be read. Try again, or choose another model."
_FLOAT32_BYTES = 4

_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_entries_decoder = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_index_decoder = msgspec.json.Decoder(int)
_text_decoder = msgspec.json.Decoder(str)

RawObject = dict[str, msgspec.Raw]


class EmbeddingsPipe(WordlessBody):
    """`feed` collects, `close` checks, `finish` gives the body. `wanted` is how many vectors were asked for."""

    def __init__(self, policy: AnswerPolicy, wanted: int, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        super().__init__(max_body_bytes)
        self._policy = policy
        self._wanted = wanted
        self._fields: RawObject = {}
        self._entries: list[RawObject] = []
        self._told: dict[str, object] | None = None

    def close(self) -> bytes:
        """Nothing yet. Raises FaultError when the body holds no vector for each text, or an error in disguise."""
        try:
            self._fields = _object_decoder.decode(self._collector.take())
            if "data" not in self._fields and "error" in self._fields:
                raise FaultError(decode_stream_fault(msgspec.json.decode(self._fields["error"])))
            self._entries = [*map(_checked, _ordered(_entries_decoder.decode(self._fields.get("data", b""))))]
            told: object = msgspec.json.decode(self._fields.get("usage", b"null"))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            unreadable_answer(_UNREADABLE, str(error)[:200])
        if len(self._entries) != self._wanted:
            unreadable_answer(_UNREADABLE, f"{len(self._entries)} vectors for {self._wanted} texts")
        if is_object(told):
            self._told = told
            self.usage = decode_usage(told)
        return b""

    def finish(self, answered: Answered) -> bytes:
        """The whole body."""
        policy = self._policy
        data = [_numbered(number, entry, policy) for number, entry in enumerate(self._entries)]
        cost = answered.cost_nano_usd if policy.cost else None
        answer = {
            **self._fields,
            "object": msgspec.Raw(b'"list"'),
            "data": msgspec.Raw(msgspec.json.encode(data)),
            "usage": msgspec.Raw(msgspec.json.encode(shown_usage(self._told, answered.usage, cost))),
        }
        if policy.model is not None:
            answer["model"] = msgspec.Raw(msgspec.json.encode(policy.model))
        return join_object(answer)


def _ordered(entries: list[RawObject]) -> list[RawObject]:
    """In the order of their index, where each has one of its own."""
    indexes = [_index_decoder.decode(entry["index"]) for entry in entries if "index" in entry]
    if sorted(indexes) != list(range(len(entries))):
        return entries
    return [entry for _, entry in sorted(zip(indexes, entries, strict=True), key=lambda pair: pair[0])]


def _checked(entry: RawObject) -> RawObject:
    """An entry with a vector. Raises msgspec.DecodeError for one without."""
    start = bytes(memoryview(entry.get("embedding", b""))[:1])
    if start not in (b"[", b'"'):
        raise msgspec.DecodeError("an entry without an embedding")
    if start == b'"':
        _floats(entry["embedding"])
    return entry


def _numbered(number: int, entry: RawObject, policy: AnswerPolicy) -> RawObject:
    """An entry as the caller gets it."""
    vector = entry["embedding"]
    if policy.numbers and bytes(memoryview(vector)[:1]) == b'"':
        vector = msgspec.Raw(msgspec.json.encode(_floats(vector).tolist()))
    return {
        **entry,
        "object": msgspec.Raw(b'"embedding"'),
        "embedding": vector,
        "index": msgspec.Raw(b"%d" % number),
    }


def _floats(vector: msgspec.Raw) -> "array.array[float]":
    """A vector in base64: little-endian numbers of 32 bits. Raises msgspec.DecodeError."""
    numbers = array.array("f")
    try:
        numbers.frombytes(base64.b64decode(_text_decoder.decode(vector), validate=True))
    except (binascii.Error, ValueError) as error:
        raise msgspec.DecodeError("an embedding that is no base64 of numbers") from error
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
