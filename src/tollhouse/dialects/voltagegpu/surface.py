"""VoltageGPU's routes under both of its mounts, its keys and its voice."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from tollhouse.catalog.entries import Catalog
from tollhouse.dialects.credentials import bearer_key, named_key
from tollhouse.dialects.dialect import Operation, Route, document_route
from tollhouse.dialects.embeddings import check_texts
from tollhouse.dialects.listing import Entry, entry_fields, page
from tollhouse.dialects.strict import strict_routes
from tollhouse.dialects.voltagegpu.document import voltage_document
from tollhouse.dialects.voltagegpu.errors import VoltageWording
from tollhouse.dialects.voltagegpu.schema import check_chat
from tollhouse.dialects.voltagegpu.schema_images import check_images
from tollhouse.relay.call import Headers, Voice
from tollhouse.routing.auto import Decision
from tollhouse.wire.format import AnswerPolicy, Peek

# The contract's two servers: production, and local development.
_MOUNTS: Final = ("", "/api/voltage")
_CHAT: Final = "/v1/chat/completions"
_EMBEDDINGS: Final = "/v1/embeddings"
_IMAGES: Final = "/v1/images/generations"
_MODELS: Final = "/v1/models"
_DOCUMENT: Final = "/openapi/voltage.json"

_DEFAULTS: Final[Mapping[str, msgspec.Raw]] = MappingProxyType(
    {
        "temperature": msgspec.Raw(b"1"),
        "top_p": msgspec.Raw(b"1"),
        "n": msgspec.Raw(b"1"),
        "presence_penalty": msgspec.Raw(b"0"),
        "frequency_penalty": msgspec.Raw(b"0"),
    }
)


_IMAGE_DEFAULTS: Final[Mapping[str, msgspec.Raw]] = MappingProxyType(
    {
        "n": msgspec.Raw(b"1"),
        "size": msgspec.Raw(b'"1024x1024"'),
        "guidance_scale": msgspec.Raw(b"7.5"),
        "num_inference_steps": msgspec.Raw(b"50"),
    }
)


class _VoltageVoice(VoltageWording):
    """What the voices share: no headers of their own."""

    dialect = "voltagegpu"
    auto_model: str | None = None
    splits_choices = False

    def headers(self, slug: str, decision: Decision | None = None) -> Headers:
        """None of its own."""
        del slug, decision
        return ()


class VoltageChat(_VoltageVoice):
    """The voice of a chat call: the provider's answer as it is, under the name that was sent."""

    format_name = "openai_chat"
    splits_choices = True

    def validate(self, body: bytes) -> None:
        """Check a request body against the contract. Raises FaultError (invalid_request)."""
        check_chat(body)

    def defaults(self) -> Mapping[str, msgspec.Raw]:
        """The contract's documented defaults (behaviour.md 3.2, 5.26)."""
        return _DEFAULTS

    def policy(self, request_id: str, slug: str, asked: Peek) -> AnswerPolicy:
        """The provider's id and frames; usage in a stream only when asked for."""
        del request_id, slug
        return AnswerPolicy(model=asked.model)


class VoltageEmbeddings(_VoltageVoice):
    """The voice of a call for embeddings: always lists of numbers (behaviour.md 3.3), under the name that was sent."""

    format_name = "openai_embeddings"

    def validate(self, body: bytes) -> None:
        """Check a request body against the contract. Raises FaultError (invalid_request)."""
        check_texts(body)

    def defaults(self) -> Mapping[str, msgspec.Raw]:
        """None: the contract documents none."""
        return {}

    def policy(self, request_id: str, slug: str, asked: Peek) -> AnswerPolicy:
        """Numbers, and the name that was sent."""
        del request_id, slug
        return AnswerPolicy(model=asked.model, numbers=True)


class VoltageImages(_VoltageVoice):
    """The voice of a call for pictures: by address unless it says otherwise, or one as the whole body (behaviour.md
    3.4)."""

    format_name = "openai_images"

    def validate(self, body: bytes) -> None:
        """Check a request body against the contract. Raises FaultError (invalid_request)."""
        check_images(body)

    def defaults(self) -> Mapping[str, msgspec.Raw]:
        """The contract's documented defaults."""
        return _IMAGE_DEFAULTS

    def policy(self, request_id: str, slug: str, asked: Peek) -> AnswerPolicy:
        """By address where the caller does not say; alone as raw bytes for who accepts those."""
        del request_id, slug, asked
        return AnswerPolicy(pictures_as="url", raw_pictures=True)


def _claim(headers: Mapping[str, str]) -> int:
    """Whoever sends our own header means us, whatever an SDK sends besides (behaviour.md 5.1)."""
    return 2 if "x-voltagegpu-key" in headers else 0


def _routes() -> tuple[Route, ...]:
    calls: tuple[tuple[str, Operation, Voice], ...] = (
        (_CHAT, Operation.CHAT, VoltageChat()),
        (_EMBEDDINGS, Operation.EMBEDDINGS, VoltageEmbeddings()),
        (_IMAGES, Operation.IMAGES, VoltageImages()),
    )
    found: list[Route] = []
    for mount in _MOUNTS:
        for path, operation, voice in calls:
            claim = _claim if mount + path == _IMAGES else None
            found.append(
                Route(method="POST", path=mount + path, operation=operation, endpoint=path, voice=voice, claim=claim)
            )
        found.append(Route(method="GET", path=mount + _MODELS, operation=Operation.MODELS, endpoint=_MODELS))
    return tuple(found)


class VoltageGpu(VoltageWording):
    """The dialect."""

    name = "voltagegpu"
    roots: tuple[str, ...] = ("/v1", "/api/voltage", "/api/voltage/v1", _DOCUMENT)
    routes: tuple[Route, ...] = _routes()

    def __init__(self, *, strict_schema: bool = False) -> None:
        """With `strict_schema`, what the published document does not allow is refused."""
        if strict_schema:
            self.routes = strict_routes(self.routes, __package__ or "", "openapi.yaml", "/v1")
        document = voltage_document({route.path: route for route in self.routes})
        self.routes = (*self.routes, document_route(_DOCUMENT, document))

    def read_key(self, headers: Mapping[str, str]) -> str | None:
        """The `X-VoltageGPU-Key` header; without one, Bearer."""
        return named_key(headers, "x-voltagegpu-key") or bearer_key(headers)

    def models(self, catalog: Catalog) -> bytes:
        """The body of `GET /v1/models`: every name that can be called, aliases such as `gpt-4` too."""
        entries = [
            Entry(**entry_fields(model, name)) for model in catalog.listed for name in (model.slug, *model.aliases)
        ]
        return msgspec.json.encode(page(entries))
