"""Amounts: decimal text to nano-USD and back, exactly."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.catalog.decimals import from_fixed_point, to_fixed_point
from tollhouse.money.amount import MAX_NANO_USD, NANO_USD_PER_USD, micro_usd_text, parse_usd, usd_text

amounts = st.integers(min_value=-MAX_NANO_USD, max_value=MAX_NANO_USD)


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("5", 5_000_000_000),
        (" 0.25 ", 250_000_000),
        ("0.000000001", 1),
        ("1.2500000000000", 1_250_000_000),
        ("-3.5", -3_500_000_000),
        ("0", 0),
        ("-0", 0),
        ("9223372036.854775807", MAX_NANO_USD),
    ],
)
def test_parse(text, nano):
    assert parse_usd(text) == nano


@pytest.mark.parametrize(
    "text",
    [*("", ".", "1.", ".5", "1e3", "NaN", "inf", "1,5", "$5", "+5", "--5", "1 000", "٣", "0x1", "1_0"), "0.0000000001"],
)
def test_what_is_no_amount(text):
    with pytest.raises(ValueError, match=r"expected a plain decimal number|more than 9 digits"):
        parse_usd(text)


def test_an_amount_has_to_fit_into_the_books():
    with pytest.raises(ValueError, match=r"9223372036\.854775808 USD is more than the books can hold"):
        parse_usd("9223372036.854775808")


@pytest.mark.parametrize(
    ("nano", "usd", "micro"),
    [
        (0, "0", "0"),
        (1, "0.000000001", "0.001"),
        (1_500, "0.0000015", "1.5"),
        (1_000, "0.000001", "1"),
        (100_000, "0.0001", "100"),
        (5 * NANO_USD_PER_USD, "5", "5000000"),
        (-1_250_000_000, "-1.25", "-1250000"),
        (-1, "-0.000000001", "-0.001"),
    ],
)
def test_text(nano, usd, micro):
    assert usd_text(nano) == usd
    assert micro_usd_text(nano) == micro


@given(amounts)
def test_text_is_canonical_and_exact(nano):
    usd, micro = usd_text(nano), micro_usd_text(nano)
    assert parse_usd(usd) == nano
    assert Decimal(usd).scaleb(9) == Decimal(micro).scaleb(3) == nano
    for text in (usd, micro):
        assert "E" not in text
        assert not ("." in text and text.endswith(("0", ".")))
    assert len(micro.partition(".")[2]) <= 3


@given(st.integers(min_value=0, max_value=10**18 - 1), st.integers(min_value=0, max_value=12))
def test_fixed_point_is_its_own_inverse(number, places):
    assert to_fixed_point(from_fixed_point(number, places), places) == number
