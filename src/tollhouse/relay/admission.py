"""Admission: who calls, what is asked, whether it may be, and the hold on the purse; all before anything goes out."""

from collections import OrderedDict
from collections.abc import Callable, Mapping

import msgspec

from tollhouse.accounts import keys
from tollhouse.accounts.principal import Principal
from tollhouse.accounts.store import AccountStore
from tollhouse.catalog.entries import Catalog, Deployment, Resolved
from tollhouse.ir.fault import Fault, FaultError, FaultKind, invalid_request
from tollhouse.ir.request import ChatRequest
from tollhouse.money.lease import Hold
from tollhouse.relay.budget import Budget
from tollhouse.relay.call import Call
from tollhouse.relay.candidates import Candidates, Wanted, find_candidates
from tollhouse.relay.choosing import Chooser
from tollhouse.routing.asked import Asked, take_asked
from tollhouse.routing.auto import Decision
from tollhouse.routing.key_wishes import within_key
from tollhouse.wire.format import Scan
from tollhouse.wire.registry import CallerFormat

_CACHED_KEYS = 10_000
_CACHED_S = 1.0
UNVERIFIED_S = 30.0
_NAME_CHARS = 100

_BAD_KEY = Fault(
    kind=FaultKind.INVALID_KEY,
    source="client",
    message="The API key is missing or not valid. Check that the whole key was copied and that it is not revoked.",
)


class Authenticator:
    """Looks keys up, remembering each good answer for a second: so long may a revoked key live on elsewhere.

    While the books cannot be read, a key that was good up to UNVERIFIED_S ago is still taken: that much is a lease
    valid at most, and without a valid lease nothing that costs money is forwarded.

    Unknown, disabled, revoked and expired keys are refused in the same words, so that none can be told from another.
    """

    def __init__(self, store: AccountStore, clock_s: Callable[[], float], now_ms: Callable[[], int]) -> None:
        self._store = store
        self._clock_s = clock_s
        self._now_ms = now_ms
        self._known: OrderedDict[str, tuple[float, Principal]] = OrderedDict()
        self._changes = 0

    async def authenticate(self, key: str | None) -> Principal:
        """Whose key it is. Raises FaultError (invalid_key, workspace_locked, books_unavailable)."""
        known = None if key is None else self._known.get(key)
        # What is known was well-formed.
        if key is None or (known is None and not keys.well_formed(key)):
            raise FaultError(_BAD_KEY)
        if known is not None and known[0] > self._clock_s():
            principal = known[1]
        else:
            principal = await self._look_up(key, known)
        if principal.expires_at_ms is not None and principal.expires_at_ms <= self._now_ms():
            raise FaultError(_BAD_KEY)
        if principal.locked:
            raise FaultError(
                Fault(
                    kind=FaultKind.WORKSPACE_LOCKED,
                    source="policy",
                    message="The workspace is locked. Its administrator can unlock it.",
                )
            )
        return principal

    def forget(self) -> None:
        """Something was changed: what is remembered of keys is of before."""
        self._known.clear()
        self._changes += 1

    async def _look_up(self, key: str, known: tuple[float, Principal] | None) -> Principal:
        changes = self._changes
        try:
            principal = await self._store.principal(keys.digest(key))
        except FaultError:
            if known is None or known[0] + UNVERIFIED_S <= self._clock_s():
                raise
            return known[1]
        if principal is None:
            self._known.pop(key, None)
            raise FaultError(_BAD_KEY)
        if changes != self._changes:
            return principal
        self._known[key] = (self._clock_s() + _CACHED_S, principal)
        self._known.move_to_end(key)
        if len(self._known) > _CACHED_KEYS:
            self._known.popitem(last=False)
        return principal


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """A call that may be forwarded. Whoever has it ends its hold. `resolved` is the model that answers: the one that
    was asked for, until another of the candidates has done so."""

    call: Call
    principal: Principal
    format: CallerFormat
    scan: Scan
    resolved: Resolved
    candidates: Candidates
    hold: Hold
    decision: Decision | None = None
    """Why it is this model, where rules chose it."""
    request: ChatRequest | None = None
    """The request decoded, where that was needed already."""
    injected_limit: int | None = None
    """The limit on the answer's tokens that the gateway has set, since the caller set none and more does not fit."""

    @property
    def output_limit(self) -> int | None:
        """The limit on the answer's tokens that is sent, None without one."""
        return self.injected_limit or self.scan.peek.output_limit

    def calls(self, deployment: Deployment) -> int:
        """How many calls the request becomes at the deployment: one for each choice where its format has one answer
        per call."""
        translated = deployment.format != self.format.name
        return self.scan.peek.choices if translated and self.call.voice.splits_choices else 1


