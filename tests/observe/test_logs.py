"""The log: one JSON object a line, and no secret in any of them."""

import io
import json
import logging

import pytest

from tollhouse.observe.logs import Log, Redaction


def lines(out: io.BytesIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def log_to(out: io.BytesIO, *secrets: str, level: str = "info") -> Log:
    return Log(level, Redaction(secrets), out)


def test_a_line_is_one_json_object_even_with_line_breaks_inside() -> None:
    out = io.BytesIO()
    log_to(out).info("started", model='a"\r\nb\x1b[31m', port=1)
    (line,) = lines(out)
    assert line["event"] == "started"
    assert line["model"] == 'a"\r\nb\x1b[31m'
    assert line["level"] == "info"
    assert b"\x1b" not in out.getvalue()


@pytest.mark.row(140)
@pytest.mark.parametrize(
    "text",
    [
        "th-abcdefghijklmnop1234",
        "sk-proj-ABCDEFGHIJKLMNOP",
        "Bearer abc.def.ghi123",
        "the-provider-secret",
        "AIzaSyA1234567890abcdefghijkl",
    ],
)
def test_secrets_are_struck_out(text: str) -> None:
    out = io.BytesIO()
    log_to(out, "the-provider-secret").warning(f"odd: {text}", value=f"x{'='}{text}")
    assert text.encode() not in out.getvalue()
    assert out.getvalue().count(b"[redacted]") == 2


def test_lower_levels_are_left_out() -> None:
    out = io.BytesIO()
    log = log_to(out, level="warning")
    log.info("quiet")
    log.error("loud")
    assert [line["event"] for line in lines(out)] == ["loud"]


def test_a_fault_of_our_own_is_named_without_its_text() -> None:
    out = io.BytesIO()
    log = log_to(out)
    try:
        raise ValueError("the prompt")
    except ValueError as error:
        log.broken("id", error)
    (line,) = lines(out)
    assert line["error"] == "ValueError"
    assert "test_logs.py" in str(line["at"])
    assert b"the prompt" not in out.getvalue()


def test_library_lines_are_carried_and_redacted() -> None:
    out = io.BytesIO()
    before = logging.getLogger().handlers[:]
    level = logging.getLogger().level
    try:
        log_to(out).adopt()
        logging.getLogger("aiohttp.client").error("bad header %s", "th-abcdefghijklmnop1234")
    finally:
        logging.getLogger().handlers[:] = before
        logging.getLogger().setLevel(level)
    (line,) = lines(out)
    assert line["logger"] == "aiohttp.client"
    assert "[redacted]" in str(line["event"])
