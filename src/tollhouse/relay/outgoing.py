"""Outgoing: a chat request as each deployment gets it, in the deployment's own format, and the answer's way back."""

from collections.abc import Mapping, Sequence

import msgspec

from tollhouse.catalog.entries import Deployment
from tollhouse.ir.fault import invalid_request
from tollhouse.ir.loss import Loss
from tollhouse.ir.request import ChatRequest
from tollhouse.relay.admission import Admitted
from tollhouse.relay.candidates import left_out
from tollhouse.relay.way_out import OnLoss, soundest
from tollhouse.tokens.bounds import likely_prompt_tokens
from tollhouse.wire.custom_tools import asked_as_functions, names_of
from tollhouse.wire.envelope import may_hold_envelope, request_taken_back
from tollhouse.wire.format import AnswerPolicy, Scan, WireFormat
from tollhouse.wire.gathering import open_gathering
from tollhouse.wire.pipe import Pipe, open_pipe
from tollhouse.wire.quirks import Quirks
from tollhouse.wire.tool_groups import grouped_names
from tollhouse.wire.translation import Made, open_translation


class Outgoing:
    """WayOut for chat, whose caller speaks `own`; what does not depend on the deployment is made once per format.

    A deployment of the caller's own format gets his very bytes but for the fields that must change. Any other gets a
    translation, and so does everybody when the request holds reasoning in an envelope of ours.
    """

    def __init__(self, admitted: Admitted, own: WireFormat, formats: Mapping[str, WireFormat], on_loss: OnLoss) -> None:
        self._admitted = admitted
        self._own = own
        self._formats = formats
        self._on_loss: OnLoss = on_loss
        self._sealed = may_hold_envelope(admitted.call.body)
        self._request: ChatRequest | None = admitted.request
        self._encoded: dict[tuple[str, str, Quirks], tuple[bytes, tuple[Loss, ...]]] = {}

    def format_of(self, deployment: Deployment) -> WireFormat:
        """The format that the deployment speaks."""
        return self._formats[deployment.format]

    def is_translated(self, deployment: Deployment) -> bool:
        """Whether answers of the deployment have to be translated back."""
        return deployment.format != self._own.name

    def losses(self, deployment: Deployment) -> tuple[Loss, ...]:
        """What the deployment's format cannot say of the request, or the deployment is not told of it."""
        if self.is_translated(deployment):
            return self._translated(deployment)[1]
        left = self._left_out(deployment)
        lost = () if not left else self._own.without_tools(self._admitted.scan, left)[1]
        unpriced = tuple(Loss(path=path, why="the provider's own tool has no price here") for path in lost)
        return (*self._translated(deployment)[1], *unpriced) if self._sealed else unpriced

    def order(self, deployments: Sequence[Deployment]) -> list[Deployment]:
        """The deployments to ask, those that lose nothing first; among equals the order stays.

        Raises FaultError (invalid_request) when each of them would lose something and losses are to be refused, or
        when several answers are asked for, or turns that a provider keeps, and only a translation could give them.
        """
        formats = {deployment.format for deployment in deployments}
        peek = self._admitted.scan.peek
        if formats == {self._own.name} and not self._sealed and not peek.spare_tools:
            return list(deployments)
        able = [one for one in deployments if self._can_give_all_choices(one)]
        if peek.keeps_turns:
            able = [one for one in able if not self.is_translated(one)]
        if not able and peek.keeps_turns:
            raise invalid_request(
                "The conversation is kept by a provider that this model does not have, and no responses are kept here. "
                "Send the whole conversation in the request.",
                "conversation",
            )
        if not able:
            raise invalid_request(
                "n must be 1 for this model: its provider speaks a format with one answer per call. Send n calls.", "n"
            )
        if len(formats) == 1 and self._on_loss == "report" and not peek.spare_tools:
            return able
        return soundest(able, self.losses, self._on_loss)

    def body(self, deployment: Deployment) -> bytes:
        """The body that the deployment is sent."""
        admitted = self._admitted
        if self._sealed or self.is_translated(deployment):
            target = self.format_of(deployment)
            scan = target.scan(self._translated(deployment)[0])
            return target.rewrite(scan, self._tools_left(deployment, scan), deployment.quirks)
        fields = admitted.scan.fields
        changes = {name: value for name, value in admitted.call.voice.defaults().items() if name not in fields}
        if admitted.injected_limit is not None:
            changes[self._own.output_limit_field] = msgspec.Raw(str(admitted.injected_limit).encode())
        changes["model"] = msgspec.Raw(msgspec.json.encode(admitted.resolved.upstream_model(deployment)))
        changes |= self._tools_left(deployment, admitted.scan)
        return self._own.rewrite(admitted.scan, changes, deployment.quirks)

    def pipe(self, deployment: Deployment, policy: AnswerPolicy, losses: list[Loss]) -> Pipe:
        """The pipe for the deployment's answer; it adds to `losses` what it cannot carry over."""
        admitted = self._admitted
        if not self.is_translated(deployment):
            return open_pipe(self._own, policy, admitted.scan.peek)
        call, request = admitted.call, self._decoded()
        made = Made(
            id=policy.answer_id or call.request_id,
            created=call.started_at_ms // 1000,
            creator=admitted.resolved.model.creator.slug,
            custom_tools=names_of(request) if self._has_functions_only(deployment) else frozenset(),
            losses=losses,
            grouped=grouped_names(request.tools or ()),
            input_tokens=likely_prompt_tokens(call.body) if admitted.scan.peek.stream else 0,
        )
        opener = open_gathering if admitted.calls(deployment) > 1 else open_translation
        return opener(self.format_of(deployment), self._own, policy, admitted.scan.peek, made)

    def _translated(self, deployment: Deployment) -> tuple[bytes, tuple[Loss, ...]]:
        """The request in the deployment's format, and what was lost on the way there; encoded once."""
        name, quirks = deployment.format, deployment.quirks
        upstream_model = self._admitted.resolved.upstream_model(deployment)
        functions_only = self._has_functions_only(deployment)
        known = self._encoded.get((name, upstream_model, quirks))
        if known is not None:
            return known
        losses: list[Loss] = []
        model = self._admitted.resolved.model
        request = request_taken_back(self._decoded(), model.creator.slug, name, losses)
        if functions_only:
            request = asked_as_functions(request, losses)
        if self._admitted.calls(deployment) > 1:
            request = msgspec.structs.replace(request, choices=None)
        target = self._formats[name]
        limit = self._admitted.injected_limit or request.output_limit
        if limit is None and target.needs_output_limit:
            limit = model.max_output_tokens or None
        request = msgspec.structs.replace(request, model=upstream_model, output_limit=limit)
        encoded = target.encode_request(request, losses, quirks), tuple(losses)
        self._encoded[name, upstream_model, quirks] = encoded
        return encoded

    def _left_out(self, deployment: Deployment) -> frozenset[str]:
        """The provider's own tools that are not to reach it."""
        if not self._admitted.scan.peek.spare_tools or self.is_translated(deployment):
            return frozenset()
        return left_out(self._admitted.resolved.model, deployment, self._admitted.scan)

    def _tools_left(self, deployment: Deployment, scan: Scan) -> dict[str, msgspec.Raw]:
        """The change of `tools` in a request of the caller's format, if there is one."""
        left = self._left_out(deployment)
        return {"tools": self._own.without_tools(scan, left)[0]} if left else {}

    def _can_give_all_choices(self, deployment: Deployment) -> bool:
        choices = self._admitted.scan.peek.choices
        return not self.is_translated(deployment) or choices == 1 or self._admitted.calls(deployment) == choices

    def _decoded(self) -> ChatRequest:
        if self._request is None:
            self._request = self._own.decode_request(self._admitted.scan)
        return self._request

    def _has_functions_only(self, deployment: Deployment) -> bool:
        """Whether custom tools go as functions; callers of the provider's own format say what they mean."""
        custom = self.format_of(deployment).custom_tools and deployment.quirks.custom_tools
        return self.is_translated(deployment) and not custom
