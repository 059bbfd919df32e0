"""Budget: whether a call may be forwarded for money's sake, and with which limit on its answer (behaviour.md, D3)."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from tollhouse.accounts.limits import limit_account
from tollhouse.accounts.principal import Limit, Principal
from tollhouse.catalog.entries import Price
from tollhouse.ir.fault import Fault, FaultError, FaultKind, TokenQuota
from tollhouse.ir.images import ImagesAsked
from tollhouse.money.amount import usd_text
from tollhouse.money.image_pricing import most_image_tokens
from tollhouse.money.lease import Claim, Hold
from tollhouse.money.ledger import Ledger, Short
from tollhouse.money.pricing import upper_bound, upper_bound_of_images
from tollhouse.relay.buckets import Bound, claims
from tollhouse.relay.candidates import Candidates
from tollhouse.tokens.bounds import PICTURE_MOST_TOKENS, most_prompt_tokens, most_tokens
from tollhouse.tokens.encodings import BYTES, Encoding, encoding
from tollhouse.tokens.prompt_bound import most_counted_tokens
from tollhouse.wire.format import Scan

AdmissionRule = Literal["bound", "positive"]

ASSUMED_OUTPUT_TOKENS = 32_768
"""What an answer is taken to have at most where neither the caller nor the catalogue says."""
ASSUMED_KEPT_TOKENS = 200_000
"""What a provider keeps of a prompt is taken to have at most where the catalogue knows no context length."""
LEAST_INJECTED_TOKENS = 256
_TRIES = 3
_AT_ONCE_BYTES = 8 * 1024
"""So much is counted on the event loop: 0.2 ms, and 3 ms of the worst text. Longer prompts are a thread's."""

_ADD_CREDIT = "Add credit with `tollhouse credits add`, then send the call again."


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """On what terms a call may go: the hold, and the limit on its answer in tokens where the gateway set one."""

    hold: Hold
    injected_limit: int | None = None


