"""The credential that goes to a provider."""

from tollhouse.catalog.entries import Provider
from tollhouse.upstream.auth import authorization


def test_a_provider_without_a_key_gets_none() -> None:
    provider = Provider(id="local", format="openai_chat", base_url="http://127.0.0.1:1")
    assert authorization(provider) == ()
