"""Settings: one typed value from defaults, a YAML file and the environment, refused at start if wrong."""

import difflib
import ipaddress
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, cast, get_args, get_type_hints

import msgspec
import yaml

from tollhouse.http.hosts import hosts_problem

PREFIX = "TOLLHOUSE_"

# What each kind of setting takes, in words: the descriptions end messages to people.
Port = Annotated[int, msgspec.Meta(ge=0, le=65535, description="a whole number from 0 to 65535")]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=31_536_000, description="seconds, above 0 and at most a year")]
Size = Annotated[int, msgspec.Meta(ge=1024, description="a whole number of bytes, at least 1024")]
Count = Annotated[int, msgspec.Meta(ge=1, description="a whole number of at least 1")]
Folder = Annotated[Path, msgspec.Meta(description="the path of a folder")]
File = Annotated[Path | None, msgspec.Meta(description="the path of a file")]
Level = Annotated[
    Literal["debug", "info", "warning", "error"], msgspec.Meta(description="debug, info, warning or error")
]
Origin = Annotated[str, msgspec.Meta(pattern=r"^(\*|null|[a-z][a-z0-9+.-]*://[^/\s]+)$")]
Truth = Annotated[bool, msgspec.Meta(description="true or false")]
Networks = Annotated[tuple[str, ...], msgspec.Meta(description="a list of networks such as 10.0.0.0/8")]
Hosts = Annotated[
    dict[str, Literal["hpp_router", "hyperinfer", "voltagegpu"]],
    msgspec.Meta(
        min_length=1,
        description="hosts with the API of each, such as router.example.com: hpp_router (or hyperinfer, or voltagegpu)",
    ),
]


