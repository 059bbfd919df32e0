"""Calibrate: the threshold and the bands that split recorded prompts into given shares."""

from collections.abc import Sequence

import msgspec


class Shares(msgspec.Struct, frozen=True):
    """How many per cent of the prompts are to go to the simple model and to each tier; together 100."""

    simple: int
    t1: int
    t2: int
    t3: int


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds as the rules have them: `simple` without the margin, the bands with it. `reached` are the shares in per
    cent, to a tenth, that these bounds give on the prompts they were made from; many equal prompts go one way."""

    simple: int
    t1: int
    t2: int
    reached: tuple[float, float, float, float]


def propose(tokens: Sequence[int], shares: Shares, margin_percent: int) -> Proposal:
    """The bounds for at least one prompt of so many tokens each."""
    ordered = sorted(tokens)
    simple = quantile(ordered, shares.simple)
    t1 = _with_margin(quantile(ordered, shares.simple + shares.t1), margin_percent)
    # The document wants each bound above the one before it.
    t2 = max(t1 + 1, _with_margin(quantile(ordered, shares.simple + shares.t1 + shares.t2), margin_percent))
    counts = [0, 0, 0, 0]
    for each in ordered:
        margined = each * (100 + margin_percent)
        counts[0 if each <= simple else 1 if margined <= t1 * 100 else 2 if margined <= t2 * 100 else 3] += 1
    first, second, third, fourth = (round(100 * count / len(ordered), 1) for count in counts)
    return Proposal(simple=simple, t1=t1, t2=t2, reached=(first, second, third, fourth))


def quantile(ordered: Sequence[int], percent: int) -> int:
    """The smallest value that at least so many per cent of the ascending values do not exceed; 0 for 0 per cent."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[rank - 1] if rank > 0 else 0


def _with_margin(tokens: int, margin_percent: int) -> int:
    return -(-tokens * (100 + margin_percent) // 100)
