"""WayOut: one call's request as each deployment gets it, and the pipe for what comes back; one kind for each thing that
a model can be asked for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from tollhouse.catalog.entries import Deployment
from tollhouse.ir.fault import invalid_request
from tollhouse.ir.loss import Loss
from tollhouse.wire.format import AnswerPolicy, UpstreamFormat, WireFormat
from tollhouse.wire.images import ImagesFormat
from tollhouse.wire.openai_embeddings.format import OpenAIEmbeddings
from tollhouse.wire.pipe import Pipe
from tollhouse.wire.registry import EMBEDDINGS, FORMATS, IMAGES

OnLoss = Literal["report", "reject"]

_NAMED_LOSSES = 20


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """The formats in which deployments are asked, by name, for each thing that a model can be asked for."""

    chat: Mapping[str, WireFormat]
    embeddings: Mapping[str, OpenAIEmbeddings]
    images: Mapping[str, ImagesFormat]


EVERY_FORMAT = Spoken(
    chat={form.name: form for form in FORMATS},
    embeddings={EMBEDDINGS.name: EMBEDDINGS},
    images={form.name: form for form in IMAGES},
)


class WayOut(Protocol):
    """What does not depend on the deployment is made once."""

    def format_of(self, deployment: Deployment) -> UpstreamFormat:
        """The format that the deployment speaks."""
        ...

    def is_translated(self, deployment: Deployment) -> bool:
        """Whether the deployment speaks another format than the caller."""
        ...

    def losses(self, deployment: Deployment) -> tuple[Loss, ...]:
        """What the deployment's format cannot say of the request."""
        ...

    def order(self, deployments: Sequence[Deployment]) -> list[Deployment]:
        """The deployments to ask, those that lose nothing first; among equals the order stays. Raises FaultError
        (invalid_request) when none may be asked."""
        ...

    def body(self, deployment: Deployment) -> bytes:
        """The body that the deployment is sent."""
        ...

    def pipe(self, deployment: Deployment, policy: AnswerPolicy, losses: list[Loss]) -> Pipe:
        """The pipe for the deployment's answer; it adds to `losses` what it cannot carry over."""
        ...


def soundest(
    able: Sequence[Deployment], losses: Callable[[Deployment], Sequence[Loss]], on_loss: OnLoss
) -> list[Deployment]:
    """Those that lose nothing first; only those where losses are to be refused. Raises FaultError (invalid_request)
    when none is left."""
    sound = [one for one in able if not losses(one)]
    if sound or on_loss == "report":
        lossy = [one for one in able if one not in sound] if on_loss == "report" else []
        return [*sound, *lossy]
    lost = losses(able[0])[:_NAMED_LOSSES]
    named = [f"{loss.path} ({loss.why})" for loss in lost]
    raise invalid_request(
        f"The model's provider cannot be told of {', '.join(named)}. "
        "Leave that out, choose another model, or allow losses.",
        lost[0].path,
    )
