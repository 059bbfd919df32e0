"""Script: what the simulator is told to answer, written into a model name or a control header (docs/simulator.md)."""

import difflib
import math
import re
import urllib.parse
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

PREFIX: Final = "script/"
FOREVER: Final = math.inf

# Usage reports that no honest provider would send; `number:number` says the figures instead.
ODD_USAGE: Final = frozenset(
    {"none", "null", "negative", "huge", "string", "float", "nan", "cached_over", "total_mismatch", "partial", "zero"}
)
USAGE_PLACES: Final = frozenset({"end", "every", "choices", "groq", "twice", "after_done", "first"})
ENCODINGS: Final = frozenset({"gzip", "bad_gzip", "bomb"})


class ScriptError(Exception):
    """The script cannot be read; the text says which word and why."""


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt's orders. Times are seconds, `k` counts the events of a stream, lengths are bytes; None is unset."""

    # What is said.
    text: int | None = None
    say: str | None = None
    reasoning: int = 0
    reasoning_field: str = "reasoning_content"
    seal: str | None = None
    hidden: bool = False
    tools: int = 0
    call: str | None = None
    args: str | None = None
    once: bool = False
    refusal: str | None = None
    finish: str | None = None
    model: str | None = None
    ignore_limit: bool = False
    infinite: bool = False
    huge: int | None = None
    chunk_tokens: int = 1
    # Pictures and vectors.
    count: int | None = None
    link: str | None = None
    data: str | None = None
    # What it is said to have used.
    usage: str = "honest"
    usage_at: str = "end"
    cost: str | None = None
    # When.
    first: float = 0.0
    wait: float = 0.0
    delay: float = 0.0
    stall: int | None = None
    # The answer's head and body.
    status: int | None = None
    body: str | None = None
    header: tuple[tuple[str, str], ...] = ()
    retry_after: str | None = None
    content_type: str | None = None
    encoding: str | None = None
    html: bool = False
    empty: bool = False
    plain: bool = False
    sse: bool = False
    truncate: bool = False
    length_off: int = 0
    informational: int = 0
    # The shape of a stream.
    slice: int | None = None
    burst: bool = False
    crlf: bool = False
    cr: bool = False
    comments: bool = False
    multiline: bool = False
    fields: bool = False
    bom: bool = False
    leading: bool = False
    no_role: bool = False
    no_done: bool = False
    no_finish: bool = False
    finish_twice: bool = False
    no_index: bool = False
    parts: bool = False
    bad_json: int | None = None
    error_at: int | None = None
    # The end of the connection.
    reset: bool = False
    cut: int | None = None
    eof: int | None = None
    end: int | None = None
    endless: int | None = None
    garbage: bool = False
    trailers: bool = False


class Plan(msgspec.Struct, frozen=True):
    """The orders for each attempt in turn, the last for all that follow, and the name under which they are counted."""

    token: str
    attempts: tuple[Script, ...]

    def attempt(self, number: int) -> Script:
        """The orders of attempt `number`, counted from 0."""
        return self.attempts[min(number, len(self.attempts) - 1)]


DEFAULT: Final = Plan(token="", attempts=(Script(),))


def _count(value: str) -> int:
    if not re.fullmatch(r"\d{1,12}", value):
        raise ScriptError("needs a whole number")
    return int(value)


def _signed(value: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,9}", value):
        raise ScriptError("needs a whole number with or without a sign")
    return int(value)


def _seconds(value: str) -> float:
    if value == "forever":
        return FOREVER
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)", value)
    if match is None:
        raise ScriptError("needs a time such as 5ms, 1.5s or forever")
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


def _flag(value: str) -> bool:
    if value not in {"", "true", "false"}:
        raise ScriptError("is a flag and takes no value")
    return value != "false"


def _name(value: str) -> str:
    return value


def _one_of(choices: frozenset[str]) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in choices:
            raise ScriptError(f"needs one of {', '.join(sorted(choices))}")
        return value

    return read


def _status(value: str) -> int:
    if not re.fullmatch(r"[2-5]\d\d", value):
        raise ScriptError("needs an HTTP status from 200 to 599")
    return int(value)


def _usage(value: str) -> str:
    if value not in ODD_USAGE and not re.fullmatch(r"\d+:\d+(:\d+){0,2}", value):
        raise ScriptError(f"needs prompt:completion[:cached[:reasoning]] or one of {', '.join(sorted(ODD_USAGE))}")
    return value


def _at_least_one(value: str) -> int:
    return max(1, _count(value))


