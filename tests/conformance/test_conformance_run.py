"""What a conformance run asks for, and what it says without recordings."""

import json
from pathlib import Path

import pytest
from conformance.__main__ import main, recordings_in


def test_without_recordings_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["conformance"])
    for folder in ("", str(tmp_path)):
        monkeypatch.setenv("TOLLHOUSE_CONFORMANCE", folder)
        assert main() == 0
        assert capsys.readouterr().out.count("\n") == 1
    monkeypatch.delenv("TOLLHOUSE_CONFORMANCE")
    assert main() == 0
    assert "skipped" in capsys.readouterr().out


def test_every_recording_is_asked_for_that_the_oracle_takes(tmp_path: Path) -> None:
    taken = {"request_json": {"model": "m"}, "response_json": {}}
    odd = {
        "openai_chat-b": {**taken, "request_json": None},
        "openai_chat-c": {**taken, "response_b64": ""},
        "openai_chat-d": {**taken, "response_json": []},
        "gemini-a": taken,
    }
    fine = {f"{api}-a": taken for api in ("openai_chat", "openai_responses", "anthropic_messages")}
    (tmp_path / "exchanges").mkdir()
    for name, exchange in {**odd, **fine}.items():
        whole = {"id": name, "api": name.partition("-")[0], **exchange}
        (tmp_path / "exchanges" / f"{name}.json").write_text(json.dumps(whole))
    assert recordings_in(tmp_path, 1) == ["anthropic_messages-a", "openai_chat-a", "openai_responses-a"]
    assert recordings_in(tmp_path, 2) == ["anthropic_messages-a", "openai_responses-a"]
