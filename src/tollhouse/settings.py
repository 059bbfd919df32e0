"""Settings: one typed value from defaults, a YAML file and the environment, refused at start if wrong."""

import difflib
import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, cast

import msgspec
import yaml

PREFIX = "TOLLHOUSE_"

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Size = Annotated[int, msgspec.Meta(ge=1024)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class SettingsError(Exception):
    """The settings cannot be used; the message says which, why and what would be right."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that an operator can set; each also as `TOLLHOUSE_<NAME>`. Sizes in bytes, durations in seconds.

    The environment beats the file, a command-line flag beats both. `catalog` None means the catalogue that is
    shipped. `demo` gives an empty data folder a workspace to try, and lets the simulator stand in for providers
    that are not configured. `cors_origins` empty turns CORS off. `trusted_proxies` are networks whose X-Forwarded-*
    headers count.
    """

    data_dir: Path = Path("data")
    catalog: Path | None = None
    host: str = "127.0.0.1"
    port: Port = 8080
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    key_prefix: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9]{0,7}-$")] = "th-"
    demo: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    drain_s: Seconds = 30.0
    header_deadline_s: Seconds = 10.0
    body_deadline_s: Seconds = 60.0
    keep_alive_s: Seconds = 75.0
    write_timeout_s: Seconds = 60.0
    max_header_bytes: Size = 64 * 1024
    max_headers: Count = 100
    max_body_bytes: Size = 50 * 1000 * 1000
    max_bodies_bytes: Size = 512 * 1000 * 1000
    max_connections: Count = 10_000
    attempts: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    attempts_budget_s: Seconds = 600.0


_LISTS = frozenset({"cors_origins", "trusted_proxies"})


def load_settings(config: Path | None, overrides: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """Settings from a YAML file, `TOLLHOUSE_…` variables and command-line flags, the later winning.

    `overrides` and the environment hold text; an empty text counts as not set. Raises SettingsError.
    """
    path = config
    if path is None and environ.get(PREFIX + "CONFIG"):
        path = Path(environ[PREFIX + "CONFIG"])
    values = {} if path is None else _read_file(path)
    for name in Settings.__struct_fields__:
        text = overrides.get(name) or environ.get(PREFIX + name.upper())
        if text:
            values[name] = [part.strip() for part in text.split(",")] if name in _LISTS else text
    _refuse_unknown(values, str(path) if path else "the settings")
    try:
        settings = msgspec.convert(values, Settings, strict=False, dec_hook=_read_path)
    except msgspec.ValidationError as error:
        raise SettingsError(f"A setting cannot be used: {_plain(str(error))}.") from error
    for network in settings.trusted_proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise SettingsError(
                f"trusted_proxies: {network!r} is no network; write it like 10.0.0.0/8 or 192.0.2.7/32."
            ) from error
    return settings


def _read_path(kind: type, value: object) -> Path:
    """A path from its text, for msgspec knows no paths; it words what is raised as its own error."""
    if not isinstance(value, str):
        raise TypeError(f"Expected `{kind.__name__}`")
    return Path(value)


def _read_file(path: Path) -> dict[str, object]:
    try:
        raw = cast("object", yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}). Check --config.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is no YAML: {error}") from error
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise SettingsError(f"{path}: must be a list of `name: value` lines.")
    return {str(key): value for key, value in cast("dict[object, object]", raw).items()}


def _refuse_unknown(values: Mapping[str, object], where: str) -> None:
    for name in values:
        if name not in Settings.__struct_fields__:
            near = difflib.get_close_matches(name, Settings.__struct_fields__, n=1)
            hint = f" Did you mean `{near[0]}`?" if near else f" Known: {', '.join(Settings.__struct_fields__)}."
            raise SettingsError(f"{where}: there is no setting `{name}`.{hint}")


def _plain(message: str) -> str:
    """`Expected `int` >= 1 - at `$.workers`` as `workers: expected int >= 1`."""
    problem, _, place = message.partition(" - at `$.")
    return f"{place.rstrip('`')}: {problem}" if place else problem
