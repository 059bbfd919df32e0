"""Deployments out of thin air, and what tests of routing listen with."""

import json
from typing import Any

from support.gateway import RunningGateway
from tollhouse.accounts.change import Change
from tollhouse.accounts.keys import digest
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


def prefer_providers(running: RunningGateway, key: str, **wishes: Any) -> None:
    """Give a key wishes of its own about providers, in place of those that it has; none for no wish."""

    async def work() -> None:
        store = running.gateway.store
        found = await store.principal(digest(key))
        assert found is not None
        change = Change(at_ms=1, actor="test")
        await store.quotas.prefer_providers(found.key_id, json.dumps(wishes) if wishes else None, change)

    running.do(work())
