"""Candidates: the models that may answer a call, and the most that the dearest of them can cost."""

from collections.abc import Callable

import msgspec

from tollhouse.catalog.entries import NO_FALLBACKS, Deployment, Model, Price, Resolved
from tollhouse.ir.fault import Fault, FaultError, FaultKind, invalid_request
from tollhouse.money.pricing import is_tool, unpriced_features
from tollhouse.routing.asked import NOTHING_ASKED, Asked
from tollhouse.routing.plan import Reason
from tollhouse.wire.format import ModelOperation, Scan

_ALWAYS: frozenset[Reason] = frozenset({"unavailable", "context_length", "content_filter"})
_NAME_CHARS = 100


class Candidate(msgspec.Struct, frozen=True):
    """A model that may answer, its deployments that may be asked, and for which reasons it answers in place of the one
    that was asked for (none for that one itself)."""

    resolved: Resolved
    deployments: tuple[Deployment, ...]
    reasons: frozenset[Reason] = frozenset()


class Wanted(msgspec.Struct, frozen=True):
    """A request that looks for models: what it says, in which format, what it is for, and what finds a model by its
    name.

    `resolve` raises FaultError for a name that the key may not call.
    """

    scan: Scan
    format_name: str
    operation: ModelOperation
    resolve: Callable[[str], Resolved]
    splits_choices: bool = False


class Candidates(msgspec.Struct, frozen=True, kw_only=True):
    """All models that may answer: the one that was asked for, then the others in order; with the caller's wishes."""

    first: Candidate
    others: tuple[Candidate, ...] = ()
    native: bool = False
    """Whether one of the deployments speaks the caller's format."""
    calls: int = 1
    """How many calls the request becomes at most at one of the deployments."""
    asked: Asked = NOTHING_ASKED

    @property
    def price_version(self) -> str:
        """Of the model that was asked for."""
        return self.first.resolved.model.price.version

    @property
    def most_output_tokens(self) -> int:
        """The most that an answer of any of them can have where nobody limits it; 0 where that is not known of one."""
        known = [one.resolved.model.max_output_tokens for one in (self.first, *self.others)]
        return max(known) if all(known) else 0

    @property
    def longest_context_tokens(self) -> int:
        """The most that any of them can read; 0 where that is not known of one."""
        known = [one.resolved.model.context_length for one in (self.first, *self.others)]
        return max(known) if all(known) else 0

    @property
    def tokenizers(self) -> frozenset[str]:
        """The vocabularies of all of them."""
        return frozenset(one.resolved.model.tokenizer for one in (self.first, *self.others))

    def dearest(self, bound: Callable[[Price], int]) -> int:
        """The most of what `bound` says for one price, such as what the call can cost in nano-USD."""
        own = self.first.resolved.model.price
        highest = bound(own)
        for candidate in (self.first, *self.others):
            for deployment in candidate.deployments:
                price = price_at(candidate.resolved.model, deployment)
                if price is not own:
                    highest = max(highest, bound(price))
        return highest

    def priced(self, scan: Scan) -> Scan:
        """The request with what the dearest deployment is paid extra for."""
        paid = paid_features(scan, native=self.native)
        if paid == scan.peek.paid:
            return scan
        return msgspec.structs.replace(scan, peek=msgspec.structs.replace(scan.peek, paid=paid))


def price_at(model: Model, deployment: Deployment) -> Price:
    """What callers pay there."""
    return deployment.price or model.price


def charged_at(resolved: Resolved, deployment: Deployment) -> Resolved:
    """The model with the price that callers pay at the deployment."""
    if deployment.price is None:
        return resolved
    return msgspec.structs.replace(resolved, model=msgspec.structs.replace(resolved.model, price=deployment.price))


def paid_features(scan: Scan, *, native: bool) -> tuple[tuple[str, str], ...]:
    """The (field, price name) pairs of what a call pays extra for. `native`: the provider speaks the caller's format;
    only then does it get the tools of its own that were asked for, for no other format can say them."""
    return scan.peek.paid if native else tuple(each for each in scan.peek.paid if not is_tool(each[1]))