class Admission:
    """Checks a call whose key is good, in the order of the published contracts."""

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        formats: Mapping[str, CallerFormat],
        budget: Budget,
        chooser: Chooser,
    ) -> None:
        self._catalog = catalog
        self._formats = formats
        self._budget = budget
        self._chooser = chooser

    async def admit(self, call: Call, principal: Principal) -> Admitted:
        """Raises FaultError: invalid_request, unknown_model, smart_routing, model_not_allowed, insufficient_balance,
        key_limit, books_unavailable."""
        wire_format = self._formats[call.voice.format_name]
        scan, asked = self.read(call, principal, wire_format)
        name, chosen = scan.peek.model, None
        if name == call.voice.auto_model and wire_format.operation == "chat":
            chosen = await self._chooser.choose(wire_format, scan)
            name = chosen.decision.model

        def find(name: str, param: str = "models") -> Resolved:
            resolved = self.resolve(name, principal, param)
            return resolved if chosen is None else chosen.narrowed(resolved)

        resolved = find(name, "model")
        wanted = Wanted(scan, wire_format.name, wire_format.operation, find, call.voice.splits_choices)
        candidates = find_candidates(resolved, asked, wanted)
        terms = await self._budget.hold(call.request_id, principal, candidates, candidates.priced(scan), call.body)
        return Admitted(
            call=call,
            principal=principal,
            format=wire_format,
            scan=scan,
            resolved=resolved,
            candidates=candidates,
            hold=terms.hold,
            decision=chosen.decision if chosen else None,
            request=chosen.request if chosen else None,
            injected_limit=terms.injected_limit,
        )

    def read(self, call: Call, principal: Principal, wire_format: CallerFormat) -> tuple[Scan, Asked]:
        """The request, without what it says of its own routing, and that within what the key allows.
        Raises FaultError (invalid_request)."""
        call.voice.validate(call.body)
        scan, asked = take_asked(wire_format.scan(call.body), self._catalog())
        if wire_format.operation == "images":
            scan = self._with_model(wire_format.with_defaults(scan, call.voice.defaults()))
        if principal.providers is not None:
            asked = within_key(asked, principal.providers)
        return scan, asked

    def _with_model(self, scan: Scan) -> Scan:
        """A call for pictures that names no model gets the catalogue's. Raises FaultError (invalid_request) when that
        has none."""
        if scan.peek.model:
            return scan
        name = self._catalog().default_model("images")
        if name is None:
            raise invalid_request("`model` is required here: no model for pictures is set up.", "model")
        return msgspec.structs.replace(scan, peek=msgspec.structs.replace(scan.peek, model=name))

    def resolve(self, name: str, principal: Principal, param: str = "model") -> Resolved:
        """The model of this name, if the key may use it; `param` is the field that named it. Raises FaultError
        (unknown_model, model_not_allowed)."""
        resolved = self._catalog().resolve(name)
        if resolved is None:
            raise FaultError(
                Fault(
                    kind=FaultKind.UNKNOWN_MODEL,
                    source="client",
                    message=f"The model {name[:200]!r} cannot be called here: it is not in the catalogue, or no "
                    "provider that serves it is set up. The list of models says which can be called.",
                    param=param,
                )
            )
        allowed = principal.allowed_models
        if allowed is not None and allowed.isdisjoint((resolved.slug, resolved.model.slug, *resolved.model.aliases)):
            raise FaultError(
                Fault(
                    kind=FaultKind.MODEL_NOT_ALLOWED,
                    source="policy",
                    message=f"This key may not use the model {resolved.slug}. Use another model or another key.",
                    param=param,
                )
            )
        return resolved
