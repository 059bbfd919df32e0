"""Counting: how many tokens a request would have, by the provider's own count where it has one."""

import asyncio
from collections.abc import Mapping

import msgspec

from tollhouse.catalog.entries import Resolved
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.relay.admission import Admission
from tollhouse.relay.call import Call
from tollhouse.relay.candidates import price_at
from tollhouse.relay.stages import Surroundings
from tollhouse.routing.health import Choice
from tollhouse.routing.order import Preferences, View, order
from tollhouse.tokens.encodings import OFF_LOOP_BYTES, encoding
from tollhouse.tokens.prompt import count_prompt
from tollhouse.upstream.auth import authorization
from tollhouse.upstream.client import Upstream, UpstreamRequest
from tollhouse.wire.format import Scan, WireFormat

_PATH = "/count_tokens"
_MAX_ANSWER_BYTES = 64 * 1024
_MOST_ASKED = 3
_HTTP_UNAUTHORIZED = 401


class Count(msgspec.Struct):
    """The answer; a provider's further fields are not ours to promise."""

    input_tokens: int


class Counting:
    """Answers requests to count tokens; they cost nothing and leave no record."""

    def __init__(
        self, admission: Admission, upstream: Upstream, formats: Mapping[str, WireFormat], around: Surroundings
    ) -> None:
        self._admission = admission
        self._upstream = upstream
        self._formats = formats
        self._around = around

    async def count(self, call: Call) -> bytes:
        """The body of the answer. Raises FaultError: invalid_request, unknown_model, model_not_allowed, and what a
        provider refuses of the request. A provider that cannot count, or cannot be reached, is stood in for by a
        count of our own in the model's encoding."""
        if call.principal is None:
            raise FaultError(Fault(kind=FaultKind.INVALID_KEY, source="client", message="The API key is missing."))
        wire_format = self._formats[call.voice.format_name]
        scan, asked = self._admission.read(call, call.principal, wire_format)
        resolved = self._admission.resolve(scan.peek.model, call.principal)
        for choice in self._choices(resolved, asked.preferences, wire_format.name):
            counted = await self._asked(call, wire_format, scan, resolved, choice)
            if counted is not None:
                return counted
        request, coding = wire_format.decode_request(scan), encoding(resolved.model.tokenizer)
        if coding.is_loaded and scan.size_bytes <= OFF_LOOP_BYTES:
            counted_here = count_prompt(request, coding)
        else:
            counted_here = await asyncio.to_thread(count_prompt, request, coding)
        return msgspec.json.encode(Count(input_tokens=counted_here))

    def _choices(self, resolved: Resolved, wanted: Preferences, format_name: str) -> list[Choice]:
        """Whom to ask, with which keys, in this order: who speaks the format, and is not known to be down."""
        around, now_s = self._around, self._around.clock_s()
        model = resolved.model
        view = View(
            lambda _: around.chance(), lambda one: around.health.measured(one, now_s), lambda one: price_at(model, one)
        )
        able = [one for one in model.deployments if one.format == format_name]
        spread = around.chance()
        found = [
            choice
            for deployment in order(able, model.strategy, wanted, view)
            for choice in around.health.ready(deployment, now_s, spread)
        ]
        return found[:_MOST_ASKED]

    async def _asked(
        self, call: Call, wire_format: WireFormat, scan: Scan, resolved: Resolved, choice: Choice
    ) -> bytes | None:
        deployment = choice.deployment
        provider = deployment.provider
        came = call.headers
        forwarded = tuple((name, came[name]) for name in wire_format.forwarded_headers if name in came)
        headers = (("content-type", "application/json"), ("accept", "application/json"), *forwarded, *provider.headers)
        model = msgspec.Raw(msgspec.json.encode(resolved.upstream_model(deployment)))
        request = UpstreamRequest(
            url=provider.base_url + wire_format.path + _PATH,
            headers=(*headers, *authorization(provider, headers, choice.key)),
            body=wire_format.rewrite(scan, {"model": model}, deployment.quirks),
            timeouts=deployment.timeouts,
            stream=False,
        )
        try:
            status, body = await self._exchange(request)
            if status == 200:
                return msgspec.json.encode(msgspec.json.decode(body, type=Count))
        except (FaultError, msgspec.DecodeError):
            return None
        fault = wire_format.decode_fault(status, (), body)
        if status == _HTTP_UNAUTHORIZED:
            # It is refused for calls as well. Other failures may be those of counting alone.
            self._around.health.failed(choice, fault, self._around.clock_s())
        if fault.kind in (FaultKind.INVALID_REQUEST, FaultKind.CONTEXT_LENGTH):
            raise FaultError(msgspec.structs.replace(fault, provider=provider.id))
        return None

    async def _exchange(self, request: UpstreamRequest) -> tuple[int, bytes]:
        answer = await self._upstream.send(request)
        try:
            body = b""
            while len(body) < _MAX_ANSWER_BYTES and (data := await answer.read()):
                body += data
            return answer.status, body
        finally:
            answer.close()