def _count_or_unbounded(value: str) -> int:
    return _count(value) if value else 0


def _header(value: str) -> tuple[tuple[str, str], ...]:
    name, colon, rest = value.partition(":")
    if not colon or not re.fullmatch(r"[A-Za-z0-9-]+", name):
        raise ScriptError("needs Name:value")
    return ((name, rest.strip()),)


_READERS: Final[dict[str, Callable[[str], object]]] = {
    **dict.fromkeys(("text", "reasoning", "huge", "stall", "cut", "eof", "end", "informational", "count"), _count),
    **dict.fromkeys(("tools", "slice", "chunk_tokens"), _at_least_one),
    **dict.fromkeys(("bad_json", "error_at", "endless"), _count_or_unbounded),
    **dict.fromkeys(("say", "seal", "call", "args", "refusal", "finish", "model", "cost"), _name),
    **dict.fromkeys(("body", "retry_after", "content_type", "link", "data"), _name),
    **dict.fromkeys(("first", "wait", "delay"), _seconds),
    "reasoning_field": _one_of(frozenset({"reasoning", "reasoning_content"})),
    "usage": _usage,
    "usage_at": _one_of(USAGE_PLACES),
    "status": _status,
    "header": _header,
    "encoding": _one_of(ENCODINGS),
    "length_off": _signed,
}
_FLAGS: Final = frozenset(f.name for f in msgspec.structs.fields(Script) if f.type is bool)
# Words of the whole plan rather than of one attempt.
_PLAN_WORDS: Final = ("then", "token", "fail")
WORDS: Final = frozenset(_READERS) | _FLAGS | frozenset(_PLAN_WORDS)


def plan_from_model(model: str) -> Plan:
    """The plan in a model name: the part after `script/`, or the default plan where there is none.

    Raises ScriptError for an unknown word or a value that does not fit it.
    """
    start = 0 if model.startswith(PREFIX) else model.find("/" + PREFIX) + 1
    if start == 0 and not model.startswith(PREFIX):
        return DEFAULT
    source = model[start + len(PREFIX) :]
    pairs: list[tuple[str, str]] = []
    for item in source.split("/"):
        if item:
            word, _, value = item.partition("=")
            pairs.append((word, urllib.parse.unquote(value)))
    return _plan(pairs, source)


def plan_from_json(source: bytes) -> Plan:
    """The plan in a control header: a JSON object of the same words, or an array of them, one for each attempt.

    A flag's value is `true`; `header` takes an array of `Name:value`. Raises ScriptError.
    """
    try:
        document: object = msgspec.json.decode(source)
    except msgspec.DecodeError as error:
        raise ScriptError(f"the control header is no JSON: {error}") from None
    attempts = cast("list[object]", document) if isinstance(document, list) else [document]
    pairs: list[tuple[str, str]] = []
    for number, attempt in enumerate(attempts):
        if not isinstance(attempt, dict):
            raise ScriptError("the control header needs an object, or an array of objects")
        if number:
            pairs.append(("then", ""))
        for word, value in cast("dict[str, object]", attempt).items():
            values = cast("list[object]", value) if isinstance(value, list) else [value]
            pairs.extend((word, _text_of(item)) for item in values)
    return _plan(pairs, source.decode())


def _text_of(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _plan(pairs: list[tuple[str, str]], source: str) -> Plan:
    token = source
    failures: list[Script] = []
    attempts: list[dict[str, Any]] = [{}]
    for word, value in pairs:
        if word == "then":
            attempts.append({})
        elif word == "token":
            token = value
        elif word == "fail":
            failures = _failures(value)
        else:
            _put(attempts[-1], word, value)
    return Plan(token=token, attempts=(*failures, *(Script(**words) for words in attempts)))


def _failures(value: str) -> list[Script]:
    times, _, status = value.partition(":")
    try:
        return [Script(status=_status(status or "500"))] * _count(times)
    except ScriptError as error:
        raise ScriptError(f"the word 'fail' takes count:status, as in fail=2:503; it {error}") from None


def _put(words: dict[str, Any], word: str, value: str) -> None:
    reader = _flag if word in _FLAGS else _READERS.get(word)
    if reader is None:
        near = difflib.get_close_matches(word, WORDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ScriptError(f"the script word {word!r} is unknown{hint}")
    try:
        read = reader(value)
    except ScriptError as error:
        raise ScriptError(f"the script word {word!r} {error}, not {value!r}") from None
    words[word] = words.get(word, ()) + read if isinstance(read, tuple) else read
