"""Keys, prompts and provider credentials never appear in a log, an error body or the metrics."""

import pytest

from support.callers import DIALECTS, Face, ask, chat
from support.gateway import RunningGateway

CANARIES = {
    "provider": "upstream-secret-canary",
    "prompt": "prompt-canary-7f3a",
}


@pytest.mark.row(140)
def test_no_secret_leaves_by_a_log_an_error_or_the_metrics(gateway: RunningGateway) -> None:
    key = gateway.key("canaries")
    prompt = [{"role": "user", "content": CANARIES["prompt"]}]
    bodies: list[bytes] = []
    for dialect in DIALECTS:
        for script in (
            "status=500/body=echo_auth",
            "status=401/body=echo_auth",
            "status=400/body=echo_auth",
            "text=9/error_at=3",
            "status=429",
            "html",
            "unknown=word",
        ):
            for stream in (False, True):
                reply = chat(gateway, dialect, key, f"simulator/script/{script}", messages=prompt, stream=stream)
                bodies.append(reply.body)
        bodies.append(chat(gateway, dialect, key + "x", "simulator/echo", messages=prompt).body)
        bodies.append(chat(gateway, dialect, key, "no/such", messages=prompt).body)
        broken = [{"role": "user", "content": {CANARIES["prompt"]: CANARIES["prompt"]}}]
        bodies.append(chat(gateway, dialect, key, "simulator/echo", messages=broken).body)
        bodies.append(chat(gateway, dialect, key, "simulator/echo", messages=prompt, user=key).body)
    errors = b"\n".join(body for body in bodies if b'"error"' in body)
    assert errors.count(b"\n") > 20
    metrics = ask(gateway, "GET", "/metrics").body
    for place, text in (("log", gateway.log().encode()), ("errors", errors), ("metrics", metrics)):
        for name, canary in {**CANARIES, "key": key}.items():
            assert canary.encode() not in text, f"the {name} canary is in the {place}"
    assert gateway.last_body(), "the provider was reached"


@pytest.mark.fault(26)
@pytest.mark.parametrize("face", DIALECTS, ids=lambda face: face.name)
def test_what_belongs_to_the_callers_connection_stays_there(gateway: RunningGateway, face: Face) -> None:
    """Hop-by-hop headers, credentials and cookies go no further, and metadata makes no header."""
    key = gateway.key()
    own = {
        "connection": "keep-alive, x-secret-hop",
        "keep-alive": "timeout=5",
        "te": "trailers",
        "upgrade-insecure-requests": "1",
        "proxy-authorization": "Basic cHJveHk6c2VjcmV0",
        "cookie": "session=callers-own",
        "x-secret-hop": "callers-own",
        "x-forwarded-for": "192.0.2.7",
    }
    body = {"model": "simulator/script/say=x", "messages": [{"role": "user", "content": "Hi"}]}
    broken = body | {"user": "a\r\nx-injected: 1"}
    assert ask(gateway, "POST", face.chat, face.auth(key) | own, broken).status == 400
    told = body | {"user": "x-injected: 1", "metadata": {"x-injected": "1"}}
    reply = ask(gateway, "POST", face.chat, face.auth(key) | own, told)
    assert reply.status == 200, reply.body
    arrived = {name.lower(): value for name, value in gateway.arrivals()[-1].headers}
    assert not arrived.keys() & (own.keys() - {"connection"})
    assert "x-injected" not in arrived
    assert all(secret not in str(arrived) for secret in (key, "callers-own", "cHJveHk6c2VjcmV0", "192.0.2.7"))