class _Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A call that wants to be forwarded."""

    request_id: str
    principal: Principal
    candidates: Candidates
    scan: Scan
    body: bytes
    now_ms: int

    def bound(self, prompt_tokens: int, output_tokens: int) -> Bound:
        """The most that the call can take with so many tokens, whichever of the candidates answers."""
        peek = self.scan.peek

        def most(price: Price) -> int:
            return upper_bound(price, prompt_tokens, output_tokens, peek.choices, peek.paid, calls)

        calls = self.candidates.calls
        if peek.images is not None:
            return self._bound_of_images(prompt_tokens, peek.images)
        return Bound(self.candidates.dearest(most), calls * prompt_tokens + peek.choices * output_tokens)

    def _bound_of_images(self, prompt_tokens: int, asked: ImagesAsked) -> Bound:
        tokens = self.candidates.dearest(lambda price: most_image_tokens(price, asked.size, asked.quality))
        dearest = self.candidates.dearest(lambda price: upper_bound_of_images(price, prompt_tokens, asked))
        return Bound(dearest, prompt_tokens + asked.count * tokens)

    def claims(self, prompt_tokens: int, output_tokens: int) -> tuple[Claim, ...]:
        """What it has to hold."""
        return claims(self.principal, self.bound(prompt_tokens, output_tokens), self.now_ms)


class Budget:
    """Holds what calls may cost. With the rule `positive` a call may go while no balance is used up, whatever it may
    cost at most."""

    def __init__(self, ledger: Ledger, now_ms: Callable[[], int], rule: AdmissionRule) -> None:
        self._ledger = ledger
        self._now_ms = now_ms
        self._rule = rule

    async def hold(
        self, request_id: str, principal: Principal, candidates: Candidates, scan: Scan, body: bytes
    ) -> Terms:
        """Hold the most that the call can cost, before it is forwarded. Raises FaultError: insufficient_balance,
        key_limit, books_unavailable.

        The prompt counts a token per byte first; only when that does not fit it is looked at more closely, and counted
        in the model's own vocabulary where that is published. A picture that is only named counts what a vendor makes
        of one at most, and a file, or turns that the provider keeps, as much as the model can read: nobody here knows
        how long they are. A call without a limit of its own gets the one that is affordable, unless that is too low to
        be of use.
        """
        wish = _Wish(
            request_id=request_id,
            principal=principal,
            candidates=candidates,
            scan=scan,
            body=body,
            now_ms=self._now_ms(),
        )
        limit = scan.peek.output_limit
        if limit is None:
            limit = candidates.most_output_tokens or ASSUMED_OUTPUT_TOKENS
        elsewhere = scan.peek.remote_pictures * PICTURE_MOST_TOKENS
        if scan.peek.is_partial:
            elsewhere = candidates.longest_context_tokens or ASSUMED_KEPT_TOKENS
        asked = wish.claims(most_tokens(scan.size_bytes) + elsewhere, limit)
        outcome = await self._ledger.hold(request_id, asked, wish.candidates.price_version, patient=False)
        if isinstance(outcome, Hold):
            return Terms(hold=outcome)
        prompt_tokens = elsewhere + await _closer(wish, elsewhere, limit, outcome)
        asked = wish.claims(prompt_tokens, limit)
        outcome = await self._ledger.hold(request_id, asked, wish.candidates.price_version)
        if isinstance(outcome, Hold):
            return Terms(hold=outcome)
        if self._rule == "positive":
            return Terms(hold=await self._hold_what_is_left(wish, asked, outcome))
        return await self._hold_what_is_affordable(wish, prompt_tokens, limit, outcome)

    async def _hold_what_is_affordable(
        self, wish: _Wish, prompt_tokens: int, limit: int, shorts: tuple[Short, ...]
    ) -> Terms:
        """Hold for an answer of fewer tokens, where the caller left it to us how many it may have."""
        peek = wish.scan.peek
        least = max(LEAST_INJECTED_TOKENS, peek.reasoning_budget + 1)
        for _ in range(_TRIES):
            affordable = _affordable(wish, prompt_tokens, limit, shorts)
            if peek.output_limit is not None or affordable < least:
                break
            limit = affordable
            claimed = wish.claims(prompt_tokens, limit)
            outcome = await self._ledger.hold(wish.request_id, claimed, wish.candidates.price_version, patient=False)
            if isinstance(outcome, Hold):
                return Terms(hold=outcome, injected_limit=limit)
            shorts = outcome
        raise FaultError(_refusal(wish, prompt_tokens, limit, shorts))

    async def _hold_what_is_left(self, wish: _Wish, asked: Sequence[Claim], shorts: tuple[Short, ...]) -> Hold:
        """Hold no more than there is, as long as no balance is used up."""
        for attempt in range(_TRIES):
            if any(short.balance <= 0 for short in shorts):
                break
            # At last nothing: then the account pays when the call has ended.
            left = {short.account_id: max(0, short.affordable) if attempt + 1 < _TRIES else 0 for short in shorts}
            asked = [
                msgspec.structs.replace(claim, amount=min(claim.amount, left.get(claim.account_id, claim.amount)))
                for claim in asked
            ]
            outcome = await self._ledger.hold(
                wish.request_id, tuple(asked), wish.candidates.price_version, patient=False
            )
            if isinstance(outcome, Hold):
                return outcome
            shorts = outcome
        raise FaultError(_used_up(wish, shorts))


async def _closer(wish: _Wish, kept_tokens: int, limit: int, shorts: Sequence[Short]) -> int:
    """The most tokens that the prompt can have, by its files and its words. Words are counted only where that can help:
    whoever has nothing left shall not make the gateway count."""
    least = min(most_tokens(wish.scan.size_bytes), most_prompt_tokens(wish.body))
    peek, tokenizers = wish.scan.peek, wish.candidates.tokenizers
    if peek.images is not None or BYTES in tokenizers:
        return least
    room = {short.account_id: short.balance for short in shorts}
    wanted = wish.claims(kept_tokens, limit if peek.output_limit is not None else LEAST_INJECTED_TOKENS)
    if any(claim.amount > room.get(claim.account_id, claim.amount) for claim in wanted):
        return least
    codings = [encoding(name) for name in tokenizers]
    if len(wish.body) > _AT_ONCE_BYTES or not all(coding.is_loaded for coding in codings):
        counted = await asyncio.to_thread(_most_counted, wish.body, codings)
    else:
        counted = _most_counted(wish.body, codings)
    return min(least, counted)


def _most_counted(body: bytes, codings: Sequence[Encoding]) -> int:
    return max(most_counted_tokens(body, coding) for coding in codings)


def _affordable(wish: _Wish, prompt_tokens: int, limit: int, shorts: Sequence[Short]) -> int:
    """The highest limit on the answer, below `limit`, with which the call would fit; -1 when none does."""
    room = {short.account_id: short.affordable for short in shorts}

    def fits(output_tokens: int) -> bool:
        asked = wish.claims(prompt_tokens, output_tokens)
        return all(claim.amount <= room.get(claim.account_id, claim.amount) for claim in asked)

    low, high = -1, limit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _refusal(wish: _Wish, prompt_tokens: int, limit: int, shorts: Sequence[Short]) -> Fault:
    """Why a call that is too dear is refused, and what would fit."""
    affordable = _affordable(wish, prompt_tokens, limit, shorts)
    short = _first(wish, shorts)
    given = wish.scan.peek.output_limit
    if affordable < 1 and (given != 0 or short.affordable <= 0):
        return _used_up(wish, shorts)
    asked = wish.bound(prompt_tokens, limit)
    if given == 0:
        limited = "what is asked for may cost more than that"
        advice = "Ask for less in one call"
    elif given is None:
        limited = f"without a limit of its own, only {affordable} tokens of answer would fit"
        advice = f"Set one of at most {affordable}"
    else:
        limited = f"a limit of {given} tokens does not fit"
        advice = f"Lower it to at most {affordable}"
    named = _limit_of(wish, short.account_id)
    if named is None:
        message = (
            f"The call could cost up to {usd_text(asked.nano_usd)} USD, and {usd_text(short.affordable)} USD of the "
            f"workspace's balance is free, so it was not forwarded: {limited}. {advice}, or add credit with "
            "`tollhouse credits add`, then send the call again."
        )
        return Fault(kind=FaultKind.INSUFFICIENT_BALANCE, source="budget", message=message)
    message = (
        f"{_name(named)} has {_amount(named, short.affordable)} left, and the call could take up to "
        f"{_amount(named, asked.of(named.unit))}, so it was not forwarded: {limited}. {advice}, or wait for the next "
        "period."
    )
    return Fault(kind=FaultKind.KEY_LIMIT, source="budget", message=message, quota=_quota(named, short))


def _used_up(wish: _Wish, shorts: Sequence[Short]) -> Fault:
    short = _first(wish, shorts)
    named = _limit_of(wish, short.account_id)
    if named is None:
        message = f"The workspace's balance is used up, so the call was not forwarded. {_ADD_CREDIT}"
        return Fault(kind=FaultKind.INSUFFICIENT_BALANCE, source="budget", message=message)
    when = {"day": "It opens again at 00:00 UTC.", "month": "It opens again on the first of the month, 00:00 UTC."}
    next_ = when.get(named.period, "Its administrator can reset it.")
    message = f"{_name(named)} of {_amount(named, named.amount)} is used up, so the call was not forwarded. {next_}"
    return Fault(kind=FaultKind.KEY_LIMIT, source="budget", message=message, quota=_quota(named, short))


def _quota(limit: Limit, short: Short) -> TokenQuota | None:
    if limit.unit != "token":
        return None
    return TokenQuota(plan=limit.name, used=limit.amount - short.balance, limit=limit.amount)


def _first(wish: _Wish, shorts: Sequence[Short]) -> Short:
    """The short account that the refusal names: a limit before the credit."""
    return next((short for short in shorts if short.account_id != wish.principal.account_id), shorts[0])


def _limit_of(wish: _Wish, account_id: str) -> Limit | None:
    return next((one for one in wish.principal.limits if limit_account(one, wish.now_ms) == account_id), None)


def _name(limit: Limit) -> str:
    what = {
        "key_limit": "limit of the key",
        "consumer_quota": "quota of the consumer",
        "plan_quota": "quota of the plan",
    }
    period = {"day": "daily ", "month": "monthly ", "total": ""}[limit.period]
    return f"The {period}{what[limit.reason]}{f' {limit.name}' if limit.name else ''}"


def _amount(limit: Limit, amount: int) -> str:
    return f"{usd_text(amount)} USD" if limit.unit == "nano_usd" else f"{amount} tokens"
