"""Rules in force: stored beat configured, a store that fails changes nothing, and what is broken is told."""

import asyncio
import io
from pathlib import Path
from typing import ClassVar

import pytest

from tollhouse.catalog.entries import Catalog
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.observe.logs import Log, Redaction
from tollhouse.relay.rules_in_force import NO_RULES, RulesInForce, configured_rules
from tollhouse.routing.rules import BrokenRules, RuleSet
from tollhouse.routing.store import Activation, StoredRules
from tollhouse.tokens.encodings import encoding

GOOD = "tool: {model: a/b}\ntokenizer: gpt_oss\n"


class FakeStore:
    """One stored version of each kind; `fails` makes every look-up fail."""

    documents: ClassVar = {1: GOOD, 2: "tool: ["}

    def __init__(self) -> None:
        self.newest: Activation | None = None
        self.fails = False
        self.read = 0

    async def activation(self) -> Activation | None:
        if self.fails:
            raise FaultError(Fault(kind=FaultKind.BOOKS_UNAVAILABLE, message="no"))
        return self.newest

    async def version(self, version: int) -> StoredRules | None:
        self.read += 1
        document = self.documents.get(version)
        if document is None:
            return None
        return StoredRules(version=version, document=document, author="ada", created_at_ms=0)

    def activate(self, version: int | None) -> None:
        number = 1 if self.newest is None else self.newest.number + 1
        self.newest = Activation(number=number, version=version, author="ada", at_ms=0)


def test_what_was_activated_last_holds() -> None:
    out = io.BytesIO()
    store = FakeStore()
    configured = RuleSet(version="file-1", tokenizer="bytes")
    rules = RulesInForce(configured, store, lambda: Catalog({}, ()), Log("info", Redaction([]), out))  # type: ignore[arg-type]

    async def story() -> None:
        await rules.begin()
        assert rules.current() is configured
        store.activate(1)
        store.fails = True
        with pytest.raises(FaultError):
            await rules.refresh()
        assert rules.current() is configured
        store.fails = False
        await rules.refresh()
        assert rules.current().version == "1"
        assert encoding("gpt_oss").is_loaded, "the first call would wait for it"
        await rules.refresh()
        assert store.read == 1, "nothing is read while nothing changes"
        for version in (2, 9):
            store.activate(version)
            await rules.refresh()
            assert isinstance(rules.current(), BrokenRules)
            assert rules.current().version == str(version)
        store.activate(None)
        await rules.refresh()
        assert rules.current() is configured

    asyncio.run(story())
    told = out.getvalue().decode()
    assert "a/b cannot be called" in told
    assert "version 2:" in told


def test_where_configured_rules_come_from(tmp_path: Path) -> None:
    demo = configured_rules(None, demo=True)
    assert isinstance(demo, RuleSet)
    assert demo.version.startswith("demo-")
    none = configured_rules(None, demo=False)
    assert isinstance(none, BrokenRules)
    assert none.version == NO_RULES
    file = tmp_path / "rules.yaml"
    file.write_text(GOOD)
    first = configured_rules(file, demo=True)
    assert isinstance(first, RuleSet)
    file.write_text(GOOD + "margin_percent: 5\n")
    assert configured_rules(file, demo=True).version != first.version
    file.write_bytes(b"\xff\xfe")
    assert isinstance(configured_rules(file, demo=True), BrokenRules)
