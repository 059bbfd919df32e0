"""Plan: failover over a model's deployments, as a pure machine; time and chance are arguments."""

from collections.abc import Callable, Sequence

import msgspec

from tollhouse.catalog.entries import Deployment
from tollhouse.ir.fault import Fault, FaultKind

_FIRST_DELAY_S = 0.25
_LONGEST_DELAY_S = 8.0
_LONGEST_RETRY_AFTER_S = 20.0

# Faults that may pass when the same deployment is asked again a moment later. A timeout is none of them: the caller
# has waited long enough for this deployment.
_PASSING = frozenset({FaultKind.PROVIDER_UNAVAILABLE, FaultKind.PROVIDER_OVERLOADED, FaultKind.PROVIDER_RATE_LIMIT})


class PlannedAttempt(msgspec.Struct, frozen=True):
    """Where to go next, after waiting `delay_s` seconds."""

    deployment: Deployment
    delay_s: float = 0.0


class Plan:
    """The order of attempts for one call.

    Deployments are asked in their order, each again in place only when no other is left; one that was left is never
    asked again. The plan ends after `attempts` in all, when `budget_s` seconds have gone by since `started_s`, or on
    a fault that another attempt cannot mend. `chance()` is in [0, 1) and spreads the delays.
    """

    def __init__(
        self,
        deployments: Sequence[Deployment],
        *,
        attempts: int,
        started_s: float,
        budget_s: float,
        chance: Callable[[], float],
    ) -> None:
        self._waiting = sorted(deployments, key=lambda deployment: deployment.order)
        self._current: Deployment | None = None
        self._left = attempts
        self._deadline_s = started_s + budget_s
        self._chance = chance
        self._delay_s = _FIRST_DELAY_S

    def next(self, fault: Fault | None, now_s: float) -> PlannedAttempt | None:
        """The next attempt after `fault` (None for the first), or None when the call has failed."""
        if self._left == 0 or now_s >= self._deadline_s:
            return None
        if fault is not None and not fault.from_provider:
            return None
        self._left -= 1
        if self._waiting:
            self._current = self._waiting.pop(0)
            return PlannedAttempt(self._current)
        return self._again(fault, now_s)

    def _again(self, fault: Fault | None, now_s: float) -> PlannedAttempt | None:
        if self._current is None or fault is None or not _may_pass(fault):
            return None
        delay_s = self._delay_s * (0.5 + self._chance())
        self._delay_s = min(self._delay_s * 2, _LONGEST_DELAY_S)
        if fault.retry_after_s is not None:
            if fault.retry_after_s > _LONGEST_RETRY_AFTER_S:
                return None
            delay_s = max(delay_s, fault.retry_after_s)
        if now_s + delay_s >= self._deadline_s:
            return None
        return PlannedAttempt(self._current, delay_s)


def _may_pass(fault: Fault) -> bool:
    """Whether asking again in place can help. A 4xx that is no rate limit is a settled no: the model is not known
    there, or the gateway's own account is empty."""
    status = fault.upstream_status
    refused = status is not None and 400 <= status < 500 and fault.kind is not FaultKind.PROVIDER_RATE_LIMIT
    return fault.kind in _PASSING and not refused
