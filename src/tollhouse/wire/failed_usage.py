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
    if not is_object(value):
        return None
    error = value.get("error")
    for holder in (value, error) if error else ():
        if is_object(holder) and is_object(usage := holder.get("usage")):
            return usage
    return None
