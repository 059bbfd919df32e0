"""Sticky: which conversation a request belongs to, so that a provider's prompt cache stays warm for it."""

import hashlib
from collections.abc import Mapping
from typing import cast

import msgspec

_TURNS = ("messages", "input")
_HEADS = ("system", "instructions")
_DIGEST_BYTES = 8

_items_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def conversation(fields: Mapping[str, msgspec.Raw]) -> bytes | None:
    """A stable name for the request's conversation, None when nothing tells one.

    `prompt_cache_key` is what callers say for just this. Otherwise it is the text of everything up to the first turn of
    the user, and `user`: later turns leave that as it is, and so does a `cache_control` that moves along.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    key = fields.get("prompt_cache_key")
    if key is not None and bytes(key) not in (b"null", b'""'):
        digest.update(bytes(key))
        return digest.digest()
    texts: list[str] = []
    for name in _HEADS:
        raw = fields.get(name)
        if raw is not None:
            _gather(_plain(raw), texts)
    for name in _TURNS:
        raw = fields.get(name)
        if raw is not None:
            _gather_turns(raw, texts)
    if not texts:
        return None
    user = fields.get("user")
    if user is not None:
        digest.update(bytes(user))
    for text in texts:
        digest.update(b"\0")
        digest.update(text.encode("utf-8", "replace"))
    return digest.digest()


def draw_for(name: bytes, deployment: str) -> float:
    """A number from 0 to 1 (never 0), always the same for a conversation and a deployment."""
    digest = hashlib.blake2b(deployment.encode(), key=name, digest_size=7).digest()
    return (int.from_bytes(digest) + 1) / 2**56


def _gather_turns(raw: msgspec.Raw, texts: list[str]) -> None:
    try:
        items = _items_decoder.decode(raw)
    except msgspec.DecodeError:
        # One text in place of a list.
        _gather(_plain(raw), texts)
        return
    for item in items:
        turn = _plain(item)
        _gather(turn, texts)
        if isinstance(turn, dict) and cast("dict[str, object]", turn).get("role") == "user":
            return


def _gather(value: object, texts: list[str]) -> None:
    """The texts of a turn, without its marks: roles and types are the same everywhere, `cache_control` moves."""
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, list):
        for part in cast("list[object]", value):
            _gather(part, texts)
    elif isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        for name in ("content", "text"):
            _gather(fields.get(name), texts)


def _plain(raw: msgspec.Raw) -> object:
    # The body was decoded before, so this is sound JSON.
    return msgspec.json.decode(raw)
