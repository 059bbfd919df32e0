"""Embeddings and pictures as agreed: what a caller sends, what the provider gets, and what comes back."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from support.callers import HPP, HYPERINFER, VOLTAGE, Face, ask
from support.gateway import RunningGateway
from support.golden import check_golden
from support.image_provider import opened

GOLDEN = Path(__file__).parent / "golden"
ADDRESS = re.compile(r"^http://127\.0\.0\.1:\d+/pictures/[\w-]{43}\.")
IMAGES = "/v1/images/generations"
EXCHANGES: dict[str, tuple[Face, str, dict[str, str], dict[str, Any]]] = {
    "voltagegpu.embeddings": (
        VOLTAGE,
        "/v1/embeddings",
        {},
        {"model": "text-embedding-ada-002", "input": ["First text to embed", "Second text to embed"], "dimensions": 4},
    ),
    "hyperinfer.embeddings": (
        HYPERINFER,
        "/api/v1/embeddings",
        {},
        {"model": "text-embedding-3-small", "input": "First text", "dimensions": 4, "encoding_format": "base64"},
    ),
    "hpp_router.images": (HPP, IMAGES, {}, {"prompt": "A toll house", "quality": "low", "background": "opaque"}),
    "hpp_router.images.refused": (HPP, IMAGES, {}, {"prompt": "A toll house", "size": "512x512"}),
    "voltagegpu.images": (
        VOLTAGE,
        IMAGES,
        {},
        {"prompt": "A futuristic city", "n": 2, "size": "512x512", "guidance_scale": 7.5, "num_inference_steps": 50},
    ),
    "voltagegpu.images.base64": (
        VOLTAGE,
        IMAGES,
        {},
        {"prompt": "A sunset", "size": "256x256", "response_format": "b64_json", "seed": 7},
    ),
    "voltagegpu.images.raw": (VOLTAGE, IMAGES, {"accept": "image/png"}, {"prompt": "A sunset", "size": "256x256"}),
    "voltagegpu.images.refused": (VOLTAGE, IMAGES, {}, {"prompt": "A sunset", "n": 11}),
}


def looks(data: bytes) -> str:
    found = opened(data)
    return f"<{found.format} {found.width}x{found.height}>"


def told(body: bytes) -> str:
    """An answer without what differs from one time to the next, and with the look of pictures in their place."""
    try:
        value = json.loads(body)
    except ValueError:
        return looks(body)
    if "created" in value:
        value["created"] = 0
    for one in value.get("data", []):
        if "b64_json" in one:
            one["b64_json"] = looks(base64.b64decode(one["b64_json"]))
        if "url" in one:
            one["url"] = ADDRESS.sub("<origin>/pictures/<name>.", one["url"])
    return json.dumps(value, indent=1)


@pytest.mark.row(36, 126, 128, 130)
@pytest.mark.parametrize("name", EXCHANGES)
def test_an_exchange_is_as_agreed(gateway: RunningGateway, name: str) -> None:
    face, path, headers, body = EXCHANGES[name]
    before = len(gateway.arrivals())
    reply = ask(gateway, "POST", path, face.auth(gateway.key()) | headers, body)
    lines = [f"POST {path}", json.dumps(body, indent=1)]
    for arrival in gateway.arrivals()[before:]:
        lines += ["", f"to the provider: POST {arrival.path}", json.dumps(json.loads(arrival.body), indent=1)]
    lines += ["", f"{reply.status} {reply.headers['content-type']}", told(reply.body)]
    if reply.status == 200:
        record = gateway.record(reply.request_id)
        tokens = f"{record.prompt_tokens} + {record.completion_tokens} tokens, {record.usage_source}"
        lines += ["", f"charged: {record.cost_nano_usd} nano-USD ({tokens})"]
    check_golden(GOLDEN / f"{name}.txt", "\n".join(lines) + "\n")
