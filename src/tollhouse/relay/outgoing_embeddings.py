"""EmbeddingsOutgoing: a request for vectors on its way to deployments, which all speak the one format there is."""

from collections.abc import Mapping, Sequence

import msgspec

from tollhouse.catalog.entries import Deployment
from tollhouse.ir.loss import Loss
from tollhouse.relay.admission import Admitted
from tollhouse.wire.format import AnswerPolicy
from tollhouse.wire.openai_embeddings.format import OpenAIEmbeddings
from tollhouse.wire.pipe import Pipe


class EmbeddingsOutgoing:
    """WayOut for embeddings: the caller's own bytes but for the fields that must change, so nothing is ever lost."""

    def __init__(self, admitted: Admitted, formats: Mapping[str, OpenAIEmbeddings], policy: AnswerPolicy) -> None:
        self._admitted = admitted
        self._formats = formats
        self._policy = policy

    def format_of(self, deployment: Deployment) -> OpenAIEmbeddings:
        """The format that the deployment speaks."""
        return self._formats[deployment.format]

    def is_translated(self, deployment: Deployment) -> bool:
        """Never: there is no other format."""
        del deployment
        return False

    def losses(self, deployment: Deployment) -> tuple[Loss, ...]:
        """None."""
        del deployment
        return ()

    def order(self, deployments: Sequence[Deployment]) -> list[Deployment]:
        """As they come."""
        return list(deployments)

    def body(self, deployment: Deployment) -> bytes:
        """The body that the deployment is sent."""
        admitted = self._admitted
        fields = admitted.scan.fields
        changes = {name: value for name, value in admitted.call.voice.defaults().items() if name not in fields}
        changes["model"] = msgspec.Raw(msgspec.json.encode(admitted.resolved.upstream_model(deployment)))
        return self.format_of(deployment).rewrite(admitted.scan, changes, self._policy)

    def pipe(self, deployment: Deployment, policy: AnswerPolicy, losses: list[Loss]) -> Pipe:
        """The pipe for the deployment's answer."""
        del losses
        return self.format_of(deployment).pipe(policy, self._admitted.scan.peek)
