"""CircuitBreaker: when something that fails is left alone, and when it is tried again; time is an argument."""

import enum
import math

import msgspec

_SHORTEST_COOL_DOWN_S = 0.5
_USUAL_COOL_DOWN_S = 5.0
_LONGEST_COOL_DOWN_S = 60.0


class State(enum.StrEnum):
    """CLOSED lets everything through, OPEN nothing, HALF_OPEN one probe."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class BreakerRules(msgspec.Struct, frozen=True, kw_only=True):
    """When a breaker opens: after so many failures in a row, or at this share of errors among at least `least_calls`
    calls, where a call weighs half as much every `half_life_s` seconds. `probe_after_s` later one probe may go."""

    failures: int = 5
    error_rate: float = 0.5
    least_calls: float = 10.0
    half_life_s: float = 30.0
    probe_after_s: float = 10.0


class Decayed:
    """A sum whose parts lose half their weight every `half_life_s` seconds."""

    __slots__ = ("_at_s", "_half_life_s", "_sum")

    def __init__(self, half_life_s: float) -> None:
        self._half_life_s = half_life_s
        self._sum = 0.0
        self._at_s = 0.0

    def at(self, now_s: float) -> float:
        """The sum now."""
        if not self._sum:
            return 0.0
        return self._sum * 0.5 ** (max(0.0, now_s - self._at_s) / self._half_life_s)

    def add(self, part: float, now_s: float) -> None:
        """Add a part that has its full weight now."""
        self._sum = self.at(now_s) + part
        self._at_s = now_s

    def clear(self) -> None:
        """Nothing was ever added."""
        self._sum = 0.0


class CircuitBreaker:
    """Counts what came of calls. Whoever got a permit from `begin` reports `succeeded`, `failed` or `abandoned`.

    A call that goes out without a permit, because there is nothing else to ask, reports as well: a success closes the
    breaker at once, a failure does not put off the next probe.
    """

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._in_a_row = 0
        self._calls = Decayed(rules.half_life_s)
        self._errors = Decayed(rules.half_life_s)
        self._due_s: float | None = None
        self._probing = False
        self._is_proven = False

    @property
    def is_closed(self) -> bool:
        """Whether everything may go."""
        return self._due_s is None

    @property
    def is_proven(self) -> bool:
        """Whether the last call was answered; not before the first."""
        return self._is_proven

    @property
    def due_s(self) -> float:
        """When the next probe may go; 0 while the breaker is closed."""
        return self._due_s or 0.0

    def state(self, now_s: float) -> State:
        """What the breaker lets through now."""
        if self._due_s is None:
            return State.CLOSED
        return State.OPEN if self._probing or now_s < self._due_s else State.HALF_OPEN

    def error_rate(self, now_s: float) -> float:
        """The decayed share of errors, from 0 to 1."""
        calls = self._calls.at(now_s)
        # Without a full call's weight, there is nothing to take a share of.
        return self._errors.at(now_s) / max(calls, 1.0)

    def begin(self, now_s: float) -> bool:
        """Whether a call may go; in the half-open state one may, until its outcome is reported."""
        state = self.state(now_s)
        if state is State.HALF_OPEN:
            self._probing = True
        return state is not State.OPEN

    def succeeded(self, now_s: float) -> None:
        """It answered."""
        if self._due_s is not None:
            # The past was another condition.
            self._due_s = None
            self._probing = False
            self._calls.clear()
            self._errors.clear()
        self._in_a_row = 0
        self._is_proven = True
        self._calls.add(1.0, now_s)

    def failed(self, now_s: float, *, probe: bool = False) -> None:
        """It did not answer; `probe` says that `begin` let this call through as the probe."""
        self._in_a_row += 1
        self._is_proven = False
        self._calls.add(1.0, now_s)
        self._errors.add(1.0, now_s)
        if self._due_s is None:
            if self._is_too_much(now_s):
                self._due_s = now_s + self._rules.probe_after_s
        elif probe:
            self._probing = False
            self._due_s = now_s + self._rules.probe_after_s

    def broke_off(self, now_s: float) -> None:
        """What had `succeeded` did not come to its end: that call was an error after all."""
        self._errors.add(1.0, now_s)
        if self._due_s is None and self._is_too_much(now_s):
            self._due_s = now_s + self._rules.probe_after_s

    def abandoned(self) -> None:
        """The probe ended without an outcome: another one may go."""
        self._probing = False

    def _is_too_much(self, now_s: float) -> bool:
        if self._in_a_row >= self._rules.failures:
            return True
        return self._calls.at(now_s) >= self._rules.least_calls and self.error_rate(now_s) >= self._rules.error_rate


def cool_down_s(retry_after_s: float | None) -> float:
    """How long whoever says "too many requests" is left alone: as long as it asks, within bounds."""
    if retry_after_s is None or math.isnan(retry_after_s):
        return _USUAL_COOL_DOWN_S
    return min(max(retry_after_s, _SHORTEST_COOL_DOWN_S), _LONGEST_COOL_DOWN_S)
