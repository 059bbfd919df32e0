"""What a key says of the providers that its calls may go to, and how a request's own wishes fit into it."""

import functools

import msgspec

from tollhouse.ir.fault import invalid_request
from tollhouse.routing.asked import Asked, read_provider
from tollhouse.routing.order import MaxPrice, Preferences

_FIELDS = frozenset({"order", "only", "ignore", "sort", "max_price"})


def read_key_wishes(document: str) -> Preferences:
    """A key's wishes, written as the `provider` object of a request with `order`, `only`, `ignore`, `sort` and
    `max_price`. Raises FaultError (invalid_request) naming the field."""
    try:
        given = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        raise invalid_request("A key's providers must be a JSON object.", "provider") from None
    for name in given:
        if name not in _FIELDS:
            raise invalid_request(f"A key cannot have 'provider.{name}': {', '.join(sorted(_FIELDS))} it can.", name)
    preferences, _ = read_provider(msgspec.Raw(document.encode()))
    return preferences


# As many as keys are remembered with their principals; most have none, or the same.
_known = functools.lru_cache(maxsize=10_000)(read_key_wishes)


def within_key(asked: Asked, document: str) -> Asked:
    """A request's own routing inside of what its key allows. The request narrows the choice and never widens it; a
    request that names an `order` or a `sort` decides the order by itself. Raises FaultError (invalid_request) when it
    asks for none but providers that the key may not use."""
    return msgspec.structs.replace(asked, preferences=_within(asked.preferences, _known(document)))


def _within(own: Preferences, of_key: Preferences) -> Preferences:
    only = own.only or of_key.only
    if own.only and of_key.only:
        only = tuple(name for name in own.only if name in of_key.only)
        if not only:
            raise invalid_request(
                "'provider.only' names none of the providers that this key may use. Leave it out, or use another key.",
                "provider.only",
            )
    decides = bool(own.order) or own.sort is not None
    return Preferences(
        order=own.order if decides else of_key.order,
        only=only,
        ignore=tuple(dict.fromkeys((*of_key.ignore, *own.ignore))),
        sort=own.sort if decides else of_key.sort,
        max_price=MaxPrice(
            prompt=_least(own.max_price.prompt, of_key.max_price.prompt),
            completion=_least(own.max_price.completion, of_key.max_price.completion),
            image=_least(own.max_price.image, of_key.max_price.image),
        ),
        fallbacks=own.fallbacks,
    )


def _least(own: float | None, of_key: float | None) -> float | None:
    given = [bound for bound in (own, of_key) if bound is not None]
    return min(given, default=None)