class DatabaseUrl:
    """The URL of a PostgreSQL. It holds a password, and shows itself to nobody by accident.

    Raises ValueError for one of another kind.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not text.startswith(("postgresql://", "postgres://")):
            raise ValueError("no URL of a PostgreSQL")
        self._text = text

    def __repr__(self) -> str:
        return "DatabaseUrl(...)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DatabaseUrl) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def reveal(self) -> str:
        """The whole URL, for the driver alone."""
        return self._text

    def secrets(self) -> list[str]:
        """What must not be seen, as the URL has it and as it is meant."""
        parts = urllib.parse.urlsplit(self._text)
        given = [parts.password or "", *urllib.parse.parse_qs(parts.query).get("password", [])]
        return [text for secret in given for text in {secret, urllib.parse.unquote(secret)} if text]


Postgres = Annotated[
    DatabaseUrl | None, msgspec.Meta(description="a URL such as postgresql://user:password@host:5432/database")
]


class SettingsError(Exception):
    """The settings cannot be used; the message says which, why and what would be right."""


class _RepeatedError(ValueError):
    """A value names one thing twice; the text says which."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that an operator can set; each also as `TOLLHOUSE_<NAME>`. Sizes in bytes, durations in seconds.

    The environment beats the file, a command-line flag beats both. `catalog` None means the catalogue that is
    shipped. With `database_url` the books are in PostgreSQL instead of the data folder; `database_pooled` says that
    a pooler such as PgBouncer, in transaction mode, stands before it. `demo` gives empty books a workspace to try,
    and lets the simulator stand in for providers that are not configured. `cors_origins` empty turns CORS off.
    `trusted_proxies` are networks whose X-Forwarded-* headers count. `strict_schema` refuses what the published
    documents do not allow. Under a host of `hosts` one API, by its name, is alone.
    `on_loss` says what to do with a request that the provider's format cannot say in full.
    `admission` says when a call may be forwarded: while the most that it can cost fits (bound), or while no balance
    is used up (positive). `settle` says whether the last byte of an answer waits until its charge is on disk
    (durable) or not (async). At most `abandoned_calls` calls of a process are read on for `abandoned_call_s` when
    their caller has hung up and the provider bills the whole answer. Call records are deleted after
    `retention_days`; 0 keeps them. `routing_rules` hold while none are stored; without them there are
    none, on a demo the shipped ones.
    """

    data_dir: Folder = Path("data")
    catalog: File = None
    routing_rules: File = None
    database_url: Postgres = None
    database_pooled: Truth = False
    host: Annotated[str, msgspec.Meta(min_length=1, description="a host name or an IP address")] = "127.0.0.1"
    port: Port = 8080
    workers: Annotated[int, msgspec.Meta(ge=1, le=64, description="a whole number from 1 to 64")] = 1
    key_prefix: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[a-z][a-z0-9]{0,7}-$",
            description="up to 8 small letters and digits, a letter first, then a hyphen",
        ),
    ] = "th-"
    demo: Truth = True
    log_level: Level = "info"
    cors_origins: Annotated[
        tuple[Origin, ...], msgspec.Meta(description="origins such as https://app.example, without a path, or *")
    ] = ()
    trusted_proxies: Networks = ()
    hosts: Hosts = msgspec.field(default_factory=dict[str, Literal["hpp_router", "hyperinfer", "voltagegpu"]])
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
    strict_schema: Annotated[bool, msgspec.Meta(description="true or false")] = False
    on_loss: Annotated[Literal["report", "reject"], msgspec.Meta(description="report or reject")] = "report"
    admission: Annotated[Literal["bound", "positive"], msgspec.Meta(description="bound or positive")] = "bound"
    settle: Annotated[Literal["durable", "async"], msgspec.Meta(description="durable or async")] = "durable"
    attempts: Annotated[int, msgspec.Meta(ge=1, le=10, description="a whole number from 1 to 10")] = 3
    attempts_budget_s: Seconds = 600.0
    hold_back_s: Annotated[float, msgspec.Meta(ge=0, le=600, description="seconds, from 0 to 600")] = 10.0
    breakers: Annotated[bool, msgspec.Meta(description="true or false")] = True
    breaker_failures: Annotated[int, msgspec.Meta(ge=1, le=1000, description="a whole number from 1 to 1000")] = 5
    breaker_error_percent: Annotated[int, msgspec.Meta(ge=1, le=100, description="a whole number from 1 to 100")] = 50
    breaker_probe_s: Seconds = 10.0
    breaker_ejected_percent: Annotated[int, msgspec.Meta(ge=0, le=100, description="a whole number from 0 to 100")] = 75
    key_probe_s: Seconds = 300.0
    retry_percent: Annotated[int, msgspec.Meta(ge=0, le=1000, description="a whole number from 0 to 1000")] = 20
    abandoned_calls: Count = 100
    abandoned_call_s: Seconds = 120.0
    retention_days: Annotated[
        int, msgspec.Meta(ge=0, le=36_500, description="a whole number of days, 0 to keep everything")
    ] = 0
    stream_comment_s: Seconds = 15.0
    public_url: Annotated[
        Origin | None, msgspec.Meta(description="a URL such as https://api.example, without a path")
    ] = None
    max_pictures_bytes: Size = 1000 * 1000 * 1000

    def secrets(self) -> list[str]:
        """What must not be seen in a log."""
        return [] if self.database_url is None else self.database_url.secrets()


_SECRET = frozenset({"database_url"})
_LISTS = frozenset({"cors_origins", "trusted_proxies"})
_PAIRS = frozenset({"hosts"})


class _Given(msgspec.Struct, frozen=True):
    """A value as somebody gave it, and where."""

    value: object
    where: str


def load_settings(config: Path | None, overrides: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """Settings from a YAML file, `TOLLHOUSE_…` variables and command-line flags, the later winning.

    `overrides` and the environment hold text; an empty one counts as not set. Raises SettingsError, which names every
    value that cannot be used.
    """
    path = config
    if path is None and environ.get(PREFIX + "CONFIG"):
        path = Path(environ[PREFIX + "CONFIG"])
    given = {} if path is None else _read_file(path)
    for variable, text in environ.items():
        if variable.startswith(PREFIX) and variable != PREFIX + "CONFIG" and text:
            given[_known(variable.removeprefix(PREFIX).lower(), variable, variable)] = _Given(text, variable)
    for name, text in overrides.items():
        if text:
            given[name] = _Given(text, f"--{name.replace('_', '-')}")
    problems = [problem for name, entry in given.items() if (problem := _problem(name, entry))]
    if problems:
        raise SettingsError("\n".join(problems))
    return _convert({name: entry.value for name, entry in given.items()})


def _problem(name: str, given: _Given) -> str | None:
    """Why a value cannot be used, None when it can."""
    try:
        settings = _convert({name: given.value})
        for network in settings.trusted_proxies:
            ipaddress.ip_network(network)
        clash = hosts_problem(settings.hosts)
        if clash is not None:
            return f"{name}: {clash} (from {given.where})."
    except _RepeatedError as error:
        return f"{name}: {error} (from {given.where})."
    except ValueError:
        shown = "the value" if name in _SECRET else repr(given.value)
        return f"{name}: {shown} (from {given.where}) cannot be used; it takes {_EXPECTED[name]}."
    return None


def _convert(values: Mapping[str, object]) -> Settings:
    read = {name: _structured(name, value) for name, value in values.items()}
    return msgspec.convert(read, Settings, strict=False, dec_hook=_read_text)


def _structured(name: str, value: object) -> object:
    """Lists and pairs (`name=value`) out of text that separates them by commas; anything else as it is.

    Raises _RepeatedError for pairs that name something twice.
    """
    if not isinstance(value, str) or name not in _LISTS | _PAIRS:
        return value
    parts = [part.strip() for part in value.split(",")]
    if name in _LISTS:
        return parts
    pairs = [(key.strip(), rest.strip()) for key, _, rest in (part.partition("=") for part in parts)]
    names = [key for key, _ in pairs]
    for key in names:
        if names.count(key) > 1:
            raise _RepeatedError(f"{key!r} stands there twice; name it once")
    return dict(pairs)


def _read_text(kind: type, value: object) -> Path | DatabaseUrl:
    """A value that msgspec does not know from its text; it words what is raised as its own error."""
    if not isinstance(value, str):
        raise TypeError(f"Expected `{kind.__name__}`")
    return DatabaseUrl(value) if kind is DatabaseUrl else Path(value)


def _read_file(path: Path) -> dict[str, _Given]:
    try:
        text = path.read_text(encoding="utf-8")
        raw = cast("object", yaml.safe_load(text))
        _refuse_repeated(yaml.compose(text, yaml.SafeLoader), path)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}). Check --config.") from error
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f":{error.problem_mark.line + 1}"
        raise SettingsError(f"{path}{line}: is no YAML: {error.problem}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is no YAML: {error}") from error
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise SettingsError(f"{path}: must be a list of `name: value` lines.")
    entries = cast("dict[object, object]", raw).items()
    return {
        _known(str(key), str(key), str(path)): _Given(value, str(path)) for key, value in entries if value is not None
    }


def _refuse_repeated(document: yaml.Node | None, path: Path) -> None:
    """YAML's reader would silently let the last one of two equal names win, within a setting as well."""
    lines: dict[str, int] = {}
    for key, value in document.value if isinstance(document, yaml.MappingNode) else ():
        line = key.start_mark.line + 1
        name = str(key.value)
        if name in lines:
            raise SettingsError(f"{path}:{line}: `{name}` stands here again; it was set in line {lines[name]}.")
        lines[name] = line
        _refuse_repeated(value, path)


def _known(name: str, shown: str, where: str) -> str:
    """`name`, when there is a setting of that name. Raises SettingsError."""
    if name in _EXPECTED:
        return name
    near = difflib.get_close_matches(name, _EXPECTED, n=1)
    # A variable is told as a variable.
    meant = [PREFIX + known.upper() if shown.startswith(PREFIX) else known for known in near or _EXPECTED]
    hint = f" Did you mean `{meant[0]}`?" if near else f" Known: {', '.join(meant)}."
    raise SettingsError(f"{where}: there is no setting `{shown}`.{hint}")


def _expectations() -> Mapping[str, str]:
    """What each setting takes, in words, by its name."""
    hints = get_type_hints(Settings, include_extras=True)
    marks = {name: mark for name, hint in hints.items() for mark in get_args(hint) if isinstance(mark, msgspec.Meta)}
    return {name: mark.description or "" for name, mark in marks.items()}


_EXPECTED = _expectations()
