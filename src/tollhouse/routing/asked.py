"""Asked: what a request says about its own routing, in the words that callers of OpenRouter know, taken out of it."""

from collections.abc import Mapping
from typing import Annotated, Literal, NoReturn

import msgspec

from tollhouse.catalog.entries import Catalog, Strategy
from tollhouse.ir.fault import invalid_request
from tollhouse.ir.loss import Loss
from tollhouse.routing.order import NO_PREFERENCES, MaxPrice, Preferences
from tollhouse.wire.format import Scan

_PROVIDER, _MODELS = "provider", "models"
_MOST_NAMES = 32
_WHERE = " - at `$"

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
_Names = Annotated[list[_Name], msgspec.Meta(max_length=_MOST_NAMES)]
_Usd = Annotated[float, msgspec.Meta(ge=0)]
_Sort = Literal["price", "throughput", "latency"]

_STRATEGIES: Mapping[str, Strategy] = {"price": "cheapest", "throughput": "fastest", "latency": "fastest"}
_PROMISES = ("zdr", "enforce_distillable_text")
"""What would have to be kept by whoever is asked; the catalogue does not know who keeps it."""


class _SortBy(msgspec.Struct):
    by: _Sort


class _MaxPrice(msgspec.Struct):
    prompt: _Usd | None = None
    completion: _Usd | None = None
    image: _Usd | None = None


class _Provider(msgspec.Struct):
    """The `provider` object (openrouter.ai/docs, "Provider Routing", 2026-11)."""

    order: _Names | None = None
    only: _Names | None = None
    ignore: _Names | None = None
    allow_fallbacks: bool | None = None
    sort: _Sort | _SortBy | None = None
    max_price: _MaxPrice | None = None
    data_collection: Literal["allow", "deny"] | None = None


_KNOWN = frozenset(field.encode_name for field in msgspec.structs.fields(_Provider))
_models_decoder: msgspec.json.Decoder[list[str] | None] = msgspec.json.Decoder(_Names | None)
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
# Their clients send prices as numbers or as texts.
_prices_decoder = msgspec.json.Decoder(_MaxPrice | None, strict=False)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request's own routing: models that may answer in place of the one it names, in order, and what it wants of
    the providers. `losses` are wishes that nobody here can grant."""

    models: tuple[str, ...] = ()
    preferences: Preferences = NO_PREFERENCES
    losses: tuple[Loss, ...] = ()


NOTHING_ASKED = Asked()


def take_asked(scan: Scan, catalog: Catalog) -> tuple[Scan, Asked]:
    """What the request says, and the request without it. Raises FaultError (invalid_request) naming the field.

    A field that names providers or models, none of which the catalogue knows, is not meant for the gateway: it stays
    in the request, as any other field of the provider's own does.
    """
    if _PROVIDER not in scan.fields and _MODELS not in scan.fields:
        return scan, NOTHING_ASKED
    fields = dict(scan.fields)
    models = _read_models(fields.pop(_MODELS, None), scan.peek.model)
    if models and not any(catalog.resolve(name) for name in models):
        models = ()
        fields[_MODELS] = scan.fields[_MODELS]
    preferences, losses = read_provider(fields.pop(_PROVIDER, None))
    named = {*preferences.order, *preferences.only, *preferences.ignore}
    if named and named.isdisjoint(catalog.providers):
        preferences, losses = NO_PREFERENCES, ()
        fields[_PROVIDER] = scan.fields[_PROVIDER]
    return Scan(fields, scan.peek, scan.size_bytes), Asked(models=models, preferences=preferences, losses=losses)


def _read_models(raw: msgspec.Raw | None, first: str) -> tuple[str, ...]:
    if raw is None:
        return ()
    try:
        names = _models_decoder.decode(raw) or []
    except msgspec.DecodeError:
        raise invalid_request(f"'models' must be an array of up to {_MOST_NAMES} names of models.", _MODELS) from None
    return tuple(name for name in dict.fromkeys(names) if name != first)


def read_provider(raw: msgspec.Raw | None) -> tuple[Preferences, tuple[Loss, ...]]:
    """A `provider` object, and what nobody here can grant of it. Raises FaultError (invalid_request) naming the
    field."""
    if raw is None:
        return NO_PREFERENCES, ()
    try:
        members = _object_decoder.decode(raw)
        if not members:
            return NO_PREFERENCES, ()
        prices = _read_prices(members.pop("max_price", None))
        given = msgspec.json.decode(msgspec.json.encode(members), type=_Provider)
    except msgspec.ValidationError as error:
        _refuse(_PROVIDER, str(error))
    given.max_price = prices
    _refuse_promises(given, members)
    losses = tuple(
        Loss(path=f"{_PROVIDER}.{name}"[:200], why="the gateway does not know this of its providers")
        for name, value in members.items()
        if name not in _KNOWN and bytes(value) not in (b"null", b"false")
    )
    return _preferences(given), losses


def _read_prices(raw: msgspec.Raw | None) -> _MaxPrice | None:
    try:
        return None if raw is None else _prices_decoder.decode(raw)
    except msgspec.ValidationError as error:
        _refuse(f"{_PROVIDER}.max_price", str(error))


def _preferences(given: _Provider) -> Preferences:
    sort = given.sort.by if isinstance(given.sort, _SortBy) else given.sort
    bound = given.max_price or _MaxPrice()
    return Preferences(
        order=_ids(given.order),
        only=_ids(given.only),
        ignore=_ids(given.ignore),
        sort=None if sort is None else _STRATEGIES[sort],
        max_price=MaxPrice(prompt=bound.prompt, completion=bound.completion, image=bound.image),
        fallbacks=given.allow_fallbacks is not False,
    )


def _ids(names: list[str] | None) -> tuple[str, ...]:
    """Ids of providers; what follows a slash names a variant, of which a catalogue knows nothing."""
    return tuple(dict.fromkeys(name.lower().partition("/")[0] for name in names or ()))


def _refuse_promises(given: _Provider, members: Mapping[str, msgspec.Raw]) -> None:
    """What protects the caller's data is never left out in silence."""
    asked = [name for name in _PROMISES if bytes(members.get(name, b"null")) == b"true"]
    if given.data_collection == "deny":
        asked.append("data_collection")
    if asked:
        path = f"{_PROVIDER}.{asked[0]}"
        raise invalid_request(
            f"'{path}' cannot be promised: the gateway does not know what its providers do with data. Choose providers "
            "with 'provider.only', and leave this out.",
            path,
        )


def _refuse(field: str, message: str) -> NoReturn:
    what, _, where = message.partition(_WHERE)
    path = f"{field}{where.rstrip('`')}"
    raise invalid_request(f"'{path}' does not fit: {what[:1].lower()}{what[1:]}.", path) from None
