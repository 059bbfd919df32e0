"""What a provider says was used by an answer that it reports as failed."""

from collections.abc import Mapping

from tollhouse.ir.plain import is_object
from tollhouse.wire.fields import parse_answer


def usage_object(body: bytes) -> Mapping[str, object] | None:
    """The `usage` beside or inside the `error` of a JSON object; None without both, whatever the body is: an answer
    that was only lost on its way is none that failed."""
    try:
        value = parse_answer(body)
    except ValueError:
        return None
    return usage_in(value) if is_object(value) else None


def usage_in(value: Mapping[str, object]) -> Mapping[str, object] | None:
    """The same of an object that has been read."""
    error = value.get("error")
    for holder in (value, error) if error else ():
        if is_object(holder) and is_object(usage := holder.get("usage")):
            return usage
    return None
