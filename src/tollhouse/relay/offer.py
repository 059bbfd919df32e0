"""Offer: what callers can ask for: the catalogue, and the rules that choose from it."""

from pathlib import Path

import msgspec

from tollhouse.catalog.entries import Catalog
from tollhouse.observe.logs import Log
from tollhouse.relay.choosing import Chooser
from tollhouse.relay.rules_in_force import REFRESH_S, RulesInForce, configured_rules
from tollhouse.relay.upkeep import Chore, Upkeep
from tollhouse.routing.store import RulesStore


class RulesSource(msgspec.Struct, frozen=True):
    """Where rules come from: those of the store, else of a file, else on a demo the shipped ones."""

    store: RulesStore
    file: Path | None
    demo: bool


class Offer(msgspec.Struct, frozen=True):
    """The catalogue, and rules that are kept up with while the gateway runs."""

    catalog: Catalog
    chooser: Chooser
    watch: Upkeep

    @classmethod
    async def open(cls, catalog: Catalog, source: RulesSource, log: Log) -> "Offer":
        """Begin to watch the rules. Raises FaultError (books_unavailable)."""
        rules = RulesInForce(configured_rules(source.file, demo=source.demo), source.store, lambda: catalog, log)
        await rules.begin()
        watch = Upkeep((Chore("look for other routing rules", REFRESH_S, rules.refresh),), log)
        watch.start()
        return cls(catalog, Chooser(rules.current, lambda: catalog), watch)

    async def close(self) -> None:
        """Watch no longer."""
        await self.watch.stop()
