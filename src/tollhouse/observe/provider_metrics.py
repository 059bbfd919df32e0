"""ProviderMetrics: what providers and their keys are like; labels come from the catalogue."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class ProviderMetrics:
    """A part of `Metrics`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "tollhouse_attempts_total", "Attempts by outcome.", ("provider", "outcome"), registry=registry
        )
        self._ended: dict[tuple[str, str], Counter] = {}
        self._breakers = Gauge(
            "tollhouse_breaker_state",
            "Whether a deployment is left alone because it fails: 0 no, 1 it is being tried, 2 yes.",
            ("deployment", "key"),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._dead_keys = Gauge(
            "tollhouse_provider_key_dead",
            "1 while a provider, or one deployment of it, refuses a key of ours. Alert on it.",
            ("scope", "key"),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._key_deaths = Counter(
            "tollhouse_provider_key_deaths_total",
            "How often a key of ours began to be refused.",
            ("scope", "key"),
            registry=registry,
        )
        self._retries_denied = Counter(
            "tollhouse_retries_denied_total",
            "Failed calls that were not tried again because the budget of retries was used up.",
            ("model",),
            registry=registry,
        )

    def attempt(self, provider: str, outcome: str) -> None:
        """Count one attempt."""
        child = self._ended.get((provider, outcome))
        if child is None:
            child = self._ended[provider, outcome] = self._attempts.labels(provider, outcome)
        child.inc()

    def breaker(self, deployment: str, key: int, level: int) -> None:
        """A deployment with its key (counted from 0) is left alone (2), tried (1), or neither (0)."""
        self._breakers.labels(deployment, str(key + 1)).set(level)

    def key_dead(self, scope: str, key: int, *, dead: bool) -> None:
        """A provider or deployment has begun to refuse a key (counted from 0), or takes it again."""
        self._dead_keys.labels(scope, str(key + 1)).set(1 if dead else 0)
        if dead:
            self._key_deaths.labels(scope, str(key + 1)).inc()

    def retry_denied(self, model_label: str) -> None:
        """A failed call was not tried again for want of retries."""
        self._retries_denied.labels(model_label).inc()
