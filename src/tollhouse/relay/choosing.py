"""Choosing: which model answers a call that leaves it to the operator's rules, and who may serve it."""

import asyncio
from collections.abc import Callable

import msgspec

from tollhouse.catalog.entries import Catalog, Deployment, Model, Resolved
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.ir.request import ChatRequest
from tollhouse.routing.auto import Decision, Facts, decide, facts_of, needs_text
from tollhouse.routing.rules import BrokenRules, Rules, RuleSet
from tollhouse.tokens.encodings import OFF_LOOP_BYTES, Encoding, encoding
from tollhouse.wire.format import Scan, WireFormat

_NULL = b"null"


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules chose. `request` is there when the decision had to read the prompt; `providers`, where not None,
    are the only ones that may serve it."""

    decision: Decision
    request: ChatRequest | None
    providers: tuple[str, ...] | None

    def narrowed(self, resolved: Resolved) -> Resolved:
        """The model with no other deployments than those of allowed providers. Raises FaultError (smart_routing) where
        none is left."""
        allowed = allowed_deployments(resolved.model, self.providers)
        if not allowed:
            raise _forbidden(self.decision, resolved.slug)
        if len(allowed) == len(resolved.model.deployments):
            return resolved
        return msgspec.structs.replace(resolved, model=msgspec.structs.replace(resolved.model, deployments=allowed))


class Chooser:
    """Decides for one call at a time; what is not asked for is never read."""

    def __init__(self, rules: Callable[[], Rules], catalog: Callable[[], Catalog]) -> None:
        self._rules = rules
        self._catalog = catalog

    async def choose(self, wire_format: WireFormat, scan: Scan) -> Chosen:
        """The model for this request. Raises FaultError: smart_routing when the rules lack a piece, cannot be used or
        forbid the provider; unknown_model when the model that they name has no price here; invalid_request."""
        rules = usable(self._rules())
        facts = facts_before_reading(scan)
        coding = encoding(rules.tokenizer)
        request: ChatRequest | None = None
        if not needs_text(rules, facts):
            decision = decide(rules, facts, coding.count_text)
        elif coding.is_loaded and scan.size_bytes <= OFF_LOOP_BYTES:
            request, decision = _read_and_decide(rules, coding, wire_format, scan)
        else:
            request, decision = await asyncio.to_thread(_read_and_decide, rules, coding, wire_format, scan)
        check_target(rules, decision, self._catalog())
        return Chosen(decision=decision, request=request, providers=rules.providers)


def usable(rules: Rules) -> RuleSet:
    """The rules, if calls can go by them. Raises FaultError (smart_routing)."""
    if isinstance(rules, BrokenRules):
        raise FaultError(
            Fault(
                kind=FaultKind.SMART_ROUTING,
                source="policy",
                message=f"The routing rules (version {rules.version}) cannot be used, so no model could be chosen. "
                "Name a model yourself, or have the operator correct the rules.",
                param="model",
                detail=rules.why,
            )
        )
    return rules


def facts_before_reading(scan: Scan) -> Facts:
    """What the top of a request tells, without its prompt."""
    choice = scan.fields.get("tool_choice")
    return Facts(
        stream=scan.peek.stream,
        has_tools=scan.peek.has_tools or (choice is not None and bytes(choice).strip() != _NULL),
    )


def check_target(rules: RuleSet, decision: Decision, catalog: Catalog) -> None:
    """Refuse a decision that names what cannot be called. Raises FaultError (unknown_model, smart_routing)."""
    resolved = catalog.resolve(decision.model)
    chosen = f"The routing rules (version {rules.version}, rule {decision.rule_id}) chose the model {decision.model}"
    if resolved is None:
        raise FaultError(
            Fault(
                kind=FaultKind.UNKNOWN_MODEL,
                source="policy",
                message=f"{chosen}, for which no price is on record here, so the call was not forwarded. Name a model "
                "yourself, or have the operator add it to the catalogue or set its provider up.",
                param="model",
            )
        )
    if not allowed_deployments(resolved.model, rules.providers):
        raise _forbidden(decision, resolved.slug)


def allowed_deployments(model: Model, providers: tuple[str, ...] | None) -> tuple[Deployment, ...]:
    """Those of the allowed providers, all for None."""
    if providers is None:
        return model.deployments
    return tuple(one for one in model.deployments if one.provider.id in providers)


def _forbidden(decision: Decision, slug: str) -> FaultError:
    return FaultError(
        Fault(
            kind=FaultKind.SMART_ROUTING,
            source="policy",
            message=f"The routing rules (version {decision.rules_version}, rule {decision.rule_id}) allow none of the "
            f"providers of the model {slug}, so the call was not forwarded. Name a model yourself, or have the "
            "operator correct the rules.",
            param="model",
        )
    )


def _read_and_decide(
    rules: RuleSet, coding: Encoding, wire_format: WireFormat, scan: Scan
) -> tuple[ChatRequest, Decision]:
    """Only requests without tools are read this far."""
    request = wire_format.decode_request(scan)
    return request, decide(rules, facts_of(request, has_tool_choice=False), coding.count_text)
