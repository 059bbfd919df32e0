"""What requests name only: pictures by address are counted, files of any length are noticed, in all formats."""

import json
from typing import Any

import pytest

from tollhouse.wire.format import Peek
from tollhouse.wire.registry import FORMATS

FAR = "https://pictures.example/a.png"
NEAR = "data:image/png;base64," + "iVBORw0KGgo" * 20
FORMAT = {form.name: form for form in FORMATS}


def peeked(format_name: str, *parts: dict[str, Any]) -> Peek:
    turn = {"role": "user", "content": list(parts)}
    field = "input" if format_name == "openai_responses" else "messages"
    return FORMAT[format_name].scan(json.dumps({"model": "m", "max_tokens": 9, field: [turn]}).encode()).peek


def chat_picture(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {**more, "url": url}}


def source(kind: str, **of: Any) -> dict[str, Any]:
    return {"type": kind, "source": of}


PICTURES = [
    ("openai_chat", [chat_picture(FAR), chat_picture(FAR, detail="high")], 2),
    ("openai_chat", [chat_picture(NEAR), {"type": "text", "text": FAR}], 0),
    ("openai_chat", [chat_picture(NEAR), chat_picture(FAR)], 1),
    ("openai_chat", [{"type": "text", "text": 'say "image_url": "https://x" and some_snake_case'}], 0),
    ("openai_responses", [{"type": "input_image", "image_url": FAR}, {"type": "input_image", "image_url": NEAR}], 1),
    ("openai_responses", [{"type": "input_text", "text": FAR}], 0),
    ("anthropic_messages", [source("image", type="url", url=FAR), {"type": "text", "text": FAR}], 1),
    ("anthropic_messages", [source("image", type="base64", media_type="image/png", data="iVBORw0KGgo")], 0),
    ("anthropic_messages", [{"type": "tool_use", "id": "t", "name": "fetch", "input": {"url": FAR}}], 0),
]


@pytest.mark.parametrize(("format_name", "parts", "count"), PICTURES)
def test_pictures_by_address_are_counted(format_name: str, parts: list[dict[str, Any]], count: int) -> None:
    peek = peeked(format_name, *parts)
    assert peek.remote_pictures == count
    assert not peek.is_partial


FILES = [
    ("openai_chat", {"type": "file", "file": {"file_id": "file-1"}}),
    ("openai_responses", {"type": "input_file", "file_id": "file-1"}),
    ("openai_responses", {"type": "input_file", "file_url": "https://papers.example/a.pdf"}),
    ("openai_responses", {"type": "input_image", "file_id": "file-1"}),
    ("anthropic_messages", source("document", type="url", url="https://papers.example/a.pdf")),
    ("anthropic_messages", source("document", type="file", file_id="file_1")),
    ("anthropic_messages", source("image", type="file", file_id="file_1")),
]


@pytest.mark.parametrize(("format_name", "part"), FILES)
def test_files_that_are_not_there_are_of_any_length(format_name: str, part: dict[str, Any]) -> None:
    assert peeked(format_name, part).is_partial


def test_a_file_inside_of_the_request_is_all_there() -> None:
    inside = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}
    assert not peeked("openai_chat", inside).is_partial
    document = source("document", type="base64", media_type="application/pdf", data="JVBERi0=")
    assert not peeked("anthropic_messages", document).is_partial
