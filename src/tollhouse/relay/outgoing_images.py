"""ImagesOutgoing: a wish for pictures on its way to deployments, each of which gets it in its own format."""

from collections.abc import Mapping, Sequence

import msgspec

from tollhouse.catalog.entries import Deployment
from tollhouse.ir.images import ImagesAsked
from tollhouse.ir.loss import Loss
from tollhouse.relay.admission import Admitted
from tollhouse.relay.way_out import OnLoss, soundest
from tollhouse.wire.format import AnswerPolicy
from tollhouse.wire.images import ImagesFormat, ImagesPipe
from tollhouse.wire.openai_images.format import OpenAIImages
from tollhouse.wire.pipe import Pipe
from tollhouse.wire.quirks import Quirks


class ImagesOutgoing:
    """WayOut for pictures: the request is read once, and encoded once for each kind of deployment."""

    def __init__(
        self, admitted: Admitted, own: OpenAIImages, formats: Mapping[str, ImagesFormat], on_loss: OnLoss
    ) -> None:
        self._admitted = admitted
        self._own = own
        self._formats = formats
        self._on_loss: OnLoss = on_loss
        self._request = own.decode_request(admitted.scan, admitted.call.voice.defaults())
        self._encoded: dict[tuple[str, str, Quirks], tuple[bytes, tuple[Loss, ...]]] = {}

    def format_of(self, deployment: Deployment) -> ImagesFormat:
        """The format that the deployment speaks."""
        return self._formats[deployment.format]

    def is_translated(self, deployment: Deployment) -> bool:
        """Whether the deployment speaks another format than the caller."""
        return deployment.format != self._own.name

    def losses(self, deployment: Deployment) -> tuple[Loss, ...]:
        """What the deployment cannot be told."""
        return self._told(deployment)[1]

    def order(self, deployments: Sequence[Deployment]) -> list[Deployment]:
        """Those that lose nothing first. Raises FaultError (invalid_request) when losses are to be refused, and each of
        them would lose something."""
        return soundest(deployments, self.losses, self._on_loss)

    def body(self, deployment: Deployment) -> bytes:
        """The body that the deployment is sent."""
        return self._told(deployment)[0]

    def pipe(self, deployment: Deployment, policy: AnswerPolicy, losses: list[Loss]) -> Pipe:
        """The pipe for the deployment's answer."""
        del policy, losses
        asked = self._admitted.scan.peek.images or ImagesAsked()
        return ImagesPipe(self.format_of(deployment), self._own, asked)

    def _told(self, deployment: Deployment) -> tuple[bytes, tuple[Loss, ...]]:
        upstream_model = self._admitted.resolved.upstream_model(deployment)
        kind = (deployment.format, upstream_model, deployment.quirks)
        known = self._encoded.get(kind)
        if known is None:
            losses: list[Loss] = []
            request = msgspec.structs.replace(self._request, model=upstream_model)
            body = self.format_of(deployment).encode_request(request, losses, deployment.quirks)
            known = self._encoded[kind] = body, tuple(losses)
        return known
