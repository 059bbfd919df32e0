"""Candidates: the models that may answer a call, and the most that the dearest of them can cost."""

from collections.abc import Callable, Iterable

import msgspec

from tollhouse.catalog.entries import NO_FALLBACKS, Deployment, Model, Price, Resolved
from tollhouse.ir.fault import FaultError, invalid_request
from tollhouse.money.pricing import unpriced_feature
from tollhouse.routing.asked import NOTHING_ASKED, Asked
from tollhouse.routing.plan import Reason
from tollhouse.wire.format import Scan

_ALWAYS: frozenset[Reason] = frozenset({"unavailable", "context_length", "content_filter"})


class Candidate(msgspec.Struct, frozen=True):
    """A model that may answer in place of the one that was asked for, and for which reasons."""

    resolved: Resolved
    reasons: frozenset[Reason]


class Candidates(msgspec.Struct, frozen=True, kw_only=True):
    """All models that may answer: the one that was asked for, then the others in order; with the caller's wishes."""

    first: Resolved
    others: tuple[Candidate, ...] = ()
    asked: Asked = NOTHING_ASKED

    @property
    def prices(self) -> tuple[Price, ...]:
        """Every price that the call can be charged by."""
        models = (self.first.model, *(one.resolved.model for one in self.others))
        return tuple(price for model in models for price in model_prices(model))

    @property
    def most_output_tokens(self) -> int:
        """The most that an answer of any of them can have where nobody limits it; 0 where that is not known of one."""
        known = [one.max_output_tokens for one in (self.first.model, *(other.resolved.model for other in self.others))]
        return max(known) if all(known) else 0

    def dearest(self, bound: Callable[[Price], int]) -> int:
        """The most that the call can cost, where `bound` says it for one price, in nano-USD."""
        return max(bound(price) for price in self.prices)


def price_at(model: Model, deployment: Deployment) -> Price:
    """What callers pay there."""
    return deployment.price or model.price


def model_prices(model: Model) -> Iterable[Price]:
    """Every price that the model has somewhere, its own first."""
    yield model.price
    for deployment in model.deployments:
        if deployment.price is not None:
            yield deployment.price


def charged_at(resolved: Resolved, deployment: Deployment) -> Resolved:
    """The model with the price that callers pay at the deployment."""
    if deployment.price is None:
        return resolved
    return msgspec.structs.replace(resolved, model=msgspec.structs.replace(resolved.model, price=deployment.price))


def find_candidates(first: Resolved, asked: Asked, scan: Scan, resolve: Callable[[str], Resolved]) -> Candidates:
    """The models for a call. `resolve` raises FaultError for a name that the key may not call: one that the caller
    wrote is refused, one that the catalogue offers is passed over, as is a model without a price for something that
    the request asks for (refused with FaultError where it is the model that was asked for)."""
    _check_priced(first, scan)
    fallbacks = first.model.fallbacks
    if fallbacks is NO_FALLBACKS and asked is NOTHING_ASKED:
        return Candidates(first=first)
    found: dict[str, Candidate] = {}
    for name in asked.models:
        resolved = resolve(name)
        _check_priced(resolved, scan)
        found.setdefault(resolved.slug, Candidate(resolved, _ALWAYS))
    for name in fallbacks.slugs:
        try:
            resolved = resolve(name)
            _check_priced(resolved, scan)
        except FaultError:
            continue
        reasons: frozenset[Reason] = frozenset(reason for reason in _ALWAYS if name in getattr(fallbacks, reason))
        found.setdefault(resolved.slug, Candidate(resolved, reasons))
    found.pop(first.slug, None)
    return Candidates(first=first, others=tuple(found.values()), asked=asked)


def _check_priced(resolved: Resolved, scan: Scan) -> None:
    if resolved.model.unpriced_allowed:
        return
    for price in model_prices(resolved.model):
        field = unpriced_feature(price, scan.peek.paid)
        if field is not None:
            raise invalid_request(
                f"{field} asks for something that has no price for the model {resolved.slug}. "
                "Leave it out, or have the operator add its price to the catalogue.",
                field,
            )
