"""HPP Router's account answers: their documented fields, and money that never was a float."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.accounts.quotas import ConsumerStanding
from tollhouse.dialects.hpp_router.account import quota_check, usage

AMOUNTS = st.integers(-(10**17), 10**17)


@pytest.mark.row(38, 40)
@given(AMOUNTS, AMOUNTS, st.booleans())
def test_money_is_exact_and_remaining_is_quota_less_used(quota: int, used: int, invoiced: bool) -> None:
    standing = ConsumerStanding(
        consumer_id="con_1",
        username=None,
        custom_id="x",
        quota=quota,
        used=used,
        remaining=quota - used,
        invoiced=invoiced,
        requests=3,
        total_tokens=4,
        total_cost=used,
    )
    told = json.loads(usage(standing), parse_float=Decimal, parse_int=Decimal)
    assert set(told) == {
        "consumer_id",
        "username",
        "custom_id",
        "quota",
        "used",
        "remaining",
        "requests",
        "total_tokens",
        "total_cost",
    }
    assert [told[name] * 10**9 for name in ("quota", "used", "remaining", "total_cost")] == [
        quota,
        used,
        quota - used,
        used,
    ]
    assert (told["username"], told["custom_id"]) == (None, "x")
    checked = json.loads(quota_check(standing), parse_float=Decimal, parse_int=Decimal)
    assert set(checked) == {"has_quota", "quota", "used", "remaining"}
    assert checked["quota"] - checked["used"] == checked["remaining"]
    assert checked["has_quota"] == (invoiced or quota > used)
