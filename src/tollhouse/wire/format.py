"""WireFormat: what a format must offer so that the relay can carry it without knowing which it is."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from tollhouse.ir.events import StreamEvent
from tollhouse.ir.fault import Fault
from tollhouse.ir.images import ImagesAsked
from tollhouse.ir.loss import Loss
from tollhouse.ir.request import ChatRequest
from tollhouse.ir.response import ChatResponse
from tollhouse.ir.usage import Usage
from tollhouse.wire.quirks import STANDARD, Quirks

if TYPE_CHECKING:
    from tollhouse.wire.pipe import Pipe


ModelOperation = Literal["chat", "embeddings", "images"]
"""What a model can be asked for."""


class Peek(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway must know of a request before it forwards it, whatever the format.

    `output_limit` is the caller's own bound in tokens; 0 for what is not answered in tokens at all. `choices` is `n`,
    or how many vectors are asked for. `wants_usage` says whether the caller asked for usage in a stream. `paid` lists
    (field, price name) pairs: features that cost extra and so need a price, such as ("service_tier",
    "service_tier:priority") or ("web_search_options", "tool:web_search"). `spare_tools` says that the request can do
    without the provider's own tools among `tools`, `keeps_turns` that turns of the conversation are not in the request
    but with a provider of the format, `is_partial` that they or other parts of the prompt are kept there or fetched,
    beside `remote_pictures` of them. `images` are the pictures that are asked for.
    """

    model: str
    stream: bool = False
    output_limit: int | None = None
    choices: int = 1
    wants_usage: bool = False
    has_tools: bool = False
    paid: tuple[tuple[str, str], ...] = ()
    reasoning_budget: int = 0
    keeps_turns: bool = False
    is_partial: bool = False
    remote_pictures: int = 0
    spare_tools: bool = False
    images: ImagesAsked | None = None


class Scan(msgspec.Struct, frozen=True):
    """A request body cut once into its top-level fields (the last of a repeated key wins), and what was peeked.
    `size_bytes` is that of what may be prompt: of a chat all of it, else the text beside the knobs."""

    fields: dict[str, msgspec.Raw]
    peek: Peek
    size_bytes: int


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """The settled facts of an answer, for the frames that may only be sent after settlement.

    `cost_nano_usd` is what the caller was charged.
    """

    usage: Usage
    cost_nano_usd: int


class AnswerPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How a dialect wants answers of its own format to look; None or False leaves the provider's bytes alone.

    answer_id: the id of the answer. model: the model name that is echoed. usage_always: usage comes with every
    answer, streamed or not, asked for or not; otherwise a stream has it only when the caller asked. settled_usage: it
    is the usage that is charged; otherwise what the provider told, in its own figures. cost: usage carries `cost` in
    USD. tidy: the contract's own frame order (a role frame, deltas, one finish frame, a usage-only
    frame) and its closed lists of finish reasons hold, and every field that it requires is there. numbers: vectors are
    lists of numbers, whatever encoding was asked for. pictures_as: how pictures are handed over where the caller does
    not say it; None as the provider does. raw_pictures: a single picture is the whole body for those who accept that.
    """

    answer_id: str | None = None
    model: str | None = None
    usage_always: bool = False
    settled_usage: bool = False
    cost: bool = False
    tidy: bool = False
    numbers: bool = False
    pictures_as: Literal["url", "b64_json"] | None = None
    raw_pictures: bool = False

    @property
    def makes_usage(self) -> bool:
        """Whether usage is written anew, and not left as it stands."""
        return self.usage_always or self.settled_usage or self.cost or self.tidy


class StreamDecoder(Protocol):
    """Bytes of a provider's stream to events; `feed` takes any split of the bytes."""

    @property
    def is_complete(self) -> bool:
        """Whether the stream has told its end, well or not."""
        ...

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events that `data` completes. Raises FaultError on an error frame, garbled or oversized input."""
        ...

    def flush(self) -> list[StreamEvent]:
        """Events left at the end of the stream. Raises FaultError when the answer was cut short."""
        ...


class StreamEncoder(Protocol):
    """Events to bytes of a stream."""

    def feed(self, event: StreamEvent) -> bytes:
        """Frames that `event` makes; b'' when it makes none yet."""
        ...

    def flush(self) -> bytes:
        """The terminal frames."""
        ...


class UpstreamFormat(Protocol):
    """What a provider speaks, as far as every operation has it; instances are stateless and shared."""

    name: str
    path: str
    """Appended to a provider's base URL."""
    forwarded_headers: frozenset[str]
    """Request headers (lower case) that belong to the format and are handed on to a provider of the same format."""

    def decode_fault(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Fault:
        """What a provider's answer of status >= 400 means; never raises, whatever the body."""
        ...

    def failed_usage(self, body: bytes) -> Usage | None:
        """What the body of a failed answer says was used all the same; None where it says nothing that can be trusted.
        Never raises."""
        ...


class WireFormat(UpstreamFormat, Protocol):
    """One wire format of chat, both directions."""

    operation: Literal["chat"]
    output_limit_field: str
    """The field that takes the limit on the answer's tokens."""
    needs_output_limit: bool
    """Whether a request must say how many tokens an answer may have."""
    custom_tools: bool
    """Whether the format has tools that take free text."""

    def scan(self, body: bytes) -> Scan:
        """Cut a request body. Raises FaultError (invalid_request) when it is no JSON object of this format."""
        ...

    def rewrite(self, scan: Scan, changes: Mapping[str, msgspec.Raw], quirks: Quirks) -> bytes:
        """The body for a provider of the same format: fields of `changes` replaced or added, all else verbatim."""
        ...

    def without_tools(self, scan: Scan, names: Collection[str]) -> tuple[msgspec.Raw, tuple[str, ...]]:
        """The field `tools` without the provider's own tools of these price names, and their places in it."""
        ...

    def decode_request(self, scan: Scan) -> ChatRequest:
        """Raises FaultError (invalid_request) naming the field that does not fit."""
        ...

    def encode_request(self, request: ChatRequest, losses: list[Loss], quirks: Quirks = STANDARD) -> bytes:
        """Appends to `losses` what this format, or the deployment with these `quirks`, cannot say."""
        ...

    def decode_response(self, body: bytes) -> ChatResponse:
        """Raises FaultError (provider_unavailable) when the body is no answer of this format."""
        ...

    def encode_response(self, response: ChatResponse, losses: list[Loss]) -> bytes:
        """The whole body of an answer."""
        ...

    def stream_decoder(self) -> StreamDecoder:
        """A fresh decoder for one stream."""
        ...

    def stream_encoder(self, losses: list[Loss] | None = None, input_tokens: int = 0) -> StreamEncoder:
        """A fresh encoder for one stream; it appends to `losses` what this format cannot say. `input_tokens` is what a
        format that tells the prompt's size first says until the provider has told it."""
        ...

    def pipe(self, policy: AnswerPolicy, peek: Peek) -> "Pipe":
        """A fresh pipe for one answer of this format to a caller of the same: see `open_pipe`."""
        ...

    def error_frame(self, body: bytes) -> bytes:
        """The frame that carries an error body (worded by the dialect) in the middle of a stream."""
        ...