def left_out(model: Model, deployment: Deployment, scan: Scan) -> frozenset[str]:
    """The price names of the provider's own tools that a deployment of the caller's format is not told of, because they
    have no price there and the request can do without them."""
    if not scan.peek.spare_tools or model.unpriced_allowed:
        return frozenset()
    offered = [each for each in scan.peek.paid if each[0] == "tools"]
    return frozenset(name for _, name in unpriced_features(price_at(model, deployment), offered))


def find_candidates(first: Resolved, asked: Asked, wanted: Wanted) -> Candidates:
    """The models for a call. Raises FaultError for a model that the request names and that cannot be asked for this;
    one that only the catalogue offers is passed over then."""
    own = _candidate(first, wanted)
    found: dict[str, Candidate] = {}
    for name in asked.models:
        resolved = wanted.resolve(name)
        found.setdefault(resolved.slug, _candidate(resolved, wanted, _ALWAYS))
    fallbacks = first.model.fallbacks
    for name in () if fallbacks is NO_FALLBACKS else fallbacks.slugs:
        reasons: frozenset[Reason] = frozenset(reason for reason in _ALWAYS if name in getattr(fallbacks, reason))
        try:
            resolved = wanted.resolve(name)
            found.setdefault(resolved.slug, _candidate(resolved, wanted, reasons))
        except FaultError:
            continue
    found.pop(first.slug, None)
    others = tuple(found.values())
    formats = {one.format for each in (own, *others) for one in each.deployments}
    split = wanted.splits_choices and formats != {wanted.format_name}
    return Candidates(
        first=own,
        others=others,
        native=wanted.format_name in formats,
        calls=wanted.scan.peek.choices if split else 1,
        asked=asked,
    )


def _candidate(resolved: Resolved, wanted: Wanted, reasons: frozenset[Reason] = frozenset()) -> Candidate:
    """The model with the deployments that do what is wanted and get nothing without a price. Raises FaultError
    (unknown_model, invalid_request) when there is none.

    Some programs offer a provider's own tool in every call, so one without a price is no reason to refuse where it is
    left out, by a translation or because the request can do without it: that is a loss like any other.
    """
    model = resolved.model
    deployments = model.deployments
    if model.operations != (wanted.operation,):
        deployments = tuple(one for one in deployments if one.operation == wanted.operation)
        if not deployments:
            raise _not_for(resolved, wanted.operation)
    if model.unpriced_allowed or not wanted.scan.peek.paid:
        return Candidate(resolved, deployments, reasons)
    found: list[Deployment] = []
    unpriced: tuple[str, str] | None = None
    for deployment in deployments:
        native = deployment.format == wanted.format_name
        paid = paid_features(wanted.scan, native=native)
        spare = left_out(model, deployment, wanted.scan) if native else ()
        lacking = unpriced_features(price_at(model, deployment), paid)
        missing = next((each for each in lacking if each[1] not in spare), None)
        unpriced = missing or unpriced
        if missing is None:
            found.append(deployment)
    if unpriced is None or found:
        return Candidate(resolved, tuple(found), reasons)
    field, name = unpriced
    raise invalid_request(
        f"`{field}` asks for {name[:_NAME_CHARS]!r}, which has no price for the model {resolved.slug}. Leave it out, "
        f"or have the operator add its price to the catalogue{_where(name)}, or `unpriced: allow` to the model.",
        field,
    )


def _where(name: str) -> str:
    return f" (`tool_fees: {{{name.partition(':')[2][:_NAME_CHARS]}: 0.01}}`)" if is_tool(name) else ""


def _not_for(resolved: Resolved, operation: ModelOperation) -> FaultError:
    return FaultError(
        Fault(
            kind=FaultKind.UNKNOWN_MODEL,
            source="client",
            message=f"The model {resolved.slug[:_NAME_CHARS]!r} is for {' and '.join(resolved.model.operations)}, and "
            f"cannot be asked for {operation}. The list of models says what can be called.",
            param="model",
        )
    )
