"""Log: structured lines of JSON, one per call and per event, from which every secret is struck out."""

import datetime
import functools
import logging
import re
import sys
import traceback
from collections.abc import Iterable, MutableMapping
from typing import Any, BinaryIO

import msgspec
import structlog

from tollhouse.observe.record import CallRecord
from tollhouse.observe.trail import attempts_line

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

# What a secret looks like wherever it stands: our own keys, the vendors' usual prefixes, bearer credentials.
_SECRET_SHAPES = re.compile(
    r"\b(?:th|sk|pk|rk|gsk|xai|hf|AIza)[-_][A-Za-z0-9_\-]{12,}|\bAIza[A-Za-z0-9_\-]{20,}|\b[Bb]earer\s+[^\s\"\\]{8,}"
)
_STRUCK = "[redacted]"


class Redaction:
    """Strikes known secrets, and whatever looks like one, out of a finished line."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = tuple(sorted({secret for secret in secrets if len(secret) >= 6}, key=len, reverse=True))

    def strike(self, line: str) -> str:
        """The line without secrets."""
        for secret in self._secrets:
            if secret in line:
                line = line.replace(secret, _STRUCK)
        return _SECRET_SHAPES.sub(_STRUCK, line)


class _CallLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    request_id: str
    client_request_id: str | None = None
    dialect: str
    model: str | None = None
    provider: str | None = None
    workspace: str | None = None
    key: str | None = None
    stream: bool
    status: str
    error: str | None = None
    finish: str | None = None
    prompt_tokens: int
    completion_tokens: int
    cost_nano_usd: int
    ms: int
    first_byte_ms: int | None = None
    attempts: int
    trail: str | None = None
    event: str
    level: str
    timestamp: datetime.datetime


_encode_line = msgspec.json.Encoder().encode


class Log:
    """The gateway's log. Keyword arguments become members of the line; a prompt or a key never is one."""

    def __init__(self, level: str, redaction: Redaction, out: BinaryIO | None = None, key_prefix: str = "th-") -> None:
        self._redaction = redaction
        # The same few models and finish reasons come again and again.
        self._struck = functools.lru_cache(maxsize=1024)(self._strike)
        self._out = out or sys.stderr.buffer
        self._writes_calls = _LEVELS[level] <= _LEVELS["info"]
        self._prefix_shape = re.compile(re.escape(key_prefix) + r"[A-Za-z0-9_\-]{12,}")
        processors = [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso"), self._render]
        self._logger = structlog.wrap_logger(
            structlog.BytesLogger(self._out),
            processors=processors,
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
            cache_logger_on_first_use=True,
        )

    def call(self, record: CallRecord) -> None:
        """One line per call. It is on every call's path, so it goes past structlog, and only what a caller or a
        provider wrote is looked through for secrets."""
        if not self._writes_calls:
            return
        line = _CallLine(
            request_id=record.id,
            client_request_id=self._struck(record.client_request_id),
            dialect=record.dialect,
            model=self._struck(record.model),
            provider=record.provider,
            workspace=record.workspace_id,
            key=record.key_id,
            stream=record.stream,
            status=record.status,
            error=record.error_code,
            finish=self._struck(record.finish_reason),
            prompt_tokens=record.prompt_tokens,
            completion_tokens=record.completion_tokens,
            cost_nano_usd=record.cost_nano_usd,
            ms=record.finished_at_ms - record.started_at_ms,
            first_byte_ms=record.first_byte_ms,
            attempts=len(record.attempts),
            trail=attempts_line(record.attempts) if _is_telling(record) else None,
            event="call",
            level="info",
            timestamp=datetime.datetime.now(datetime.UTC),
        )
        self._out.write(_encode_line(line) + b"\n")
        self._out.flush()

    def info(self, event: str, **facts: object) -> None:
        """Something worth knowing."""
        self._logger.info(event, **facts)

    def warning(self, event: str, **facts: object) -> None:
        """Something that may need the operator."""
        self._logger.warning(event, **facts)

    def error(self, event: str, **facts: object) -> None:
        """Something that needs the operator."""
        self._logger.error(event, **facts)

    def critical(self, event: str, **facts: object) -> None:
        """Something that is lost unless the operator acts on this line."""
        self._logger.critical(event, **facts)

    def broken(self, request_id: str, error: BaseException) -> None:
        """A fault of our own: where it happened, without the error's text, which may quote a prompt."""
        places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        self._logger.error("the gateway failed", request_id=request_id, error=type(error).__name__, at=places[-6:])

    def adopt(self) -> None:
        """Carry the lines of libraries (uvicorn, aiohttp, asyncio) from the standard `logging` as well."""
        root = logging.getLogger()
        root.handlers[:] = [_Adopted(self)]
        root.setLevel(logging.WARNING)

    def _strike(self, text: str | None) -> str | None:
        return None if text is None else self._prefix_shape.sub(_STRUCK, self._redaction.strike(text))

    def _render(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> bytes:
        facts = {name: value for name, value in event.items() if value is not None}
        line = self._redaction.strike(msgspec.json.encode(facts).decode())
        return self._prefix_shape.sub(_STRUCK, line).encode()


def _is_telling(record: CallRecord) -> bool:
    """Whether the attempts say more than that the only one went well."""
    attempts = record.attempts
    return len(attempts) > 1 or (len(attempts) == 1 and attempts[0].outcome != "ok")


class _Adopted(logging.Handler):
    """Hands a library's log record to our log."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        facts: dict[str, object] = {"logger": record.name}
        if record.exc_info and record.exc_info[0] is not None:
            facts["error"] = record.exc_info[0].__name__
        write = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        write(record.getMessage(), **facts)
