"""Stages: the models of one call on its way out, each with its deployments in the order in which they are asked."""

from collections.abc import Callable, Sequence
from typing import assert_never

import msgspec

from tollhouse.catalog.entries import Deployment, Price
from tollhouse.ir.fault import FaultError, invalid_request
from tollhouse.relay.admission import Admitted
from tollhouse.relay.candidates import Candidate, charged_at, price_at
from tollhouse.relay.outgoing import Outgoing
from tollhouse.relay.outgoing_embeddings import EmbeddingsOutgoing
from tollhouse.relay.outgoing_images import ImagesOutgoing
from tollhouse.relay.way_out import EVERY_FORMAT, OnLoss, Spoken, WayOut
from tollhouse.routing.health import Health, Route
from tollhouse.routing.order import NO_PREFERENCES, View, order
from tollhouse.routing.plan import Stage
from tollhouse.routing.sticky import conversation, draw_for
from tollhouse.wire.format import AnswerPolicy


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What the attempts of every call share."""

    health: Health
    clock_s: Callable[[], float]
    chance: Callable[[], float]
    spoken: Spoken = EVERY_FORMAT


class Asking(msgspec.Struct, frozen=True):
    """One call on its way out to one model."""

    admitted: Admitted
    outgoing: WayOut
    policy: AnswerPolicy
    deployments: tuple[Deployment, ...]

    def answered_by(self, deployment: Deployment) -> Admitted:
        """The call as it stands once the deployment has answered: the model, its price there, and the hold by it."""
        admitted = self.admitted
        resolved = charged_at(admitted.resolved, deployment)
        version = resolved.model.price.version
        if resolved is admitted.resolved and version == admitted.hold.price_version:
            return admitted
        hold = msgspec.structs.replace(admitted.hold, price_version=version)
        return msgspec.structs.replace(admitted, resolved=resolved, hold=hold)


class Stages:
    """The stages of one call; what belongs to a model is made when the plan comes to it."""

    def __init__(self, admitted: Admitted, policy: AnswerPolicy, on_loss: OnLoss, around: Surroundings) -> None:
        self._admitted = admitted
        self._on_loss: OnLoss = on_loss
        self._around = around
        outgoing = _way_out(admitted, around.spoken, on_loss, policy)
        first = Asking(admitted, outgoing, policy, admitted.candidates.first.deployments)
        self._askings: dict[int, Asking] = {0: first}
        self._conversation: bytes | None = None
        if on_loss == "reject" and (losses := admitted.candidates.asked.losses):
            raise invalid_request(
                f"The gateway cannot grant {losses[0].path}: {losses[0].why}. Leave it out, or allow losses.",
                losses[0].path,
            )

    def stages(self, told: Callable[[], bool]) -> list[Stage]:
        """For a plan; once the caller was `told` which model answers, the others have nobody to ask.

        Asking the first one for its routes raises FaultError (invalid_request) when no deployment of the model can be
        asked for what the request says.
        """
        candidates = self._admitted.candidates
        found = [Stage(frozenset(), lambda: self._routes(self.asking(0)))]
        for number, candidate in enumerate(candidates.others, 1):
            found.append(Stage(candidate.reasons, self._later(number, told)))
        return found

    def asking(self, stage: int) -> Asking:
        """The call on its way to the model of a stage."""
        asking = self._askings.get(stage)
        if asking is None:
            asking = self._askings[stage] = self._asking_for(self._admitted.candidates.others[stage - 1])
        return asking

    def _asking_for(self, candidate: Candidate) -> Asking:
        resolved = candidate.resolved
        scan = self._admitted.scan
        # An answer names the model that gives it, also where a dialect echoes what was sent.
        named = msgspec.structs.replace(scan, peek=msgspec.structs.replace(scan.peek, model=resolved.slug))
        admitted = msgspec.structs.replace(self._admitted, resolved=resolved, scan=named)
        call = admitted.call
        policy = call.voice.policy(call.request_id, resolved.slug, named.peek)
        outgoing = _way_out(admitted, self._around.spoken, self._on_loss, policy)
        return Asking(admitted, outgoing, policy, candidate.deployments)

    def _later(self, stage: int, told: Callable[[], bool]) -> Callable[[], Sequence[Route]]:
        def routes() -> Sequence[Route]:
            if told():
                return ()
            try:
                return self._routes(self.asking(stage))
            except FaultError:
                # It cannot be asked for this; the failure of the model that was asked for is what counts.
                return ()

        return routes

    def _routes(self, asking: Asking) -> list[Route]:
        model = asking.admitted.resolved.model
        wanted = self._admitted.candidates.asked.preferences
        chosen = list(asking.deployments)
        now_s = self._around.clock_s()
        if len(chosen) > 1 or wanted is not NO_PREFERENCES:
            health = self._around.health
            view = View(self._draw(sticky=model.sticky), lambda one: health.measured(one, now_s), _prices(asking))
            chosen = order(chosen, model.strategy, wanted, view)
            if not chosen:
                whose = "'provider'" if self._admitted.principal.providers is None else "'provider' and the key's own"
                raise invalid_request(
                    f"No provider of the model {asking.admitted.resolved.slug} is left by {whose} (only, ignore, "
                    "order, max_price). Ask for less, or leave it out.",
                    "provider",
                )
        return self._around.health.routes(asking.outgoing.order(chosen), now_s)

    def _draw(self, *, sticky: bool) -> Callable[[Deployment], float]:
        sticky = sticky and self._admitted.format.operation == "chat"
        name = (self._conversation or conversation(self._admitted.scan.fields)) if sticky else None
        if name is None:
            return lambda _: self._around.chance()
        self._conversation = name
        return lambda one: draw_for(name, one.name)


def _prices(asking: Asking) -> Callable[[Deployment], Price]:
    return lambda one: price_at(asking.admitted.resolved.model, one)


def _way_out(admitted: Admitted, spoken: Spoken, on_loss: OnLoss, policy: AnswerPolicy) -> WayOut:
    """The one for what the model is asked for."""
    own = admitted.format
    match own.operation:
        case "chat":
            return Outgoing(admitted, own, spoken.chat, on_loss)
        case "embeddings":
            return EmbeddingsOutgoing(admitted, spoken.embeddings, policy)
        case "images":
            return ImagesOutgoing(admitted, own, spoken.images, on_loss)
        case _:
            assert_never(own.operation)
