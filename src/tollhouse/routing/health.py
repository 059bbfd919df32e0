"""Health: what is known of every deployment and key from the calls they answered; time is an argument."""

import enum
from collections.abc import Sequence
from typing import Protocol

import msgspec

from tollhouse.catalog.entries import Deployment
from tollhouse.ir.fault import Fault, FaultKind
from tollhouse.routing.breaker import BreakerRules, CircuitBreaker, Decayed, State, cool_down_s
from tollhouse.routing.order import Measured

_FAILURES = frozenset({FaultKind.PROVIDER_UNAVAILABLE, FaultKind.PROVIDER_OVERLOADED, FaultKind.PROVIDER_TIMEOUT})
_HTTP_FORBIDDEN = 403
_HTTP_NOT_FOUND = 404


class HealthRules(msgspec.Struct, frozen=True, kw_only=True):
    """`most_ejected` is the largest share of a model's deployments that breakers may take away, and one always stays;
    a refused key is tried again after `key_probe_s`. Not `enabled`, nothing is ever left alone, only measured."""

    enabled: bool = True
    breaker: BreakerRules = BreakerRules()
    most_ejected: float = 0.75
    key_probe_s: float = 300.0


class Route(msgspec.Struct, frozen=True):
    """A deployment to ask; `forced` even when it is known to fail, since there may be no other."""

    deployment: Deployment
    forced: bool = False


class Choice(msgspec.Struct, frozen=True):
    """A deployment, and which of its provider's keys, counted from 0. `probe` says that it goes out to see whether
    something works again."""

    deployment: Deployment
    key: int = 0
    probe: bool = False


class HealthListener(Protocol):
    """Is told what an operator wants to know."""

    def breaker(self, deployment: str, key: int, state: State) -> None:
        """The breaker of a deployment and key has changed its state."""
        ...

    def key(self, scope: str, key: int, *, dead: bool) -> None:
        """A key is refused, or taken again: by the provider, or where it names a deployment by that one alone."""
        ...


class _Standing(enum.IntEnum):
    READY = 0
    PROBE = 1
    OUT = 2


class _Record:
    """One deployment with one key."""

    __slots__ = ("breaker", "cool_until_s", "first_byte", "told", "weight")

    def __init__(self, rules: BreakerRules) -> None:
        self.breaker = CircuitBreaker(rules)
        self.cool_until_s = 0.0
        self.first_byte = Decayed(rules.half_life_s)
        self.weight = Decayed(rules.half_life_s)
        self.told = State.CLOSED


