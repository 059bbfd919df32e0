"""How a provider's key is sent, by the format that the provider speaks."""

import pytest

from tollhouse.catalog.entries import Provider
from tollhouse.upstream.auth import authorization


def provider(format_name: str, api_key: str | None = "k") -> Provider:
    return Provider(id="p", format=format_name, base_url="https://p.test", api_key=api_key)


@pytest.mark.parametrize("format_name", ["openai_chat", "openai_responses"])
def test_a_bearer(format_name: str) -> None:
    assert authorization(provider(format_name)) == (("authorization", "Bearer k"),)
    assert authorization(provider(format_name, None)) == ()


def test_anthropic_has_headers_of_its_own() -> None:
    asked = provider("anthropic_messages")
    assert authorization(asked) == (("anthropic-version", "2023-06-01"), ("x-api-key", "k"))
    assert authorization(asked, (("Anthropic-Version", "2099-01-01"),)) == (("x-api-key", "k"),)
    assert authorization(provider("anthropic_messages", None)) == (("anthropic-version", "2023-06-01"),)


@pytest.mark.parametrize(
    ("format_name", "header"), [("openai_chat", "authorization"), ("anthropic_messages", "x-api-key")]
)
def test_one_of_several_keys(format_name: str, header: str) -> None:
    several = Provider(id="p", format=format_name, base_url="https://p.test", api_key="k0", more_keys=("k1", "k2"))
    sent = [dict(authorization(several, (), key))[header] for key in range(3)]
    assert [value.removeprefix("Bearer ") for value in sent] == ["k0", "k1", "k2"]
