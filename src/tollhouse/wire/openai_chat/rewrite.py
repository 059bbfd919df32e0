"""Rewriting a Chat Completions request for a provider of the same format: what is not named stays verbatim."""

from collections.abc import Mapping

import msgspec

from tollhouse.wire.format import Scan
from tollhouse.wire.quirks import Quirks
from tollhouse.wire.scan import join_object

_OLDER, _NEWER = "max_tokens", "max_completion_tokens"
_NULL, _TRUE = b"null", msgspec.Raw(b"true")

_options_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)


def rewrite_request(scan: Scan, changes: Mapping[str, msgspec.Raw], quirks: Quirks) -> bytes:
    """The body to send: fields of `changes` replaced in place or added at the end, the same order every time.

    One output limit goes out, the one that was peeked. A stream asks for usage where the deployment understands that.
    """
    fields = {**scan.fields, **changes}
    fields = _one_limit(fields, quirks)
    if scan.peek.stream:
        _ask_for_usage(fields, quirks)
    return join_object(fields)


def _one_limit(fields: dict[str, msgspec.Raw], quirks: Quirks) -> dict[str, msgspec.Raw]:
    if _given(fields, _OLDER) and _given(fields, _NEWER):
        del fields[_OLDER]
    wanted = quirks.output_limit_field
    if wanted is None:
        return fields
    other = _OLDER if wanted == _NEWER else _NEWER
    if not _given(fields, other):
        return fields
    fields.pop(wanted, None)
    return {wanted if name == other else name: value for name, value in fields.items()}


def _ask_for_usage(fields: dict[str, msgspec.Raw], quirks: Quirks) -> None:
    raw = fields.get("stream_options")
    options: dict[str, msgspec.Raw] = (_options_decoder.decode(raw) if raw is not None else None) or {}
    if quirks.stream_usage:
        if bytes(options.get("include_usage", b"")) == b"true":
            return
        options["include_usage"] = _TRUE
    elif options.pop("include_usage", None) is None:
        return
    if options:
        fields["stream_options"] = msgspec.Raw(join_object(options))
    else:
        del fields["stream_options"]


def _given(fields: Mapping[str, msgspec.Raw], name: str) -> bool:
    raw = fields.get(name)
    return raw is not None and bytes(raw) != _NULL
