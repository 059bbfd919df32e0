"""Every operation of two contracts under each of its key headers, and the shared path's choice between them."""

import base64
import io
from typing import Any

import openai
import pytest
from PIL import Image

from support.callers import HPP, USER, VOLTAGE, VOLTAGE_LOCAL, Face, ask
from support.gateway import RunningGateway

CHAT = {"model": "simulator/script/text=1", "messages": [USER]}
PICTURE = {"prompt": "A toll gate", "model": "simulator/picture", "size": "1024x1024"}
TEXTS = {"model": "text-embedding-ada-002", "input": "A toll gate"}
HPP_OPERATIONS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/llm/v1/chat/completions", CHAT),
    ("GET", "/llm/v1/models", None),
    ("POST", "/v1/images/generations", PICTURE),
    ("GET", "/api/usage", None),
    ("GET", "/api/quota-check", None),
]


@pytest.mark.row(1, 2)
@pytest.mark.parametrize("header", HPP.key_headers)
@pytest.mark.parametrize(("method", "path", "body"), HPP_OPERATIONS, ids=[path for _, path, _ in HPP_OPERATIONS])
def test_each_header_alone_opens_all_five_operations(
    gateway: RunningGateway, header: str, method: str, path: str, body: dict[str, Any] | None
) -> None:
    reply = ask(gateway, method, path, HPP.auth(gateway.key(), header), body)
    assert reply.status == 200, reply.body


@pytest.mark.row(119, 120)
@pytest.mark.parametrize("face", [VOLTAGE, VOLTAGE_LOCAL], ids=lambda face: face.name)
def test_the_own_header_opens_all_three_endpoints_under_both_mounts(gateway: RunningGateway, face: Face) -> None:
    headers = face.auth(gateway.key(), "x-voltagegpu-key")
    for path, body in (("/chat/completions", CHAT), ("/embeddings", TEXTS), ("/images/generations", PICTURE)):
        reply = ask(gateway, "POST", face.base + path, headers, body)
        assert reply.status == 200, reply.body


@pytest.mark.row(136)
def test_each_face_of_the_shared_path_applies_its_own_schema(gateway: RunningGateway) -> None:
    key, path = gateway.key(), "/v1/images/generations"
    own, bearer, apikey = VOLTAGE.auth(key), {"authorization": f"Bearer {key}"}, HPP.auth(key)
    only_voltage, only_hpp = {**PICTURE, "size": "256x256"}, {**PICTURE, "size": "1024x1536"}
    for headers, fits, misfit in (
        (own, only_voltage, only_hpp),
        ({**own, **bearer}, only_voltage, only_hpp),
        ({**own, "authorization": "Bearer th-nonsense"}, only_voltage, only_hpp),
        ({**own, **apikey}, only_voltage, only_hpp),
        (apikey, only_hpp, only_voltage),
        (bearer, only_hpp, only_voltage),
    ):
        assert ask(gateway, "POST", path, headers, fits).status == 200
        refused = ask(gateway, "POST", path, headers, misfit)
        assert refused.status == 400
        assert ("details" in refused.json()) == (fits is only_voltage)


@pytest.mark.row(46, 135)
@pytest.mark.parametrize("own_header", [False, True], ids=["hpp", "voltage"])
def test_the_official_sdk_has_pictures_made_on_both_faces(gateway: RunningGateway, own_header: bool) -> None:
    key = gateway.key()
    headers = VOLTAGE.auth(key) if own_header else None
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key=key, default_headers=headers, max_retries=0) as sdk:
        made = sdk.images.generate(
            prompt="A toll gate", model="simulator/picture", n=2, size="1024x1024", response_format="b64_json"
        )
        assert len(made.data or ()) == 2
        for item in made.data or ():
            with Image.open(io.BytesIO(base64.b64decode(item.b64_json or ""))) as picture:
                assert picture.size == (1024, 1024)
