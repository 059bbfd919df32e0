"""Which rules a command works with: those of a file, else those in force on the data folder."""

import argparse
from pathlib import Path

from tollhouse.catalog.problems import CatalogError
from tollhouse.cli.books import settings_of, with_books
from tollhouse.ir.fault import Fault, FaultError, FaultKind, invalid_request
from tollhouse.relay.rules_in_force import configured_rules, stored_rules
from tollhouse.routing.rules import BrokenRules, Rules, RuleSet
from tollhouse.routing.rules_document import read_rules
from tollhouse.stores.database import FILE_NAME
from tollhouse.stores.store import Store


def read_text(path: Path) -> str:
    """A file's text. Raises FaultError (invalid_request)."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise invalid_request(f"{path} is not UTF-8 text.") from error
    except OSError as error:
        raise invalid_request(f"{path} cannot be read ({error.strerror}).") from error


def checked_rules(text: str, name: str, version: str) -> RuleSet:
    """The rules that a text spells out. Raises FaultError (invalid_request) with all that is wrong, by line."""
    try:
        return read_rules(text, name, version)
    except CatalogError as error:
        lines = "\n".join(map(str, error.problems))
        raise invalid_request(f"The rules cannot be used.\n{lines}") from error


def rules_of(args: argparse.Namespace, path: Path | None) -> RuleSet:
    """The rules of the file at `path`, else those in force. Raises FaultError and SettingsError."""
    if path is not None:
        return checked_rules(read_text(path), str(path), path.name)
    rules = _in_force(args)
    if isinstance(rules, BrokenRules):
        message = f"The rules in force (version {rules.version}) cannot be used: {rules.why}."
        raise FaultError(Fault(kind=FaultKind.SMART_ROUTING, source="policy", message=message))
    return rules


def _in_force(args: argparse.Namespace) -> Rules:
    settings = settings_of(args)
    configured = configured_rules(settings.routing_rules, demo=settings.demo)
    if not (settings.data_dir / FILE_NAME).exists():
        return configured

    async def work(store: Store) -> Rules:
        newest = await store.rules.activation()
        if newest is None or newest.version is None:
            return configured
        stored = await store.rules.version(newest.version)
        return configured if stored is None else stored_rules(stored)

    return with_books(args, work)
