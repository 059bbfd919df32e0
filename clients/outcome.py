"""Outcome: how one scenario of one client went at one upstream."""

from dataclasses import dataclass

UPSTREAMS = ("chat", "responses", "messages")
"""The upstream formats, as models and requests name them."""


@dataclass(frozen=True)
class Outcome:
    """`failure` says why it did not go well; None when it did."""

    client: str
    upstream: str
    scenario: str
    failure: str | None