class Health:
    """One process's knowledge. A `Choice` that was made is reported on exactly once: `succeeded`, `failed` or
    `abandoned`; an answer that breaks off later is reported by `broke_off`."""

    def __init__(self, rules: HealthRules, listener: HealthListener) -> None:
        self._rules = rules
        self._listener = listener
        self._records: dict[tuple[str, int], _Record] = {}
        self._key_rules = BreakerRules(failures=1, probe_after_s=rules.key_probe_s)
        self._refused: dict[tuple[str, int], CircuitBreaker] = {}

    def measured(self, deployment: Deployment, now_s: float) -> Measured:
        """Of all its keys together; a time that nobody has taken of late is unknown."""
        records = [self._records.get((deployment.name, key)) for key in range(len(deployment.provider.keys))]
        known = [record for record in records if record is not None]
        weight = sum(record.weight.at(now_s) for record in known)
        time_s = sum(record.first_byte.at(now_s) for record in known)
        errors = max((record.breaker.error_rate(now_s) for record in known), default=0.0)
        # Half a half-life of silence after one call, five after many.
        return Measured(time_s / weight if weight >= 0.25 else None, errors)

    def routes(self, deployments: Sequence[Deployment], now_s: float) -> list[Route]:
        """The deployments in their order without those that are known to fail. Of these as many stay, at the end, as
        more than the largest share would be missing otherwise, the ones that have been out for longest."""
        if len(deployments) == 1:
            return [Route(deployments[0], forced=True)]
        standings = [(one, self._standing(one, now_s)) for one in deployments]
        routes = [Route(one) for one, standing in standings if standing is not _Standing.OUT]
        if len(routes) == len(deployments) and any(standing is _Standing.READY for _, standing in standings):
            return routes
        out = sorted(
            (one for one, standing in standings if standing is _Standing.OUT), key=lambda one: self._back_s(one, now_s)
        )
        most = min(len(deployments) - 1, int(self._rules.most_ejected * len(deployments)))
        routes += [Route(one, forced=True) for one in out[: max(0, len(out) - most)]]
        if not any(route.forced for route in routes) and all(s is not _Standing.READY for _, s in standings):
            # Somebody else may hold the only permit to probe.
            routes[-1] = Route(routes[-1].deployment, forced=True)
        return routes

    def choose(self, route: Route, now_s: float, spread: float = 0.0, *, proven: bool = False) -> Choice | None:
        """A key to ask with, the first of those that work counted from `spread` (0 to 1); None when none does. With
        `proven` only one whose last call was answered is good enough."""
        deployment = route.deployment
        if proven:
            return self._proven(deployment, now_s, spread)
        if not deployment.provider.more_keys and self._standing_of(deployment, 0, now_s) is _Standing.READY:
            return Choice(deployment)
        keys = _keys_from(deployment, spread)
        for wanted in (_Standing.READY, _Standing.PROBE):
            for key in keys:
                if self._standing_of(deployment, key, now_s) is wanted:
                    probe = self._begin(deployment, key, now_s) if wanted is _Standing.PROBE else False
                    return Choice(deployment, key, probe)
        if not route.forced:
            return None
        return Choice(deployment, min(keys, key=lambda key: self._key_back_s(deployment, key, now_s)))

    def ready(self, deployment: Deployment, now_s: float, spread: float) -> list[Choice]:
        """Every key that works, counted from `spread`: for asking what is no part of a call. Nothing has to be
        reported of it, but that a key was refused."""
        keys = _keys_from(deployment, spread)
        return [Choice(deployment, key) for key in keys if self._standing_of(deployment, key, now_s) is _Standing.READY]

    def _proven(self, deployment: Deployment, now_s: float, spread: float) -> Choice | None:
        for key in _keys_from(deployment, spread):
            record = self._records.get((deployment.name, key))
            answered = record is not None and record.breaker.is_proven
            if answered and self._standing_of(deployment, key, now_s) is _Standing.READY:
                return Choice(deployment, key)
        return None

    def may_repeat(self, choice: Choice, now_s: float) -> bool:
        """Whether the same may be asked again in place: not when its breaker has opened or its key was refused."""
        record = self._records.get((choice.deployment.name, choice.key))
        if record is not None and record.breaker.state(now_s) is not State.CLOSED:
            return False
        return all(scope not in self._refused for scope in _scopes(choice.deployment, choice.key))

    def succeeded(self, choice: Choice, first_byte_s: float, now_s: float) -> None:
        """An answer has begun, so long after it was asked for."""
        record = self._record(choice)
        record.first_byte.add(first_byte_s, now_s)
        record.weight.add(1.0, now_s)
        record.cool_until_s = 0.0
        self._answers(choice, record, now_s)

    def failed(self, choice: Choice, fault: Fault, now_s: float) -> None:
        """No answer has begun. A refusal that blames the request, and a model that is not known, tell nothing against
        the deployment: callers could shut it to each other by asking nonsense."""
        if not self._rules.enabled:
            return
        record = self._record(choice)
        if fault.kind is FaultKind.PROVIDER_AUTH:
            self._refuse(choice, fault, now_s)
            if choice.probe:
                record.breaker.abandoned()
        elif fault.kind in _FAILURES and fault.upstream_status != _HTTP_NOT_FOUND:
            record.breaker.failed(now_s, probe=choice.probe)
            if fault.retry_after_s is not None:
                record.cool_until_s = now_s + cool_down_s(fault.retry_after_s)
            self._end_key_probe(choice)
            self._tell(choice, record, now_s)
        else:
            if fault.kind is FaultKind.PROVIDER_RATE_LIMIT:
                record.cool_until_s = now_s + cool_down_s(fault.retry_after_s)
            self._answers(choice, record, now_s)

    def broke_off(self, choice: Choice, now_s: float) -> None:
        """An answer that had begun did not come to its end."""
        if not self._rules.enabled:
            return
        record = self._record(choice)
        record.breaker.broke_off(now_s)
        self._tell(choice, record, now_s)

    def abandoned(self, choice: Choice) -> None:
        """Nobody waited for the outcome."""
        if choice.probe:
            self._record(choice).breaker.abandoned()
            self._end_key_probe(choice)

    def _answers(self, choice: Choice, record: _Record, now_s: float) -> None:
        record.breaker.succeeded(now_s)
        self._tell(choice, record, now_s)
        if not self._refused:
            return
        for scope in _scopes(choice.deployment, choice.key):
            if self._refused.pop(scope, None) is not None:
                self._listener.key(*scope, dead=False)

    def _refuse(self, choice: Choice, fault: Fault, now_s: float) -> None:
        """401 means the key wherever it is used, 403 may mean this model only."""
        provider, deployment = _scopes(choice.deployment, choice.key)
        scope = deployment if fault.upstream_status == _HTTP_FORBIDDEN else provider
        breaker = self._refused.get(scope)
        if breaker is None:
            breaker = self._refused[scope] = CircuitBreaker(self._key_rules)
            self._listener.key(*scope, dead=True)
        breaker.failed(now_s, probe=choice.probe)

    def _end_key_probe(self, choice: Choice) -> None:
        for scope in _scopes(choice.deployment, choice.key):
            if choice.probe and scope in self._refused:
                self._refused[scope].abandoned()

    def _begin(self, deployment: Deployment, key: int, now_s: float) -> bool:
        for breaker in self._breakers(deployment, key):
            breaker.begin(now_s)
        return True

    def _breakers(self, deployment: Deployment, key: int) -> list[CircuitBreaker]:
        record = self._records.get((deployment.name, key))
        found = [] if record is None else [record.breaker]
        if self._refused:
            found += [self._refused[scope] for scope in _scopes(deployment, key) if scope in self._refused]
        return found

    def _standing(self, deployment: Deployment, now_s: float) -> _Standing:
        return min(self._standing_of(deployment, key, now_s) for key in range(len(deployment.provider.keys)))

    def _standing_of(self, deployment: Deployment, key: int, now_s: float) -> _Standing:
        record = self._records.get((deployment.name, key))
        if record is not None and record.cool_until_s > now_s:
            return _Standing.OUT
        if not self._refused and (record is None or record.breaker.is_closed):
            return _Standing.READY
        worst = _Standing.READY
        for breaker in self._breakers(deployment, key):
            state = breaker.state(now_s)
            if state is State.OPEN:
                return _Standing.OUT
            if state is State.HALF_OPEN:
                worst = _Standing.PROBE
        return worst

    def _back_s(self, deployment: Deployment, now_s: float) -> float:
        return min(self._key_back_s(deployment, key, now_s) for key in range(len(deployment.provider.keys)))

    def _key_back_s(self, deployment: Deployment, key: int, now_s: float) -> float:
        """When it may be asked again."""
        record = self._records.get((deployment.name, key))
        cool_s = 0.0 if record is None or record.cool_until_s <= now_s else record.cool_until_s
        return max(cool_s, *(breaker.due_s for breaker in self._breakers(deployment, key)), 0.0)

    def _record(self, choice: Choice) -> _Record:
        name = (choice.deployment.name, choice.key)
        record = self._records.get(name)
        if record is None:
            record = self._records[name] = _Record(self._rules.breaker)
        return record

    def _tell(self, choice: Choice, record: _Record, now_s: float) -> None:
        if record.told is State.CLOSED and record.breaker.is_closed:
            return
        state = record.breaker.state(now_s)
        if state is not record.told:
            record.told = state
            self._listener.breaker(choice.deployment.name, choice.key, state)


def _keys_from(deployment: Deployment, spread: float) -> list[int]:
    count = len(deployment.provider.keys)
    first = int(spread * count) % count
    return [(first + step) % count for step in range(count)]


def _scopes(deployment: Deployment, key: int) -> tuple[tuple[str, int], tuple[str, int]]:
    """What a refused key may be refused for: everything at the provider, or this deployment."""
    return (deployment.provider.id, key), (deployment.name, key)
