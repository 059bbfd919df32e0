"""Alerts: what becomes of deployments and keys, told to the operator in metrics and log."""

from tollhouse.observe.logs import Log
from tollhouse.observe.provider_metrics import ProviderMetrics
from tollhouse.routing.breaker import State

_LEVELS = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


class Alerts:
    """A `HealthListener`."""

    def __init__(self, metrics: ProviderMetrics, log: Log) -> None:
        self._metrics = metrics
        self._log = log

    def breaker(self, deployment: str, key: int, state: State) -> None:
        """The breaker of a deployment and key has changed its state."""
        self._metrics.breaker(deployment, key, _LEVELS[state])
        if state is State.CLOSED:
            self._log.info("a deployment answers again", deployment=deployment, key_number=key + 1)
        else:
            self._log.warning("a deployment fails and is left alone", deployment=deployment, key_number=key + 1)

    def key(self, scope: str, key: int, *, dead: bool) -> None:
        """A key is refused, or taken again."""
        self._metrics.key_dead(scope, key, dead=dead)
        if dead:
            self._log.error("a provider refuses the gateway's key; renew it", refused_by=scope, key_number=key + 1)
        else:
            self._log.info("a provider takes the gateway's key again", taken_by=scope, key_number=key + 1)
