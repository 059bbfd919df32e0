"""The checklist's rows on HyperInfer's chat, and HPP's images, over providers of every format."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.callers import HPP, HYPERINFER, VOLTAGE, chat
from support.conversation import PDF, PHOTO_URL, PNG
from support.formats import CATALOG, FORMATS, call, events, losses, told
from support.gateway import RunningGateway

SCHEMA = {"type": "object", "properties": {"n": {"const": 7}}, "required": ["n"], "additionalProperties": False}
FUNCTION = {"name": "weather", "description": "The weather.", "parameters": SCHEMA}
TOOLS = [{"type": "function", "function": FUNCTION}]
every_upstream = pytest.mark.parametrize("upstream", FORMATS)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    gateway = RunningGateway(tmp_path_factory.mktemp("rows"), catalog=CATALOG)
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    gateway = RunningGateway(tmp_path_factory.mktemp("strict"), catalog=CATALOG, strict_schema=True)
    yield gateway
    gateway.stop()


@pytest.mark.row(9)
@pytest.mark.parametrize("stream", [False, True])
def test_hpp_images_become_native_image_blocks(running: RunningGateway, stream: bool) -> None:
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "high"}},
        {"type": "image_url", "image_url": {"url": PHOTO_URL}},
    ]
    asked = [{"role": "user", "content": content}]
    reply = chat(running, HPP, running.key(), "messages/script/say=A%20dot.", messages=asked, stream=stream)
    assert reply.status == 200, reply.body
    assert reply.text() == "A dot."
    assert told(running)["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "image", "source": {"type": "url", "url": PHOTO_URL}},
    ]


NESTED: dict[str, Any] = {
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "x_part": 1}], "x_turn": {"a": [1]}}],
    "tools": [{"type": "function", "function": {**FUNCTION, "x_function": True}}],
}


@pytest.mark.row(64)
def test_unknown_nested_keys_arrive_at_a_provider_of_the_same_format(running: RunningGateway) -> None:
    reply = call(running, "chat", "chat/script/say=x", **NESTED)
    assert reply.status == 200, reply.body
    assert {name: told(running)[name] for name in NESTED} == NESTED
    assert losses(reply) == []


@pytest.mark.row(64)
@pytest.mark.parametrize("upstream", ["responses", "messages"])
def test_unknown_nested_keys_are_named_losses_elsewhere(running: RunningGateway, upstream: str) -> None:
    reply = call(running, "chat", f"{upstream}/script/say=x", **NESTED)
    assert reply.status == 200, reply.body
    named = ["messages[0].parts[0].x_part", "messages[0].x_turn", "tools[0].function"]
    assert sorted(losses(reply)) == named
    assert not [name for name in ("x_part", "x_turn", "x_function") if name in json.dumps(told(running))]
    assert set(named) <= set(running.record(reply.request_id).losses)


@pytest.mark.row(64)
@every_upstream
def test_unknown_nested_keys_are_refused_when_told_so(strict: RunningGateway, upstream: str) -> None:
    before = len(strict.arrivals())
    for name, value in NESTED.items():
        reply = call(strict, "chat", f"{upstream}/script/say=x", **{name: value})
        assert reply.status == 400
        assert reply.json()["error"]["code"] == "invalid_request"
        assert reply.json()["error"]["param"].rpartition(".")[2].startswith("x_")
    assert len(strict.arrivals()) == before
    assert call(strict, "chat", f"{upstream}/script/say=x", x_top={"a": 1}).status == 200


CHOICES: dict[str, dict[str, Any]] = {
    "chat": {
        "auto": "auto",
        "none": "none",
        "required": "required",
        "named": {"type": "function", "function": {"name": "weather"}},
    },
    "responses": {
        "auto": "auto",
        "none": "none",
        "required": "required",
        "named": {"type": "function", "name": "weather"},
    },
    "messages": {
        "auto": {"type": "auto"},
        "none": {"type": "none"},
        "required": {"type": "any"},
        "named": {"type": "tool", "name": "weather"},
    },
}
TOOL_OF: dict[str, Any] = {
    "chat": TOOLS[0],
    "responses": {"type": "function", **FUNCTION},
    "messages": {"name": "weather", "description": "The weather.", "input_schema": SCHEMA},
}


@pytest.mark.row(65, 78, 85)
@pytest.mark.parametrize("caller", FORMATS)
@every_upstream
@pytest.mark.parametrize("choice", ["auto", "none", "required", "named"])
def test_every_tool_choice_in_every_form(running: RunningGateway, caller: str, upstream: str, choice: str) -> None:
    asked = {"tools": [TOOL_OF[caller]], "tool_choice": CHOICES[caller][choice]}
    reply = call(running, caller, f"{upstream}/echo", **asked)
    assert reply.status == 200, reply.body
    sent = told(running)
    assert sent["tool_choice"] == CHOICES[upstream][choice]
    (tool,) = sent["tools"]
    assert {name: tool[name] for name in TOOL_OF[upstream]} == TOOL_OF[upstream]
    # The simulator calls a tool when it has to, and no other way.
    assert (b'"weather"' in reply.body) == (choice in ("required", "named"))
    assert losses(reply) == []


@pytest.mark.row(67)
@every_upstream
@pytest.mark.parametrize("stream", [False, True])
def test_json_schema_mode(running: RunningGateway, upstream: str, stream: bool) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    reply = call(running, "chat", f"{upstream}/echo", response_format=wanted, stream=stream)
    assert reply.status == 200, reply.body
    assert json.loads(reply.text()) == {"n": 7}
    sent = told(running)
    told_schema = {
        "chat": lambda: sent["response_format"]["json_schema"]["schema"],
        "responses": lambda: sent["text"]["format"]["schema"],
        "messages": lambda: sent["output_config"]["format"]["schema"],
    }
    assert told_schema[upstream]() == SCHEMA


@pytest.mark.row(67)
@every_upstream
def test_json_object_and_text_mode(running: RunningGateway, upstream: str) -> None:
    reply = call(running, "chat", f"{upstream}/echo", response_format={"type": "json_object"})
    assert reply.status == 200, reply.body
    if upstream == "messages":
        assert losses(reply) == ["response_format"]
    else:
        assert json.loads(reply.text()) == {}
        assert losses(reply) == []
    plain = call(running, "chat", f"{upstream}/script/say=Hi", response_format={"type": "text"})
    assert (plain.text(), losses(plain)) == ("Hi", [])


@pytest.mark.row(67)
@pytest.mark.parametrize("missing", ["name", "schema"])
def test_a_schema_needs_its_name_and_itself(running: RunningGateway, missing: str) -> None:
    whole = {"name": "answer", "schema": SCHEMA}
    given = {key: value for key, value in whole.items() if key != missing}
    reply = call(running, "chat", "chat/echo", response_format={"type": "json_schema", "json_schema": given})
    assert reply.status == 400
    assert reply.json()["error"]["param"] == f"response_format.json_schema.{missing}"


@pytest.mark.row(68)
@every_upstream
@pytest.mark.parametrize("effort", ["low", "medium", "high"])
def test_effort_reaches_the_provider_and_reasoning_the_caller(
    running: RunningGateway, upstream: str, effort: str
) -> None:
    model = f"{upstream}/script/reasoning=4/say=Well."
    reply = call(running, "chat", model, reasoning_effort=effort)
    message = reply.json()["choices"][0]["message"]
    assert (message["reasoning"], message["content"]) == ("a quick coin rolls", "Well.")
    assert reply.json()["usage"]["completion_tokens_details"]["reasoning_tokens"] == 4
    sent = told(running)
    said = {
        "chat": lambda: sent["reasoning_effort"],
        "responses": lambda: sent["reasoning"]["effort"],
        "messages": lambda: sent["output_config"]["effort"],
    }
    assert said[upstream]() == effort
    deltas = [c["delta"] for e in events(call(running, "chat", model, stream=True)) for c in e["choices"]]
    assert "".join(delta.get("reasoning") or "" for delta in deltas) == "a quick coin rolls"
    assert "".join(delta.get("content") or "" for delta in deltas) == "Well."


@pytest.mark.row(69)
@every_upstream
def test_files_and_images_by_data_and_by_url(running: RunningGateway, upstream: str) -> None:
    pdf_url = "https://files.example.com/sums.pdf"
    content = [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
        {"type": "file", "file": {"filename": "b.pdf", "file_url": pdf_url}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": PHOTO_URL}},
        {"type": "text", "text": "Compare."},
    ]
    reply = call(running, "chat", f"{upstream}/script/say=x", messages=[{"role": "user", "content": content}])
    assert reply.status == 200, reply.body
    assert losses(reply) == []
    sent = told(running)
    data = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    picture = {"type": "base64", "media_type": "image/png", "data": PNG}
    native: dict[str, list[Any]] = {
        "chat": content,
        "responses": [
            {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
            {"type": "input_file", "filename": "b.pdf", "file_url": pdf_url},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
            {"type": "input_image", "image_url": PHOTO_URL},
            {"type": "input_text", "text": "Compare."},
        ],
        "messages": [
            {"type": "document", "source": data, "title": "a.pdf"},
            {"type": "document", "source": {"type": "url", "url": pdf_url}, "title": "b.pdf"},
            {"type": "image", "source": picture},
            {"type": "image", "source": {"type": "url", "url": PHOTO_URL}},
            {"type": "text", "text": "Compare."},
        ],
    }
    assert (sent["input"] if upstream == "responses" else sent["messages"])[0]["content"] == native[upstream]


REASONS = {
    "stop": "say=Hi",
    "length": "text=900",
    "tool_calls": "tools=1",
    "content_filter": {"chat": "finish=content_filter", "responses": "finish=content_filter", "messages": "refusal=No"},
}


@pytest.mark.row(70)
@every_upstream
@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("stream", [False, True])
def test_every_finish_reason_is_reached(running: RunningGateway, upstream: str, reason: str, stream: bool) -> None:
    script = REASONS[reason]
    spoken = script if isinstance(script, str) else script[upstream]
    asked = {"max_tokens": 20, "tools": TOOLS, "stream": stream}
    reply = call(running, "chat", f"{upstream}/script/{spoken}", **asked)
    assert reply.status == 200, reply.body
    chunks = events(reply) if stream else [reply.json()]
    reasons = [c["finish_reason"] for chunk in chunks for c in chunk["choices"] if c["finish_reason"]]
    assert reasons == [reason]


@pytest.mark.row(70)
@pytest.mark.parametrize("upstream", ["chat", "messages"])
@pytest.mark.parametrize("stop", ["toll", ["toll", "gate"]])
def test_stop_as_text_and_as_a_list(running: RunningGateway, upstream: str, stop: Any) -> None:
    reply = call(running, "chat", f"{upstream}/script/say=The%20toll%20gate", stop=stop)
    assert (reply.text().strip(), reply.json()["choices"][0]["finish_reason"]) == ("The", "stop")
    sent = told(running)
    expected = stop if upstream == "chat" else [stop] if isinstance(stop, str) else stop
    assert sent["stop" if upstream == "chat" else "stop_sequences"] == expected


@pytest.mark.row(70)
def test_stop_is_a_named_loss_where_there_is_none(running: RunningGateway) -> None:
    assert losses(call(running, "chat", "responses/script/say=x", stop="toll")) == ["stop"]


@pytest.mark.row(73)
@every_upstream
def test_arguments_come_in_pieces_that_make_json(running: RunningGateway, upstream: str) -> None:
    script = "tools=2/args=%7B%22city%22%3A%22R%C4%ABga%22%2C%22n%22%3A%5B1%2C2%5D%7D"
    reply = call(running, "chat", f"{upstream}/script/{script}", tools=TOOLS, stream=True)
    pieces: dict[int, list[str]] = {}
    for event in events(reply):
        for choice in event["choices"]:
            for piece in choice["delta"].get("tool_calls", []):
                pieces.setdefault(piece["index"], []).append(piece["function"].get("arguments") or "")
    assert len(pieces) == 2
    for parts in pieces.values():
        assert len(parts) > 2
        assert json.loads("".join(parts)) == {"city": "Rīga", "n": [1, 2]}


@pytest.mark.row(62, 77, 82, 87)
@pytest.mark.parametrize(
    ("caller", "field", "value"),
    [
        ("chat", "temperature", -0.1),
        ("chat", "temperature", 2.1),
        ("chat", "top_p", 1.1),
        ("chat", "max_tokens", 0),
        ("chat", "messages", []),
        ("chat", "messages", [{"role": "boss", "content": "x"}]),
        ("responses", "previous_response_id", "resp_1"),
        ("responses", "conversation", "conv_1"),
        ("responses", "temperature", 2.1),
        ("messages", "temperature", 1.1),
        ("messages", "max_tokens", 0),
        ("messages", "messages", []),
        ("messages", "response_format", {"type": "json_object"}),
    ],
)
def test_what_is_out_of_bounds_is_refused_in_the_callers_envelope(
    running: RunningGateway, caller: str, field: str, value: Any
) -> None:
    before = len(running.arrivals())
    reply = call(running, caller, "chat/script/say=x", **{field: value})
    assert reply.status == 400
    error = reply.json()["error"]
    assert (error["code"], error["type"]) == ("invalid_request", "invalid_request_error")
    assert field in error["message"]
    assert (reply.json().get("type") == "error") == (caller == "messages")
    assert len(running.arrivals()) == before


@pytest.mark.row(77)
def test_only_a_provider_of_the_format_follows_the_conversation_that_it_keeps(running: RunningGateway) -> None:
    reply = call(running, "responses", "responses/script/say=x", conversation="conv_1", background=True)
    assert reply.status == 200, reply.body
    assert told(running)["conversation"] == "conv_1"
    # Its answer would have to be fetched from here, so it is waited for.
    assert "background" not in told(running)


@pytest.mark.row(92)
@pytest.mark.parametrize("caller", FORMATS)
@every_upstream
@pytest.mark.parametrize("status", [401, 403])
def test_our_own_credential_is_not_the_callers_fault(
    running: RunningGateway, caller: str, upstream: str, status: int
) -> None:
    reply = call(running, caller, f"{upstream}/script/status={status}/body=echo_auth")
    assert reply.status == 502
    assert reply.json()["error"]["code"] == "provider_auth"


@pytest.mark.row(63)
@every_upstream
def test_a_developer_is_the_system(running: RunningGateway, upstream: str) -> None:
    turns = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert call(running, "chat", f"{upstream}/script/say=x", messages=turns).status == 200
    sent = told(running)
    if upstream == "messages":
        assert sent["system"] == [{"type": "text", "text": "Be brief."}]
    else:
        first = (sent["input"] if upstream == "responses" else sent["messages"])[0]
        assert (first["role"], first["content"]) == ("developer", "Be brief.")


@pytest.mark.row(90)
@pytest.mark.parametrize("face", [HPP, HYPERINFER, VOLTAGE], ids=lambda face: face.name)
@every_upstream
def test_every_api_reaches_every_format_with_tools(running: RunningGateway, face: Any, upstream: str) -> None:
    reply = chat(running, face, running.key(), f"{upstream}/script/tools=1", tools=TOOLS)
    assert reply.json()["choices"][0]["finish_reason"] == "tool_calls"
