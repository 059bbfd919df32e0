"""Reads `providers`: where each one stands, which key it takes, and whether it can be used as things are."""

import re
from collections.abc import Mapping
from typing import Any, get_args
from urllib.parse import urlsplit

import msgspec

from tollhouse.catalog.entries import OnDisconnect, Provider, Timeouts
from tollhouse.catalog.fields import Fields, url_problem
from tollhouse.catalog.problems import did_you_mean
from tollhouse.wire.format import ModelOperation
from tollhouse.wire.quirks import Quirks

SIMULATOR = "simulator"
"""In place of a `base_url`: the simulator in the box, wherever it listens."""

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{1,4096}", re.ASCII)
_OWN_HEADERS = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te"),
        *("trailer", "transfer-encoding", "upgrade", "host", "content-length", "content-type", "content-encoding"),
        *("accept-encoding", "expect"),
    }
)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a catalogue depends on outside its file. `formats` says what a model is asked for in each."""

    environ: Mapping[str, str]
    formats: Mapping[str, ModelOperation]
    simulator_url: str | None


class ProviderDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as read. `unusable` says why its models are left out, None when it can be called; `switched_off`
    that it waits for the catalogue or the environment to enable it."""

    provider: Provider
    unusable: str | None = None
    switched_off: bool = False
    warnings: tuple[str, ...] = ()


class _Secret(msgspec.Struct, frozen=True):
    """A value that may come from the environment. `missing` names the variable that is not set."""

    value: str | None = None
    missing: str | None = None
    is_literal: bool = False


def read_provider(fields: Fields, around: Surroundings) -> ProviderDraft:
    """One entry of `providers`."""
    provider_id = fields.text(
        "id", required=True, pattern=_ID, hint="an id of lower-case letters, digits, dots, dashes and underscores"
    )
    format_name, more_formats = _read_formats(fields, around)
    enabled = fields.flag("enabled", default=True)
    base_url, from_environment = _read_base_url(fields, around)
    key, more_keys = _read_keys(fields, around)
    headers, missing_header = _read_headers(fields, around, has_key=key.value is not None or key.missing is not None)
    provider = Provider(
        id=provider_id,
        format=format_name,
        more_formats=more_formats,
        base_url=base_url,
        api_key=key.value,
        more_keys=more_keys,
        headers=headers,
        quirks=read_quirks(fields, Quirks()),
        timeouts=read_timeouts(fields, Timeouts()),
        on_disconnect=_read_on_disconnect(fields),
    )
    fields.done()
    missing = key.missing or missing_header
    unusable = f"{missing} is not set" if missing else None
    if not base_url:
        unusable = "the simulator is off"
    return ProviderDraft(
        provider=provider,
        unusable=unusable,
        switched_off=not enabled and not from_environment,
        warnings=_warnings(provider, key),
    )


def read_timeouts(fields: Fields, inherited: Timeouts) -> Timeouts:
    """`timeouts`, each in seconds; what is not named stays as inherited."""
    found = fields.mapping("timeouts")
    if found is None:
        return inherited
    timeouts = Timeouts(
        connect_s=found.seconds("connect_s", inherited.connect_s),
        first_byte_s=found.seconds("first_byte_s", inherited.first_byte_s),
        idle_s=found.seconds("idle_s", inherited.idle_s),
        total_s=found.seconds("total_s", inherited.total_s),
        stream_s=found.seconds("stream_s", inherited.stream_s),
    )
    found.done()
    return timeouts


def read_quirks(fields: Fields, inherited: Quirks) -> Quirks:
    """`quirks` by the fields of Quirks itself, so that a new quirk needs no line here."""
    found = fields.mapping("quirks")
    if found is None:
        return inherited
    known = [field.encode_name for field in msgspec.structs.fields(Quirks)]
    quirks = inherited
    for key in found.keys:
        value = found.text(key)
        if key not in known:
            found.report(f"unknown quirk `{key}`{did_you_mean(key, known)}")
        elif value:
            try:
                merged: dict[str, Any] = {**msgspec.to_builtins(quirks), key: value}
                quirks = msgspec.convert(merged, Quirks, strict=False)
            except msgspec.ValidationError as error:
                found.report(str(error).partition(" - at ")[0], key)
    return quirks


def _read_on_disconnect(fields: Fields) -> OnDisconnect:
    choices: tuple[OnDisconnect, ...] = get_args(OnDisconnect)
    written = fields.text("on_disconnect")
    for choice in choices:
        if written == choice:
            return choice
    if fields.has("on_disconnect"):
        fields.report(f"{written!r} is none of {', '.join(choices)}", "on_disconnect")
    return "cancel"


