"""Three providers, one for each format, that are all the simulator; and calls in any format to any of them."""

import json
from typing import Any

from support.callers import HYPERINFER, Reply, ask
from support.gateway import RunningGateway

FORMATS = {"chat": "openai_chat", "responses": "openai_responses", "messages": "anthropic_messages"}
PATHS = {"chat": "/api/v1/chat/completions", "responses": "/api/v1/responses", "messages": "/api/v1/messages"}
LIMIT = {"chat": "max_tokens", "responses": "max_output_tokens", "messages": "max_tokens"}

CATALOG = "extends: default\nproviders:\n" + "".join(
    f"  - {{{{id: {name}, format: {form}, base_url: '{{simulator}}/v1', api_key: none}}}}\n"
    for name, form in FORMATS.items()
)
CATALOG += "models:\n" + "".join(
    f"  - {{{{slug: {name}/*, name: {name}, creator: simulator, max_output_tokens: 1000, "
    f"pricing: {{{{prompt: 1, completion: 10, cached_prompt: 0.1}}}}, "
    f"deployments: [{{{{provider: {name}, model: '*'}}}}]}}}}\n"
    for name in FORMATS
)
"""For a RunningGateway: the models `chat/…`, `responses/…` and `messages/…` are served in that format."""


def call(running: RunningGateway, caller: str, model: str, **fields: Any) -> Reply:
    """A call in the caller's format; without a prompt in `fields` it says hello."""
    said = [{"role": "user", "content": "Hello!"}]
    body: dict[str, Any] = {"input": said} if caller == "responses" else {"messages": said}
    if caller == "messages":
        body["max_tokens"] = 500
    return ask(running, "POST", PATHS[caller], HYPERINFER.auth(running.key()), {**body, "model": model, **fields})


def told(running: RunningGateway) -> dict[str, Any]:
    """What the provider was sent last."""
    return json.loads(running.arrivals()[-1].body)


def losses(reply: Reply) -> list[str]:
    """What the gateway names as lost; a provider's fingerprint has a place in Chat only."""
    named = reply.headers.get("x-tollhouse-loss", "").split(", ")
    return [path for path in named if path not in ("", "system_fingerprint")]


def events(reply: Reply) -> list[dict[str, Any]]:
    """The events of a stream."""
    lines = [line[6:] for line in reply.body.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]
