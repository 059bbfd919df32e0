"""Pictures through a running gateway: HPP Router's contract and VoltageGPU's, on one path."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from support.callers import HPP, VOLTAGE, VOLTAGE_LOCAL, Face, Reply, ask
from support.gateway import RunningGateway
from support.image_provider import USAGE, as_base64, opened, painted, picture
from support.scripted_providers import Answer, Asked, ScriptedProviders, failed

PATH = "/v1/images/generations"
MODELS = """
  - slug: openai/gpt-image-1
    aliases: [gpt-image-1]
    operations: [images]
    pricing:
      prompt: 5
      image_input: 10
      image_output: 40
      images:
        - {size: 1024x1024, quality: low, output_tokens: 272}
        - {size: 1024x1024, quality: high, output_tokens: 4160}
        - {size: 1024x1536, quality: high, output_tokens: 6240}
    deployments:
      - {provider: a, model: image-a}
      - {provider: b, model: image-b, order: 1}
  - slug: acme/diffusion
    operations: [images]
    pricing:
      per_image: 0.04
      images:
        - {size: 256x256, usd: 0.01}
        - {size: 512x512, usd: 0.02, output_tokens: 10}
    deployments:
      - {provider: d, model: checkpoint}
  - slug: acme/together
    operations: [images]
    pricing: {per_image: 0.03}
    deployments:
      - {provider: a, model: flux, quirks: {diffusion: true, image_response_format: true}}
  - slug: acme/talk
    pricing: {prompt: 1, completion: 1}
    deployments: [{provider: t, model: talk}]
"""
PROVIDERS = """
  - {id: a, format: openai_images, base_url: 'URL/a/v1', api_key: upstream-secret-canary}
  - {id: b, format: openai_images, base_url: 'URL/b/v1', api_key: none}
  - {id: d, format: sdapi, base_url: 'URL/d', api_key: none}
  - {id: t, format: openai_chat, base_url: 'URL/t/v1', api_key: none}
