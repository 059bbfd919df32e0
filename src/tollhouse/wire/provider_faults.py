"""Faults of providers, whatever the format: error bodies of every shape to one Fault, safe to show."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import cast

import msgspec

from tollhouse.ir.fault import Fault, FaultKind

MAX_MESSAGE_CHARS = 2000
MAX_RETRY_AFTER_S = 3600.0

_MAX_CODE_CHARS = 100
_MAX_BODY_BYTES = 1 << 20

_SECRETS = re.compile(
    r"""(?xi)
    \b bearer \s+ [^\s"',;]+                                        # credentials in words
    | \b basic \s+ [a-z0-9+/=]{8,}
    | \b (?: sk | pk | rk | th | gsk | xai | csk | hf | pplx | nvapi | fw | tgp | r8 ) [-_] [^\s"',;.)}\]]{2,}
    | \b AIza [a-z0-9_-]{10,}
    | \b [a-z][a-z0-9+.-]{1,20} :// [^\s"'<>)\]}]+                # URLs hold names of accounts and resources
    | \b (?: org | proj | acct | account | user | team | workspace ) [-_] (?= [a-z_-]* [0-9] ) [a-z0-9_-]{4,}
    | (?<= organization [ ] ) [a-z0-9-]{12,}
    | (?: (?<= account [ ] ) | (?<= project [ ] ) | (?<= resource [ ] ) ) (?= [a-z_-]* [0-9] ) [a-z0-9_-]{4,}
    | \b [^\s"'@<>]{1,64} @ [a-z0-9-]+ (?: \. [a-z0-9-]+ )+       # mail addresses
    | [^\s"',;:*]{0,40} [*]{4,} [^\s"',;:*]*                      # keys that the provider has masked already
    | (?<! ref: [ ]) (?<! request [ ] id [ ]) (?<! request [ ] id: [ ])  # that names a request, for support
      \b [0-9a-f]{8} - [0-9a-f]{4} - [0-9a-f]{4} - [0-9a-f]{4} - [0-9a-f]{12} \b
    | \b (?= [a-z]* [0-9] ) [a-z0-9]{32,} \b
    """
)
_CONTEXT = re.compile(
    r"context[ _-]?(?:length|window|size)|maximum context|prompt (?:is )?too long|too many (?:prompt |input )?tokens"
    r"|too_many_prompt_tokens|input (?:is )?too long|length of all messages is too long|reduce the length",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"content[ _-]?(?:filter|policy|management)|moderation|safety (?:system|filter)|responsible ?ai", re.IGNORECASE
)
_OUR_QUOTA = re.compile(
    r"insufficient[ _-](?:quota|balance|credit|funds)|billing|exceeded your current quota|payment", re.IGNORECASE
)

_AUTH = "The provider refused the gateway's own credential. The operator of the gateway has to renew it."
_QUOTA = "The gateway's own account with the provider has no credit left. The operator of the gateway has to add some."
_MODEL_GONE = "The provider does not know the model under the name in the gateway's catalogue. Choose another model."
_TIMEOUT = "The provider took too long to answer. Try again."
_RATE = "The provider's rate limit is reached. Try again later."
_OVERLOADED = "The provider is overloaded. Try again later."
_UNAVAILABLE = "The provider failed to answer. Try again, or choose another model."
_TOO_LARGE = "The request is larger than the provider accepts. Send less."
_REFUSED = "The provider refused the request without saying why. Check its parameters."

_BY_STATUS = {
    401: (FaultKind.PROVIDER_AUTH, _AUTH),
    402: (FaultKind.PROVIDER_UNAVAILABLE, _QUOTA),
    403: (FaultKind.PROVIDER_AUTH, _AUTH),
    404: (FaultKind.PROVIDER_UNAVAILABLE, _MODEL_GONE),
    407: (FaultKind.PROVIDER_AUTH, _AUTH),
    408: (FaultKind.PROVIDER_TIMEOUT, _TIMEOUT),
    413: (FaultKind.BODY_TOO_LARGE, _TOO_LARGE),
    429: (FaultKind.PROVIDER_RATE_LIMIT, _RATE),
    503: (FaultKind.PROVIDER_OVERLOADED, _OVERLOADED),
    504: (FaultKind.PROVIDER_TIMEOUT, _TIMEOUT),
    529: (FaultKind.PROVIDER_OVERLOADED, _OVERLOADED),
}


class Told(msgspec.Struct, frozen=True):
    """What an error body says, whatever its shape."""

    message: str = ""
    code: str = ""
    kind: str = ""
    param: str | None = None


def fault_of(status: int, headers: Sequence[tuple[str, str]], told: Told, now: datetime | None = None) -> Fault:
    """What an answer of `status` >= 400 that tells so much means.

    Only what blames the caller's request, or says how long it has to wait, is passed on in the provider's words, with
    keys, URLs and account names taken out. `now` is needed to read a Retry-After that is a date; without it such a date
    is ignored.
    """
    kind, message = _judge(status, told)
    retry_after_s = None
    if kind in (FaultKind.PROVIDER_RATE_LIMIT, FaultKind.PROVIDER_OVERLOADED, FaultKind.PROVIDER_UNAVAILABLE):
        retry_after_s = retry_after(headers, now)
    return Fault(
        kind=kind,
        message=message,
        source="provider",
        param=told.param,
        retry_after_s=retry_after_s,
        upstream_status=status,
        upstream_code=told.code or told.kind or None,
        detail=redact(told.message) or None,
    )


def redact(message: str) -> str:
    """`message` without keys, URLs, mail addresses and account names, on one line, of bounded length."""
    bounded = message[: 2 * MAX_MESSAGE_CHARS]
    clean = "".join(letter if letter.isprintable() else " " for letter in _SECRETS.sub("[redacted]", bounded)).strip()
    return clean if len(clean) <= MAX_MESSAGE_CHARS else clean[: MAX_MESSAGE_CHARS - 1] + "…"


def retry_after(headers: Sequence[tuple[str, str]], now: datetime | None = None) -> float | None:
    """Seconds to wait, from 0 to 3600; None when the header is absent or makes no sense."""
    value = next((value for name, value in headers if name.lower() == "retry-after"), "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return min(float(value[:20]), MAX_RETRY_AFTER_S)
    if not value or now is None:
        return None
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return min(max((when - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def _judge(status: int, told: Told) -> tuple[FaultKind, str]:
    words = f"{told.code} {told.kind} {told.message}"
    if status == 403 and _FILTER.search(words):
        return FaultKind.CONTENT_FILTER, redact(told.message) or _REFUSED
    if status in (400, 429) and (_OUR_QUOTA.search(f"{told.code} {told.kind}") or "your current quota" in told.message):
        return FaultKind.PROVIDER_UNAVAILABLE, _QUOTA
    if status in (413, 429) and (told_words := redact(told.message)):
        kind, message = _BY_STATUS[status]
        return kind, f"{message} It says: {told_words}"
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if not 400 <= status < 500:
        return FaultKind.PROVIDER_UNAVAILABLE, _UNAVAILABLE
    return _blame(words), redact(told.message) or _REFUSED


def _blame(words: str) -> FaultKind:
    """Which fault of the caller a 4xx names."""
    if _CONTEXT.search(words):
        return FaultKind.CONTEXT_LENGTH
    if _FILTER.search(words):
        return FaultKind.CONTENT_FILTER
    return FaultKind.INVALID_REQUEST


def status_of(told: Told) -> int:
    """The status that an error inside of a 200 would have had."""
    words = f"{told.code} {told.kind}".lower()
    for mark, status in (
        ("rate_limit", 429),
        ("ratelimit", 429),
        ("overloaded", 529),
        ("unavailable", 503),
        ("timeout", 504),
        ("authentication", 401),
        ("invalid_api_key", 401),
        ("permission", 403),
        ("context_length", 400),
        ("content_filter", 400),
        ("invalid_request", 400),
        ("insufficient_quota", 402),
        ("billing", 402),
        ("not_found", 404),
        ("too_large", 413),
    ):
        if mark in words:
            return status
    return 502


def read_error(body: bytes) -> Told:
    """Find message, code, type and param; HTML and other prose count as no message."""
    try:
        value: object = msgspec.json.decode(body[:_MAX_BODY_BYTES])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Told()
    # Google's OpenAI-compatible endpoint answers a list of one error object (recorded 2025).
    if isinstance(value, list) and value:
        value = cast("list[object]", value)[0]
    if not isinstance(value, dict):
        return Told(message=value) if isinstance(value, str) else Told()
    outer = cast("dict[str, object]", value)
    error = outer.get("error")
    inner = cast("dict[str, object]", error) if isinstance(error, dict) else outer
    message = _text(inner.get("message")) or _text(outer.get("error")) or _message(outer)
    param = inner.get("param")
    return Told(
        message=message,
        code=_code(inner),
        kind=_text(inner.get("type"))[:_MAX_CODE_CHARS] or _text(inner.get("status"))[:_MAX_CODE_CHARS],
        param=redact(param)[:200] if isinstance(param, str) and param else None,
    )


def _message(outer: Mapping[str, object]) -> str:
    """FastAPI's `detail` (a text, or a list of objects with `msg`), and `errors` of smaller vendors."""
    for name in ("detail", "message", "errors", "error_message"):
        value = outer.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            items = cast("list[object]", value)[:10]
            found = [_text(cast("dict[str, object]", item).get("msg")) for item in items if isinstance(item, dict)]
            return "; ".join(text for text in found if text) or "; ".join(i for i in items if isinstance(i, str))
        if isinstance(value, dict):
            return _text(cast("dict[str, object]", value).get("message"))
    return ""


def _code(inner: Mapping[str, object]) -> str:
    code = inner.get("code")
    return redact(str(code))[:_MAX_CODE_CHARS] if isinstance(code, str | int) and not isinstance(code, bool) else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
