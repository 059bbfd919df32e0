"""Keys, prompts and provider credentials never appear in a log, an error body or the metrics."""

import pytest

from support.callers import DIALECTS, ask, chat
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