def _read_formats(fields: Fields, around: Surroundings) -> tuple[str, tuple[str, ...]]:
    """`format`, and the others of `formats`: each for another operation."""
    if not fields.has("formats"):
        return _known_format(fields, "format", fields.text("format", required=True), around), ()
    if fields.has("format"):
        fields.report("has `format` and `formats`; put all formats into `formats`", "format")
    names = [_known_format(fields, "formats", name, around) for name in fields.texts("formats")]
    if not names:
        fields.report("has to name at least one format", "formats")
        return "", ()
    used: dict[ModelOperation, str] = {}
    for name in names:
        if (operation := around.formats.get(name)) is not None and used.setdefault(operation, name) != name:
            fields.report(f"`{used[operation]}` and `{name}` are both for {operation}; name one of them", "formats")
    return names[0], tuple(names[1:])


def _known_format(fields: Fields, key: str, name: str, around: Surroundings) -> str:
    if name and name not in around.formats:
        fields.report(f"the format `{name}` is not known{did_you_mean(name, around.formats)}", key)
    return name


def _read_base_url(fields: Fields, around: Surroundings) -> tuple[str, bool]:
    """The URL without a slash at its end, and whether the environment gave it; "" for a simulator that is off."""
    written = fields.text("base_url", required=True)
    variable = fields.text("base_url_env", pattern=_VARIABLE_NAME, hint="the name of an environment variable")
    if written == SIMULATOR:
        return (around.simulator_url or "").rstrip("/"), False
    reason = url_problem(written) if written else None
    if reason is not None:
        fields.report(reason, "base_url")
        return "", False
    given = around.environ.get(variable, "").strip() if variable else ""
    if not given:
        return written.rstrip("/"), False
    reason = url_problem(given)
    if reason is not None:
        fields.report(f"the environment variable {variable}: {reason}", "base_url_env")
        return "", False
    if urlsplit(given).path in {"", "/"}:
        given = given.rstrip("/") + urlsplit(written).path
    return given.rstrip("/"), True


def _read_keys(fields: Fields, around: Surroundings) -> tuple[_Secret, tuple[str, ...]]:
    """The first key, and the others; of `api_keys` those whose variables are set."""
    if not fields.has("api_keys"):
        return _read_key(fields, around), ()
    if fields.has("api_key"):
        fields.report("has `api_key` and `api_keys`; put all keys into `api_keys`", "api_key")
    found = [_resolve(fields, "api_keys", written, around) for written in fields.texts("api_keys")]
    given = [secret for secret in found if secret.value is not None]
    if not found:
        fields.report("has to hold at least one key", "api_keys")
        return _Secret(), ()
    if not given:
        return found[0], ()
    values = dict.fromkeys(secret.value or "" for secret in given)
    first, *rest = values
    return _Secret(value=first, is_literal=any(secret.is_literal for secret in given)), tuple(rest)


def _read_key(fields: Fields, around: Surroundings) -> _Secret:
    if not fields.has("api_key"):
        fields.report("needs `api_key`: `${NAME}` for an environment variable, or `none`")
        return _Secret()
    written = fields.text("api_key", required=True)
    if written in {"", "none"}:
        return _Secret()
    return _resolve(fields, "api_key", written, around)


def _resolve(fields: Fields, key: str, written: str, around: Surroundings) -> _Secret:
    """The value behind `${NAME}`, or the text itself. Messages never repeat it: it may be a secret."""
    match = _VARIABLE.fullmatch(written)
    if match is None and "${" in written:
        fields.report("`${NAME}` has to be the whole value, with a name of letters, digits and underscores", key)
        return _Secret()
    value = written if match is None else around.environ.get(match.group(1), "").strip()
    if match is not None and not value:
        return _Secret(missing=match.group(1))
    if _HEADER_VALUE.fullmatch(value) is None:
        source = "the value" if match is None else f"the environment variable {match.group(1)}"
        fields.report(f"{source} cannot go into a header: it has to be printable ASCII in one line", key)
        return _Secret()
    return _Secret(value=value, is_literal=match is None)


def _read_headers(fields: Fields, around: Surroundings, *, has_key: bool) -> tuple[tuple[tuple[str, str], ...], str]:
    """The headers, and the variable that is not set, if any."""
    group = fields.mapping("headers")
    if group is None:
        return (), ""
    headers: list[tuple[str, str]] = []
    missing = ""
    for name in group.keys:
        value = group.text(name, required=True)
        if _HEADER_NAME.fullmatch(name) is None:
            group.report(f"{name!r} is no header name")
        elif name.lower() in _OWN_HEADERS:
            group.report("the gateway sets this header itself; remove it", name)
        elif name.lower() == "authorization" and has_key:
            group.report("`api_key` already makes this header; say `api_key: none` to set it here", name)
        elif value:
            found = _resolve(group, name, value, around)
            missing = missing or found.missing or ""
            headers.append((name, found.value or ""))
    return tuple(headers), missing


def _warnings(provider: Provider, key: _Secret) -> tuple[str, ...]:
    found: list[str] = []
    if key.is_literal:
        found.append(f"provider {provider.id}: its key stands in the file; `api_key: ${{NAME}}` keeps it out")
    parts = urlsplit(provider.base_url)
    if provider.api_key and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        found.append(f"provider {provider.id}: its key crosses the network unencrypted; use https")
    return tuple(found)
