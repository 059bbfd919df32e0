"""One list of models that the OpenAI and the Anthropic SDKs both read: each takes its own fields of an entry."""

import datetime
from collections.abc import Sequence
from typing import Literal, TypedDict

import msgspec

from tollhouse.catalog.entries import Model


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What both SDKs need of one model; `created` is in Unix seconds, `created_at` RFC 3339."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    type: Literal["model"] = "model"
    display_name: str
    created_at: str


class EntryFields(TypedDict):
    """The arguments of an Entry, for dialects whose entries have more."""

    id: str
    created: int
    owned_by: str
    display_name: str
    created_at: str


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The whole list, as one page; `data` holds entries."""

    object: str = "list"
    data: Sequence[Entry]
    has_more: bool = False
    first_id: str | None
    last_id: str | None


def entry_fields(model: Model, name: str) -> EntryFields:
    """What an entry says of `model` under one of its names."""
    released = _released(model.release_date)
    return EntryFields(
        id=name,
        created=int(released.timestamp()),
        owned_by=model.creator.slug,
        display_name=model.name,
        created_at=released.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def page(entries: Sequence[Entry]) -> Page:
    """The list of these models."""
    return Page(
        data=entries,
        first_id=entries[0].id if entries else None,
        last_id=entries[-1].id if entries else None,
    )


def _released(date: str) -> datetime.datetime:
    """Midnight UTC of an ISO date; the epoch when the catalogue does not know one."""
    try:
        day = datetime.date.fromisoformat(date)
    except ValueError:
        day = datetime.date(1970, 1, 1)
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC)
