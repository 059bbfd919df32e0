"""Deployments out of thin air, and what tests of routing listen with."""

from tollhouse.catalog.entries import Deployment, Price, Provider
from tollhouse.routing.breaker import State


def deployment(name: str, *, order: int = 0, weight: int = 1, keys: int = 1, price: Price | None = None) -> Deployment:
    """One at a provider of that name."""
    more = tuple(f"key-{number}" for number in range(1, keys))
    provider = Provider(id=name, format="openai_chat", base_url="http://127.0.0.1:1", api_key="key-0", more_keys=more)
    return Deployment(provider=provider, upstream_model="m", order=order, weight=weight, price=price)


class Deaf:
    """A `HealthListener` that does not listen."""

    def breaker(self, deployment: str, key: int, state: State) -> None:
        """It does not."""

    def key(self, scope: str, key: int, *, dead: bool) -> None:
        """It does not."""


class Heard:
    """A `HealthListener` that remembers."""

    def __init__(self) -> None:
        self.breakers: list[tuple[str, int, State]] = []
        self.keys: list[tuple[str, int, bool]] = []

    def breaker(self, deployment: str, key: int, state: State) -> None:
        """Remembered."""
        self.breakers.append((deployment, key, state))

    def key(self, scope: str, key: int, *, dead: bool) -> None:
        """Remembered."""
        self.keys.append((scope, key, dead))
