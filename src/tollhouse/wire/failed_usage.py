"""What a body that is no answer says was used all the same."""

from collections.abc import Mapping

from tollhouse.ir.plain import is_object
from tollhouse.wire.fields import parse_answer


def usage_object(body: bytes) -> Mapping[str, object] | None:
    """The `usage` of a JSON object, or of the `error` in it; None without one, whatever the body is."""
    try:
        value = parse_answer(body)
    except ValueError:
        return None
    if not is_object(value):
        return None
    error = value.get("error")
    for holder in (value, error):
        if is_object(holder) and is_object(usage := holder.get("usage")):
            return usage
    return None
