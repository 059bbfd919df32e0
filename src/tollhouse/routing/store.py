"""RulesStore: what routing rules need of a store: versions that stay, and a record of which held from when."""

from typing import Protocol

import msgspec


class StoredRules(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the rules as it was handed in. Times are Unix milliseconds."""

    version: int
    document: str
    author: str
    created_at_ms: int


class Activation(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the version in force. `number` counts up; `version` None stands for the configuration's rules."""

    number: int
    version: int | None
    author: str
    at_ms: int


class RulesStore(Protocol):
    """Every method raises FaultError (books_unavailable) when the store cannot be read or written."""

    async def add(self, document: str, author: str, now_ms: int, *, activate: bool) -> StoredRules:
        """Keep a document under the next version, from 1 on; `activate` puts it in force in the same commit."""
        ...

    async def versions(self) -> list[StoredRules]:
        """All, oldest first."""
        ...

    async def version(self, version: int) -> StoredRules | None:
        """One of them."""
        ...

    async def activation(self) -> Activation | None:
        """The newest, None while nothing was ever activated; asked several times a second."""
        ...

    async def activate(self, version: int | None, author: str, now_ms: int) -> Activation:
        """Put a version in force, or the configuration's rules for None. Raises FaultError (invalid_request) when
        there is no such version."""
        ...

    async def roll_back(self, author: str, now_ms: int) -> Activation:
        """Put in force what held before the newest activation; again and again this goes further back. Raises
        FaultError (invalid_request) when nothing held before."""
        ...