"""


@pytest.fixture
def providers() -> Iterator[ScriptedProviders]:
    served = ScriptedProviders(painted)
    yield served
    served.stop()


def catalogue(providers: ScriptedProviders, default: str = "acme/diffusion") -> str:
    defaults = f"default_models: {{images: {default}}}\n" if default else ""
    text = f"{defaults}providers:{PROVIDERS.replace('URL', providers.url)}models:{MODELS}"
    return text.replace("{", "{{").replace("}", "}}")


@pytest.fixture
def gateway(start_gateway: Callable[..., RunningGateway], providers: ScriptedProviders) -> RunningGateway:
    return start_gateway(catalog=catalogue(providers))


def hpp(gateway: RunningGateway, key: str, **fields: Any) -> Reply:
    return ask(gateway, "POST", PATH, HPP.auth(key), {"prompt": "a toll house"} | fields)


def voltage(gateway: RunningGateway, key: str, face: Face = VOLTAGE, accept: str = "", **fields: Any) -> Reply:
    headers = face.auth(key) | ({"accept": accept} if accept else {})
    return ask(gateway, "POST", f"{face.base}/images/generations", headers, {"prompt": "a toll house"} | fields)


def download(gateway: RunningGateway, url: str, method: str = "GET") -> Reply:
    parts = urlsplit(url)
    assert (parts.scheme, parts.port) == ("http", gateway.port)
    return ask(gateway, method, parts.path)


# HPP Router.


@pytest.mark.row(34)
def test_a_prompt_alone_gets_the_documented_defaults(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    reply = hpp(gateway, gateway.key())
    assert reply.status == 200, reply.body
    (asked,) = providers.asked
    assert asked.path == "/a/v1/images/generations"
    assert asked.body == {
        "model": "image-a",
        "prompt": "a toll house",
        "n": 1,
        "size": "1024x1024",
        "quality": "auto",
    }
    assert gateway.record(reply.request_id).model == "openai/gpt-image-1"


@pytest.mark.row(35)
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": None},
        {"prompt": ""},
        {"prompt": 7},
        {"prompt": "a", "n": 0},
        {"prompt": "a", "n": 5},
        {"prompt": "a", "n": 1.5},
        {"prompt": "a", "size": "512x512"},
        {"prompt": "a", "size": "auto"},
        {"prompt": "a", "quality": "hd"},
        {"prompt": "a", "output_format": 7},
        {"prompt": "a", "model": "nobody/knows"},
        {"prompt": "a", "model": "acme/talk"},
        {"prompt": "a", "stream": True},
        b"[]",
        b"{",
    ],
    ids=str,
)
def test_what_hpp_refuses(gateway: RunningGateway, providers: ScriptedProviders, body: Any) -> None:
    reply = ask(gateway, "POST", PATH, HPP.auth(gateway.key()), body)
    assert reply.status == 400, reply.body
    assert isinstance(reply.json()["error"], str)
    assert providers.asked == []


@pytest.mark.row(36)
def test_fields_go_to_the_provider_and_its_answer_comes_back(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    sent = {"background": "transparent", "output_format": "png", "quality": "high", "size": "1024x1536", "n": 4}
    own = {"moderation": "low", "user": "somebody", "vendor": {"own": True}}
    providers.script = lambda asked: painted(asked, background="transparent", note="kept")
    answer = hpp(gateway, gateway.key(), **sent, **own).json()
    assert providers.asked[0].body == {"model": "image-a", "prompt": "a toll house"} | sent | own
    assert answer["created"] == 1700000000
    assert [base64.b64decode(one["b64_json"]) for one in answer["data"]] == [picture(number) for number in range(4)]
    assert (answer["background"], answer["note"]) == ("transparent", "kept")
    assert answer["usage"].items() >= USAGE.items()


@pytest.mark.row(36)
def test_what_the_provider_hands_over_by_address_stays_so_unless_base64_is_asked_for(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    url = f"{providers.url}/a/pictures/1.png"
    providers.script = lambda asked: painted(asked, data=[{"url": url, "revised_prompt": "better"}])
    assert hpp(gateway, gateway.key()).json()["data"] == [{"url": url, "revised_prompt": "better"}]


@pytest.mark.row(37)
def test_tokens_of_pictures_are_billed_at_their_own_rate(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    key = gateway.key("tokens")
    before = gateway.balance("tokens")
    reply = hpp(gateway, key, quality="low")
    # 7 tokens at 5 USD and 100 picture tokens at 40 USD per 1M.
    assert before - gateway.balance("tokens") == 7 * 5_000 + 100 * 40_000
    record = gateway.record(reply.request_id)
    assert (record.dialect, record.format, record.status) == ("hpp_router", "openai_images", "ok")
    assert (record.prompt_tokens, record.completion_tokens) == (7, 100)
    assert (record.cost_nano_usd, record.usage_source) == (4_035_000, "provider")
    usage = ask(gateway, "GET", "/api/usage", HPP.auth(key)).json()
    assert (usage["requests"], usage["total_tokens"], usage["total_cost"]) == (1, 107, 0.004035)


@pytest.mark.row(37)
def test_an_answer_without_usage_is_charged_by_what_the_catalogue_says_of_its_size_and_quality(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    providers.script = lambda asked: painted(asked, usage=None, quality="low", size="1024x1024")
    reply = hpp(gateway, gateway.key(), n=2)
    record = gateway.record(reply.request_id)
    assert (record.completion_tokens, record.usage_source) == (2 * 272, "estimated")
    assert reply.json()["usage"]["output_tokens"] == 2 * 272


@pytest.mark.row(37, 41)
def test_the_quota_is_checked_first(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    key = gateway.key("poor", usd=0)
    reply = hpp(gateway, key)
    assert (reply.status, reply.json()["error"], providers.asked) == (429, "quota_exceeded", [])
    workspace = gateway.do(gateway.gateway.store.workspace("poor"))
    assert workspace is not None
    gateway.do(gateway.gateway.store.top_up(workspace.id, 20_000_000, "tests:some", 0))
    # A picture of low quality is 272 tokens, one of any quality may be 4160: 0.011 and 0.166 USD.
    assert hpp(gateway, key, quality="low").status == 200
    reply = hpp(gateway, key)
    assert (reply.status, reply.json()["error"], len(providers.asked)) == (429, "quota_exceeded", 1)
    assert "Ask for less in one call" in reply.json()["message"]


@pytest.mark.row(12, 13)
@pytest.mark.parametrize(("status", "answered", "code"), [(503, 500, "overloaded"), (429, 429, "rate_limited")])
def test_both_error_shapes(
    gateway: RunningGateway, providers: ScriptedProviders, status: int, answered: int, code: str
) -> None:
    key = gateway.key("failing")
    before = gateway.balance("failing")
    providers.script = lambda asked: failed(status)
    reply = hpp(gateway, key)
    error = reply.json()["error"]
    assert (reply.status, error["code"], error["retryable"]) == (answered, code, True)
    assert error["type"] == "upstream_error"
    assert "upstream-secret-canary" not in reply.body.decode() + gateway.log()
    assert gateway.balance("failing") == before


def test_a_refusal_of_the_provider_that_blames_the_prompt_is_passed_on(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    providers.script = lambda asked: failed(400, "Your request was rejected by the safety system.", code="moderation")
    reply = hpp(gateway, gateway.key())
    assert (reply.status, reply.json()["error"]) == (400, "content_filter")
    assert len(providers.asked) == 1


@pytest.mark.row(133)
@pytest.mark.parametrize(
    "broken",
    [
        failed(500),
        Answer(body=b"<html>"),
        Answer(body=b'{"data": []}'),
        Answer(body=b'{"data": [{}]}'),
        Answer(body=b'{"data": [{"b64_json": "bm8gcGljdHVyZQ=="}]}'),
        Answer(body=b'{"data": [{"b64_json": "no base64"}]}'),
    ],
    ids=lambda answer: str(answer.body[:40]),
)
def test_another_deployment_stands_in(gateway: RunningGateway, providers: ScriptedProviders, broken: Answer) -> None:
    providers.script = lambda asked: broken if asked.provider == "a" else painted(asked)
    reply = hpp(gateway, gateway.key())
    assert (reply.status, gateway.record(reply.request_id).provider) == (200, "b")


# VoltageGPU.


@pytest.mark.row(119, 120, 128)
@pytest.mark.parametrize("face", [VOLTAGE, VOLTAGE_LOCAL], ids=lambda face: face.name)
def test_a_prompt_alone_gets_a_picture_by_address(
    gateway: RunningGateway, providers: ScriptedProviders, face: Face
) -> None:
    reply = voltage(gateway, gateway.key(), face)
    assert reply.status == 200, reply.body
    assert providers.asked[0].path == "/d/sdapi/v1/txt2img"
    assert providers.asked[0].body == {
        "prompt": "a toll house",
        "width": 1024,
        "height": 1024,
        "steps": 50,
        "cfg_scale": 7.5,
        "n_iter": 1,
        "batch_size": 1,
        "override_settings": {"sd_model_checkpoint": "checkpoint"},
    }
    answer = reply.json()
    assert isinstance(answer["created"], int)
    (one,) = answer["data"]
    assert set(one) == {"url"}
    found = download(gateway, one["url"])
    assert (found.status, found.body) == (200, picture(0))
    assert found.headers["content-type"] == "image/png"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert 3500 < int(found.headers["cache-control"].split("max-age=")[1].split(",")[0]) <= 3600
    head = download(gateway, one["url"], "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(picture(0))))


@pytest.mark.row(128)
def test_base64_decodes_to_the_picture(gateway: RunningGateway) -> None:
    answer = voltage(gateway, gateway.key(), response_format="b64_json", n=3).json()
    assert [base64.b64decode(one["b64_json"]) for one in answer["data"]] == [picture(number) for number in range(3)]


@pytest.mark.row(129)
@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1},
        {"n": 10},
        *({"size": size} for size in ("256x256", "512x512", "1024x1024", "1792x1024", "1024x1792")),
        {"guidance_scale": 1},
        {"guidance_scale": 20},
        {"num_inference_steps": 10},
        {"num_inference_steps": 150},
        {"model": "acme/diffusion"},
        {"n": None, "size": None, "response_format": None},
    ],
    ids=str,
)
def test_what_voltage_takes(gateway: RunningGateway, providers: ScriptedProviders, fields: dict[str, Any]) -> None:
    reply = voltage(gateway, gateway.key(), **fields)
    assert reply.status == 200, reply.body
    assert len(reply.json()["data"]) == (fields.get("n") or 1)
    body = providers.asked[0].body
    width, height = map(int, (fields.get("size") or "1024x1024").split("x"))
    assert (body["width"], body["height"]) == (width, height)
    assert body["cfg_scale"] == fields.get("guidance_scale", 7.5)
    assert body["steps"] == fields.get("num_inference_steps", 50)


@pytest.mark.row(129, 134)
@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": None},
        {"n": 0},
        {"n": 11},
        {"size": "1024x1536"},
        {"size": "auto"},
        {"response_format": "png"},
        {"guidance_scale": 0.9},
        {"guidance_scale": 20.1},
        {"num_inference_steps": 9},
        {"num_inference_steps": 151},
        {"num_inference_steps": 50.5},
        {"model": "acme/talk"},
    ],
    ids=str,
)
def test_what_voltage_refuses(gateway: RunningGateway, providers: ScriptedProviders, fields: dict[str, Any]) -> None:
    reply = voltage(gateway, gateway.key(), **fields)
    assert reply.status == 400, reply.body
    assert reply.json()["details"] == {"status": 400, "endpoint": PATH}
    assert providers.asked == []


@pytest.mark.row(130)
@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("image/png", "image/png"),
        ("image/jpeg", "image/jpeg"),
        ("image/jpeg, image/png;q=0.5", "image/jpeg"),
        ("application/json;q=0.1, image/png", "image/png"),
        ("image/*", "image/png"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("application/json, image/png", "application/json"),
        ("image/png;q=0", "application/json"),
        ("image/png;q=x", "application/json"),
    ],
)
def test_a_picture_may_be_the_body(
    gateway: RunningGateway, providers: ScriptedProviders, accept: str, media_type: str
) -> None:
    key = gateway.key("raw")
    before = gateway.balance("raw")
    reply = voltage(gateway, key, accept=accept)
    assert (reply.status, reply.headers["content-type"]) == (200, media_type)
    if media_type.startswith("image/"):
        found = opened(reply.body)
        assert (found.format, found.size) == (media_type.partition("/")[2].upper(), (8, 6))
        assert all(abs(is_ - was) < 5 for is_, was in zip(found.getpixel((3, 3)), (0, 100, 200), strict=True))
    # It costs the same.
    assert before - gateway.balance("raw") == 40_000_000


@pytest.mark.row(130)
def test_several_pictures_are_no_one_body(gateway: RunningGateway) -> None:
    reply = voltage(gateway, gateway.key(), accept="image/png", n=2)
    assert (reply.headers["content-type"], len(reply.json()["data"])) == ("application/json", 2)


@pytest.mark.row(129, 138)
@pytest.mark.parametrize(
    ("fields", "nano_usd"),
    [
        ({}, 40_000_000),
        ({"n": 10}, 400_000_000),
        ({"size": "256x256", "n": 3}, 30_000_000),
        ({"size": "512x512"}, 20_000_000),
    ],
    ids=str,
)
def test_each_picture_has_the_price_of_its_size(gateway: RunningGateway, fields: dict[str, Any], nano_usd: int) -> None:
    key = gateway.key("sizes")
    before = gateway.balance("sizes")
    reply = voltage(gateway, key, **fields)
    assert before - gateway.balance("sizes") == nano_usd
    assert gateway.record(reply.request_id).cost_nano_usd == nano_usd


def test_fewer_pictures_than_asked_for_are_paid_as_they_came(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    key = gateway.key("fewer")
    before = gateway.balance("fewer")
    providers.script = lambda asked: painted(asked, images=[as_base64(picture())])
    assert len(voltage(gateway, key, n=4).json()["data"]) == 1
    assert before - gateway.balance("fewer") == 40_000_000
    # An overview before the pictures is none of them.
    overview = [as_base64(picture(number)) for number in (9, 0, 1)]
    providers.script = lambda asked: painted(asked, images=overview, info='{"index_of_first_image": 1}')
    answer = voltage(gateway, key, n=2, response_format="b64_json").json()
    assert [one["b64_json"] for one in answer["data"]] == overview[1:]


@pytest.mark.row(131)
def test_a_plan_counts_the_tokens(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    key = gateway.key("planned")
    reply = voltage(gateway, key, size="512x512", n=2)
    record = gateway.record(reply.request_id)
    assert record.completion_tokens == 20
    assert record.prompt_tokens > 0


def test_what_a_provider_cannot_say_is_named(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    key = gateway.key()
    fields = {"model": "gpt-image-1", "guidance_scale": 9, "negative_prompt": "fog", "seed": 7}
    reply = voltage(gateway, key, **fields)
    assert reply.headers["x-tollhouse-loss"] == "negative_prompt, guidance_scale, seed"
    # Its own defaults are no loss, and neither is how the picture is handed over.
    assert "x-tollhouse-loss" not in voltage(gateway, key, model="gpt-image-1").headers
    assert providers.asked[-1].body == {"model": "image-a", "prompt": "a toll house", "n": 1, "size": "1024x1024"}
    headers = VOLTAGE.auth(key) | {"x-tollhouse-on-loss": "reject"}
    refused = ask(gateway, "POST", PATH, headers, {"prompt": "a toll house"} | fields)
    assert (refused.status, len(providers.asked)) == (400, 2)
    # A server that took over OpenAI's path with fields of its own.
    reply = voltage(gateway, key, **(fields | {"model": "acme/together"}))
    assert "x-tollhouse-loss" not in reply.headers
    assert providers.asked[-1].body == {
        "model": "flux",
        "prompt": "a toll house",
        "n": 1,
        "size": "1024x1024",
        "negative_prompt": "fog",
        "guidance_scale": 9,
        "num_inference_steps": 50,
        "seed": 7,
        "response_format": "b64_json",
    }
    # HPP's words at a diffusion server.
    reply = hpp(gateway, key, model="acme/diffusion", quality="high", background="transparent", own="field")
    assert reply.headers["x-tollhouse-loss"] == "quality, background, own"
    assert "x-tollhouse-loss" not in hpp(gateway, key, model="acme/diffusion").headers


@pytest.mark.parametrize(("wanted", "kind"), [("jpeg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
def test_a_file_of_another_kind_is_made(
    gateway: RunningGateway, providers: ScriptedProviders, wanted: str, kind: str
) -> None:
    key = gateway.key()
    providers.script = lambda asked: painted(asked, images=[as_base64(picture(mode="RGBA"))])
    (one,) = hpp(gateway, key, model="acme/diffusion", output_format=wanted).json()["data"]
    found = opened(base64.b64decode(one["b64_json"]))
    assert (found.format, found.mode) == (kind, "RGB" if kind == "JPEG" else "RGBA")
    by_url = hpp(gateway, key, model="acme/diffusion", output_format=wanted, response_format="url").json()["data"][0]
    assert download(gateway, by_url["url"]).headers["content-type"] == f"image/{wanted}"


@pytest.mark.row(131)
def test_an_empty_purse_is_403(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    reply = voltage(gateway, gateway.key("empty", usd=0))
    assert (reply.status, providers.asked) == (403, [])
    assert reply.json()["details"] == {"status": 403, "endpoint": PATH}


@pytest.mark.row(133, 134)
def test_attempts_are_told_without_secrets(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    providers.script = lambda asked: failed(500)
    details = voltage(gateway, gateway.key(), model="gpt-image-1").json()["details"]
    assert (details["status"], details["endpoint"], len(details["attempts"])) == (500, PATH, 3)
    assert all(step["url"].endswith(PATH) for step in details["attempts"])


# The addresses.


def fetched_over(asked: Asked, providers: ScriptedProviders) -> Answer:
    """A provider that hands pictures over by address, at its own origin."""
    return painted(asked, data=[{"url": f"{providers.url}/files/1.png"}])


@pytest.mark.row(128)
def test_a_providers_address_is_fetched_through_the_guard(
    gateway: RunningGateway, providers: ScriptedProviders
) -> None:
    key = gateway.key("fetching")
    providers.files["/files/1.png"] = Answer(body=picture(5), headers=(("Content-Type", "image/png"),))
    providers.script = lambda asked: fetched_over(asked, providers)
    answer = hpp(gateway, key, response_format="b64_json").json()
    assert base64.b64decode(answer["data"][0]["b64_json"]) == picture(5)
    (one,) = voltage(gateway, key, model="gpt-image-1").json()["data"]
    assert providers.url not in one["url"]
    assert download(gateway, one["url"]).body == picture(5)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:9/x.png",
        "http://[::1]/x.png",
        "http://10.0.0.1/x.png",
        "file:///etc/passwd",
        "ftp://example.com/x.png",
        "http://user@127.0.0.1/x.png",
        "no url",
    ],
)
def test_other_addresses_are_not_asked_unless_public(
    gateway: RunningGateway, providers: ScriptedProviders, url: str
) -> None:
    key = gateway.key("guarded")
    before = gateway.balance("guarded")
    providers.script = lambda asked: painted(asked, data=[{"url": url}])
    reply = hpp(gateway, key, response_format="b64_json")
    assert (reply.status, reply.json()["error"]["code"]) == (500, "unavailable")
    assert url not in reply.body.decode()
    assert gateway.balance("guarded") == before


def test_what_is_no_picture_is_not_handed_on(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    for answer in (
        Answer(body=b"<html>", headers=(("Content-Type", "image/png"),)),
        failed(404),
        Answer(302, b"", (("Location", "http://127.0.0.1:9/"),)),
    ):
        providers.files["/files/1.png"] = answer
        providers.script = lambda asked: fetched_over(asked, providers)
        assert hpp(gateway, gateway.key(), response_format="b64_json").status == 500


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x.png",
        "A" * 43 + ".png",
        "A" * 43 + ".html",
        "../books.db",
        "%2e%2e/books.db",
        "A" * 43 + ".png/",
        "A" * 99,
    ],
)
def test_nothing_else_is_found(gateway: RunningGateway, name: str) -> None:
    voltage(gateway, gateway.key())
    reply = ask(gateway, "GET", f"/pictures/{name}")
    assert (reply.status, reply.headers["content-type"]) == (404, "application/json")


def test_names_are_not_to_be_guessed_and_never_the_same(gateway: RunningGateway) -> None:
    key = gateway.key()
    names = [one["url"] for _ in range(2) for one in voltage(gateway, key, n=5).json()["data"]]
    assert len(set(names)) == 10
    assert all(len(urlsplit(url).path.rpartition("/")[2]) == 43 + len(".png") for url in names)


def test_the_operators_own_address(start_gateway: Callable[..., RunningGateway], providers: ScriptedProviders) -> None:
    gateway = start_gateway(catalog=catalogue(providers), public_url="https://api.example")
    (one,) = voltage(gateway, gateway.key()).json()["data"]
    assert one["url"].startswith("https://api.example/pictures/")


def test_a_full_store_refuses_before_anything_is_forwarded(
    start_gateway: Callable[..., RunningGateway], providers: ScriptedProviders
) -> None:
    gateway = start_gateway(catalog=catalogue(providers), max_pictures_bytes=1024)
    big = as_base64(picture(kind="BMP", size=(40, 40)))
    assert big
    providers.script = lambda asked: painted(asked, images=[as_base64(picture(kind="JPEG", size=(900, 900)))])
    key = gateway.key()
    assert voltage(gateway, key).status == 200
    reply = voltage(gateway, key)
    assert (reply.status, len(providers.asked)) == (500, 1)
    assert "b64_json" in reply.json()["error"]
    assert reply.headers["retry-after"] == "60"
    assert voltage(gateway, key, response_format="b64_json").status == 200


# The shared path.


@pytest.mark.row(136)
def test_the_headers_say_which_contract_holds(gateway: RunningGateway, providers: ScriptedProviders) -> None:
    key = gateway.key()
    bearer = {"authorization": f"Bearer {key}"}
    only_voltage = {"prompt": "a", "size": "256x256"}
    only_hpp = {"prompt": "a", "size": "1024x1536"}
    for headers in (VOLTAGE.auth(key), VOLTAGE.auth(key) | bearer, VOLTAGE.auth(key) | {"apikey": key}):
        assert "url" in ask(gateway, "POST", PATH, headers, only_voltage).json()["data"][0]
        refused = ask(gateway, "POST", PATH, headers, only_hpp)
        assert (refused.status, refused.json()["details"]["endpoint"]) == (400, PATH)
    for headers in ({"apikey": key}, bearer, {"apikey": key} | bearer):
        assert "b64_json" in ask(gateway, "POST", PATH, headers, only_hpp).json()["data"][0]
        refused = ask(gateway, "POST", PATH, headers, only_voltage)
        assert (refused.status, refused.json()["error"]) == (400, "invalid_request")
    # Under its own prefix VoltageGPU takes Bearer as well.
    own = ask(gateway, "POST", f"/api/voltage{PATH}", bearer, only_voltage)
    assert (own.status, "url" in own.json()["data"][0]) == (200, True)


@pytest.mark.row(136)
def test_a_host_of_its_own_comes_before_the_headers(
    start_gateway: Callable[..., RunningGateway], providers: ScriptedProviders
) -> None:
    hosts = {"hpp.example": "hpp_router", "voltage.example": "voltagegpu"}
    gateway = start_gateway(catalog=catalogue(providers), hosts=hosts)
    key = gateway.key()
    bearer = {"authorization": f"Bearer {key}"}
    body = {"prompt": "a"}
    on_voltage = ask(gateway, "POST", PATH, bearer | {"host": "voltage.example"}, body)
    assert on_voltage.json()["data"][0]["url"].startswith("http://voltage.example/pictures/")
    path = urlsplit(on_voltage.json()["data"][0]["url"]).path
    assert ask(gateway, "GET", path, {"host": "voltage.example"}).status == 200
    assert "b64_json" in ask(gateway, "POST", PATH, bearer | {"host": "hpp.example"}, body).json()["data"][0]
    missing = ask(gateway, "POST", PATH, {"host": "hpp.example"}, body)
    assert (missing.status, missing.json()["error"]) == (401, "unauthorized")


@pytest.mark.row(137)
@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic dGg6eA=="}, {"x-api-key": "th-x"}, {"apikey": " "}])
def test_no_credentials_are_refused_in_words_of_both(
    gateway: RunningGateway, providers: ScriptedProviders, headers: dict[str, str]
) -> None:
    reply = ask(gateway, "POST", PATH, headers, {"prompt": "a"})
    assert (reply.status, reply.headers["content-type"]) == (401, "application/json")
    body = reply.json()
    # HPP Router: `error` and `message` are texts. VoltageGPU: `error` is a text, `details` has status and endpoint.
    assert isinstance(body["error"], str)
    assert isinstance(body["message"], str)
    assert body["details"] == {"status": 401, "endpoint": PATH}
    assert providers.asked == []
    assert "x-request-id" in reply.headers


@pytest.mark.row(3, 119, 137)
def test_a_wrong_key_is_refused_in_the_words_of_the_contract_that_it_was_sent_for(gateway: RunningGateway) -> None:
    reply = ask(gateway, "POST", PATH, {"apikey": "th-wrong"}, {"prompt": "a"})
    assert (reply.status, reply.json()["error"]) == (401, "unauthorized")
    reply = ask(gateway, "POST", PATH, VOLTAGE.auth("th-wrong"), {"prompt": "a"})
    assert (reply.status, reply.json()["details"]["endpoint"]) == (401, PATH)


@pytest.mark.row(139)
def test_the_wrong_method_on_the_shared_path(gateway: RunningGateway) -> None:
    reply = ask(gateway, "GET", PATH, HPP.auth(gateway.key()))
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


def test_without_any_model_for_pictures_one_has_to_be_named(
    start_gateway: Callable[..., RunningGateway], providers: ScriptedProviders
) -> None:
    text = catalogue(providers, default="").partition("models:")[0]
    talk = "models:\n  - slug: acme/talk\n    free: true\n    deployments: [{{provider: t, model: talk}}]\n"
    gateway = start_gateway(catalog=text + talk)
    reply = voltage(gateway, gateway.key())
    assert reply.status == 400
    assert "`model` is required" in reply.json()["error"]


# The SDK.


@pytest.mark.row(46)
def test_the_openai_sdk_on_hpp(gateway: RunningGateway) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key(), max_retries=0) as sdk:
        answer = sdk.images.generate(prompt="a toll house", model="gpt-image-1", size="1024x1024", quality="low", n=2)
        assert answer.data is not None
        assert [base64.b64decode(one.b64_json or "") for one in answer.data] == [picture(0), picture(1)]
        assert answer.usage is not None
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 100)
        with pytest.raises(openai.BadRequestError):
            sdk.images.generate(prompt="a", size="512x512")


@pytest.mark.row(135)
@pytest.mark.parametrize("face", [VOLTAGE, VOLTAGE_LOCAL], ids=lambda face: face.name)
def test_the_openai_sdk_on_voltage(gateway: RunningGateway, face: Face) -> None:
    key = gateway.key()
    with openai.OpenAI(
        base_url=gateway.url + face.base, api_key="unused", default_headers=face.auth(key), max_retries=0
    ) as sdk:
        by_url = sdk.images.generate(prompt="a toll house", size="256x256")
        assert by_url.data is not None
        assert download(gateway, by_url.data[0].url or "").body == picture(0)
        in_text = sdk.images.generate(prompt="a", response_format="b64_json", extra_body={"guidance_scale": 3})
        assert in_text.data is not None
        assert json.dumps(in_text.data[0].b64_json) == json.dumps(as_base64(picture(0)))
