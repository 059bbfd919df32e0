"""Strict routes: a dialect's routes whose voices take nothing that its published document does not allow."""

from collections.abc import Mapping, Sequence

import msgspec

from tollhouse.dialects.dialect import Route
from tollhouse.dialects.published import RequestSchema, request_schemas
from tollhouse.ir.fault import Fault
from tollhouse.observe.record import Attempt
from tollhouse.relay.call import Headers, Voice, Worded
from tollhouse.routing.auto import Decision
from tollhouse.wire.format import AnswerPolicy, Peek


class StrictVoice:
    """A voice that checks a body by the letter, after its own checks, which word what they find more kindly."""

    def __init__(self, voice: Voice, schema: RequestSchema) -> None:
        self._voice = voice
        self._schema = schema
        self.dialect = voice.dialect
        self.format_name = voice.format_name
        self.auto_model = voice.auto_model
        self.splits_choices = voice.splits_choices

    def validate(self, body: bytes) -> None:
        """Check a request body against the contract. Raises FaultError (invalid_request)."""
        self._voice.validate(body)
        self._schema.check(body)

    def word(self, fault: Fault, request_id: str, endpoint: str, attempts: tuple[Attempt, ...] = ()) -> Worded:
        """The one wording of `fault`."""
        return self._voice.word(fault, request_id, endpoint, attempts)

    def defaults(self) -> Mapping[str, msgspec.Raw]:
        """Those of the voice."""
        return self._voice.defaults()

    def policy(self, request_id: str, slug: str, asked: Peek) -> AnswerPolicy:
        """That of the voice."""
        return self._voice.policy(request_id, slug, asked)

    def headers(self, slug: str, decision: Decision | None = None) -> Headers:
        """Those of the voice."""
        return self._voice.headers(slug, decision)


def strict_routes(routes: Sequence[Route], package: str, file: str, root: str = "") -> tuple[Route, ...]:
    """The routes, those strict that the OpenAPI document `file` of `package` describes; its paths begin after `root`.

    A route that the document does not know stays as it is.
    """
    schemas = request_schemas(package, file)
    strict: list[Route] = []
    for route in routes:
        schema = schemas.get(route.endpoint.removeprefix(root)) if route.method == "POST" else None
        if schema is not None and route.voice is not None:
            voice: Voice = StrictVoice(route.voice, schema)
            strict.append(msgspec.structs.replace(route, voice=voice))
        else:
            strict.append(route)
    return tuple(strict)
