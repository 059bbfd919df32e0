"""Prices as the published lists of models print them: USD per 1M tokens, exact."""

from typing import Annotated, Final

import msgspec

JsonNumber = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "number"})]
"""A number that never was a float."""
JsonNumberOrNull = Annotated[
    msgspec.Raw, msgspec.Meta(extra_json_schema={"anyOf": [{"type": "number"}, {"type": "null"}]})
]

_PICO_PER_UNIT: Final = 1_000_000  # 1 USD per 1M tokens is 10^6 pico-USD per token


def usd_per_million(pico_usd_per_token: int) -> msgspec.Raw:
    """The price as a JSON number, without passing through a float."""
    sign = "-" if pico_usd_per_token < 0 else ""
    whole, rest = divmod(abs(pico_usd_per_token), _PICO_PER_UNIT)
    fraction = f"{rest:06d}".rstrip("0")
    return msgspec.Raw(f"{sign}{whole}.{fraction}".rstrip(".").encode())


def optional_usd_per_million(pico_usd_per_token: int | None) -> msgspec.Raw:
    """The same for a price that may not exist: null then."""
    return msgspec.Raw(b"null") if pico_usd_per_token is None else usd_per_million(pico_usd_per_token)
