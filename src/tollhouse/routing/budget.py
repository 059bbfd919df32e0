"""RetryBudget: how much may be tried again, so that an outage is not answered with a storm; time is an argument."""

import msgspec


class BudgetRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a call pays in, what there is at the start and at most, and what time adds by the second, all in retries.

    When everything is down, calls make at most `1 + per_call` attempts each in the long run. Time adds only while the
    last call was answered: that is for gateways with so few calls that they hardly pay in for one retry.
    """

    per_call: float = 0.2
    start: float = 5.0
    most: float = 20.0
    per_s: float = 0.02


class RetryBudget:
    """A bucket of retries: calls pay in, a retry takes one out, and one that succeeds is given back.

    So a provider that fails now and then among others that answer is masked for ever, whatever its share of failures.
    """

    def __init__(self, rules: BudgetRules, now_s: float) -> None:
        self._rules = rules
        self._left = rules.start
        self._at_s = now_s
        self._answered = True

    def left(self, now_s: float) -> float:
        """How many retries there are now."""
        if self._answered:
            self._left = min(self._rules.most, self._left + max(0.0, now_s - self._at_s) * self._rules.per_s)
        self._at_s = max(now_s, self._at_s)
        return self._left

    def call(self) -> None:
        """A call has come."""
        self._left = min(self._rules.most, self._left + self._rules.per_call)

    def allows(self, now_s: float, retries: int = 1) -> bool:
        """Whether there are so many retries to take."""
        # A sum of five times 0.2 is a retry, whatever the floats say.
        return self.left(now_s) >= retries - 1e-9

    def is_short(self, now_s: float) -> bool:
        """Whether there is none to take now, but will be after more calls."""
        return self._rules.per_call > 0 and not self.allows(now_s)

    def withdraw(self, now_s: float) -> bool:
        """Take one retry; False when there is none."""
        if not self.allows(now_s):
            return False
        self._left -= 1.0
        return True

    def answered(self, now_s: float, *, by_retry: bool) -> None:
        """A call has been answered. A retry that did it is given back: it was no part of a storm."""
        self.left(now_s)
        self._answered = True
        if by_retry:
            self._left = min(self._rules.most, self._left + 1.0)

    def failed(self, now_s: float) -> None:
        """A call has failed for good."""
        self.left(now_s)
        self._answered = False
