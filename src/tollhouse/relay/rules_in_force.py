"""RulesInForce: the routing rules that hold now, stored or configured, looked at again several times a second."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

from tollhouse.catalog.entries import Catalog
from tollhouse.catalog.load import DEFAULT_PATH
from tollhouse.catalog.problems import CatalogError
from tollhouse.observe.logs import Log
from tollhouse.routing.gaps import gaps
from tollhouse.routing.rules import BrokenRules, Rules, RuleSet
from tollhouse.routing.rules_document import read_rules
from tollhouse.routing.store import RulesStore, StoredRules
from tollhouse.tokens.encodings import encoding

REFRESH_S = 0.4
"""How often the store is asked whether another version was activated: one look-up by key."""
DEMO_PATH = DEFAULT_PATH.with_name("routing.yaml")

NO_RULES = "none"
"""The version where there are none."""

_DEMO = "demo"
_DIGEST_CHARS = 12


def configured_rules(path: Path | None, *, demo: bool) -> Rules:
    """The rules that hold while none are stored: those of the file, else on a demo the shipped ones, else none.

    A file that cannot be used is told of where a call needs it, not by a start that fails. The version is a short
    digest of the text.
    """
    if path is None and not demo:
        why = "no routing rules are set: name a file in `routing_rules`, or store one with `tollhouse route set`"
        return BrokenRules(version=NO_RULES, why=why)
    chosen, kind = (DEMO_PATH, _DEMO) if path is None else (path, "file")
    try:
        text = chosen.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return BrokenRules(version=kind, why=f"{chosen}: the file is not UTF-8 text")
    except OSError as error:
        return BrokenRules(version=kind, why=f"{chosen}: the file cannot be read ({error.strerror})")
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARS]
    return _read(text, str(chosen), f"{kind}-{digest}")


def stored_rules(stored: StoredRules) -> Rules:
    """A stored version as rules; one that this release cannot read is broken."""
    return _read(stored.document, f"version {stored.version}", str(stored.version))


class RulesInForce:
    """What holds now. `refresh` is called again and again; between two calls nothing is looked up."""

    def __init__(self, configured: Rules, store: RulesStore, catalog: Callable[[], Catalog], log: Log) -> None:
        self._configured = configured
        self._store = store
        self._catalog = catalog
        self._log = log
        self._number: int = 0
        self._rules: Rules = configured

    def current(self) -> Rules:
        """The rules for a call that comes now."""
        return self._rules

    async def begin(self) -> None:
        """Take over what is in force, and say what it lacks. Raises FaultError (books_unavailable)."""
        await self._take_over()
        self._tell()

    async def refresh(self) -> None:
        """Take over what was activated since. Raises FaultError (books_unavailable); what held goes on then."""
        if await self._take_over():
            self._log.info("other routing rules are in force", version=self._rules.version)
            self._tell()
        await self._make_ready()

    async def _take_over(self) -> bool:
        newest = await self._store.activation()
        number = 0 if newest is None else newest.number
        if number == self._number:
            return False
        rules = self._configured
        if newest is not None and newest.version is not None:
            stored = await self._store.version(newest.version)
            why = "the activated version is not in the store"
            rules = BrokenRules(version=str(newest.version), why=why) if stored is None else stored_rules(stored)
        self._rules, self._number = rules, number
        return True

    async def _make_ready(self) -> None:
        """Load the vocabulary, which takes up to a second; where there is but a demo, the first call that needs it
        does."""
        rules = self._rules
        if isinstance(rules, RuleSet) and not rules.version.startswith(_DEMO):
            coding = encoding(rules.tokenizer)
            if not coding.is_loaded:
                await asyncio.to_thread(coding.count_text, "The first text.")

    def _tell(self) -> None:
        """Log what the operator should know; a gateway without rules of its operator's is none of his concern."""
        rules = self._rules
        if isinstance(rules, BrokenRules):
            if rules.version != NO_RULES:
                self._log.warning("the routing rules cannot be used", version=rules.version, why=rules.why)
        elif not rules.version.startswith(_DEMO):
            for gap in gaps(rules, self._catalog()):
                self._log.warning(f"the routing rules: {gap}", version=rules.version)


def _read(text: str, name: str, version: str) -> Rules:
    try:
        return read_rules(text, name, version)
    except CatalogError as error:
        return BrokenRules(version=version, why="; ".join(map(str, error.problems)))
