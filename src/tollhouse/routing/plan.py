"""Plan: failover over models and their deployments, as a pure machine; time and chance are arguments."""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

from tollhouse.ir.fault import Fault, FaultKind
from tollhouse.routing.budget import RetryBudget
from tollhouse.routing.health import Choice, Route

_FIRST_DELAY_S = 0.25
_LONGEST_DELAY_S = 8.0
_LONGEST_RETRY_AFTER_S = 20.0

# Faults that may pass when the same deployment is asked again a moment later. A timeout is none of them: the caller
# has waited long enough for this deployment.
_PASSING = frozenset({FaultKind.PROVIDER_UNAVAILABLE, FaultKind.PROVIDER_OVERLOADED, FaultKind.PROVIDER_RATE_LIMIT})
# Faults that another key of the same provider may not meet.
_OF_THE_KEY = frozenset({FaultKind.PROVIDER_AUTH, FaultKind.PROVIDER_RATE_LIMIT})

Reason = Literal["unavailable", "context_length", "content_filter"]
"""Why another model may answer."""
Why = Literal["first", "again", "key", "failover", "fallback"]
"""Why an attempt was made: the first one, the same once more, with another key, at another deployment, by another
model."""


class Stage(msgspec.Struct, frozen=True):
    """A model that may answer: for which reasons (none for the model that was asked for), and its deployments in
    order, computed when it comes to it."""

    reasons: frozenset[Reason]
    routes: Callable[[], Sequence[Route]]


class PlannedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """Where to go next, after waiting `delay_s` seconds; `stage` is the model's place in the plan."""

    choice: Choice
    stage: int = 0
    why: Why = "first"
    delay_s: float = 0.0
    is_retry: bool = False
    """Whether it was taken from the budget of retries."""


class Gate(Protocol):
    """What a plan asks of `Health`."""

    def choose(self, route: Route, now_s: float, spread: float = 0.0, *, proven: bool = False) -> Choice | None:
        """A key to ask with; None when the deployment is out, or `proven` is asked for and its last call failed."""
        ...

    def may_repeat(self, choice: Choice, now_s: float) -> bool:
        """Whether the same may be asked again in place."""
        ...


class PlanLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How often one call may try, and until when."""

    attempts: int
    deadline_s: float


class Plan:
    """The order of attempts for one call.

    Deployments are asked in their order, with another key where the key was at fault, and again in place only when no
    other deployment and no other model is left; one that was left is never asked again. The last attempt is kept for
    another model where there is one. An attempt after which no other can be afforded goes to a deployment whose last
    call was answered, where there is one: probes and doubtful ones are for calls that can go on. The plan ends after
    `limits.attempts` in all, at `limits.deadline_s`, when the budget of retries is used up, or on a fault that another
    attempt cannot mend. `chance()` is in [0, 1).
    """

    def __init__(
        self, stages: Sequence[Stage], gate: Gate, budget: RetryBudget, limits: PlanLimits, chance: Callable[[], float]
    ) -> None:
        self._stages = stages
        self._gate = gate
        self._budget = budget
        self._limits = limits
        self._chance = chance
        self._spread = chance()
        self._stage: int = 0
        self._waiting: list[Route] | None = None
        self._current: Choice | None = None
        self._left = limits.attempts
        self._delay_s = _FIRST_DELAY_S
        self.denied = False
        """Whether the plan ended for want of retries."""

    def next(self, fault: Fault | None, now_s: float) -> PlannedAttempt | None:
        """The next attempt after `fault` (None for the first), or None when the call has failed."""
        if self._left == 0 or now_s >= self._limits.deadline_s:
            return None
        if fault is None:
            self._budget.call()
            # With a single attempt by rule, a deployment that has failed once would never be asked again.
            is_last = self._left > 1 and self._budget.is_short(now_s)
            return self._taken(self._onward(now_s, "first", is_last=is_last))
        reason = _reason(fault)
        if reason is None:
            return None
        if reason != "unavailable":
            return self._taken(self._other_model(reason, now_s))
        if not self._budget.allows(now_s):
            self.denied = True
            return None
        planned = self._after_failure(fault, now_s)
        if planned is None:
            return None
        self._budget.withdraw(now_s)
        return self._taken(msgspec.structs.replace(planned, is_retry=True))

    def _after_failure(self, fault: Fault, now_s: float) -> PlannedAttempt | None:
        if self._left == 1 and (planned := self._other_model("unavailable", now_s)) is not None:
            return planned
        return (
            self._other_key(fault, now_s)
            or self._onward(now_s, "failover", is_last=self._left == 1 or not self._budget.allows(now_s, retries=2))
            or self._other_model("unavailable", now_s)
            or self._again(fault, now_s)
        )

    def _taken(self, planned: PlannedAttempt | None) -> PlannedAttempt | None:
        if planned is not None:
            self._left -= 1
            self._current = planned.choice
        return planned

    def _onward(self, now_s: float, why: Why, *, is_last: bool = False) -> PlannedAttempt | None:
        """The next deployment of the model that can be asked; when it `is_last`, first one that is proven."""
        if self._waiting is None:
            self._waiting = list(self._stages[self._stage].routes())
        for at, route in enumerate(self._waiting if is_last else ()):
            choice = self._gate.choose(route, now_s, self._spread, proven=True)
            if choice is not None:
                del self._waiting[at]
                return PlannedAttempt(choice=choice, stage=self._stage, why=why)
        while self._waiting:
            choice = self._gate.choose(self._waiting.pop(0), now_s, self._spread)
            if choice is not None:
                return PlannedAttempt(choice=choice, stage=self._stage, why=why)
        return None

    def _other_key(self, fault: Fault, now_s: float) -> PlannedAttempt | None:
        if self._current is None or fault.kind not in _OF_THE_KEY:
            return None
        choice = self._gate.choose(Route(self._current.deployment), now_s, self._spread)
        if choice is None or choice.key == self._current.key:
            return None
        return PlannedAttempt(choice=choice, stage=self._stage, why="key")

    def _other_model(self, reason: Reason, now_s: float) -> PlannedAttempt | None:
        for stage in range(self._stage + 1, len(self._stages)):
            if reason not in self._stages[stage].reasons:
                continue
            before = self._stage, self._waiting
            self._stage, self._waiting = stage, None
            planned = self._onward(now_s, "fallback")
            if planned is not None:
                return planned
            self._stage, self._waiting = before
        return None

    def _again(self, fault: Fault, now_s: float) -> PlannedAttempt | None:
        if self._current is None or not _may_pass(fault) or not self._gate.may_repeat(self._current, now_s):
            return None
        delay_s = self._delay_s * (0.5 + self._chance())
        self._delay_s = min(self._delay_s * 2, _LONGEST_DELAY_S)
        if fault.retry_after_s is not None:
            if fault.retry_after_s > _LONGEST_RETRY_AFTER_S:
                return None
            delay_s = max(delay_s, fault.retry_after_s)
        if now_s + delay_s >= self._limits.deadline_s:
            return None
        return PlannedAttempt(choice=self._current, stage=self._stage, why="again", delay_s=delay_s)


def _reason(fault: Fault) -> Reason | None:
    """For what an attempt after the fault is made, None when none can help."""
    if fault.from_provider:
        return "unavailable"
    if fault.source != "provider":
        return None
    match fault.kind:
        case FaultKind.CONTEXT_LENGTH:
            return "context_length"
        case FaultKind.CONTENT_FILTER:
            return "content_filter"
        case _:
            return None


def _may_pass(fault: Fault) -> bool:
    """Whether asking again in place can help. A 4xx that is no rate limit is a settled no: the model is not known
    there, or the gateway's own account is empty."""
    status = fault.upstream_status
    refused = status is not None and 400 <= status < 500 and fault.kind is not FaultKind.PROVIDER_RATE_LIMIT
    return fault.kind in _PASSING and not refused
