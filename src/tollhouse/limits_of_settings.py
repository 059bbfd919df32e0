"""What single parts of a gateway take of its settings: bounds and rules, in the types of those parts."""

from tollhouse.http.limits import Limits
from tollhouse.relay.attempts import AttemptLimits
from tollhouse.routing.breaker import BreakerRules
from tollhouse.routing.budget import BudgetRules
from tollhouse.routing.health import HealthRules
from tollhouse.settings import Settings


def attempt_limits(settings: Settings) -> AttemptLimits:
    """How long and how often one call may try."""
    return AttemptLimits(
        attempts=settings.attempts,
        budget_s=settings.attempts_budget_s,
        on_loss=settings.on_loss,
        hold_back_s=settings.hold_back_s,
        retries=BudgetRules(per_call=settings.retry_percent / 100),
    )


def health_rules(settings: Settings) -> HealthRules:
    """When a deployment or a key is left alone."""
    return HealthRules(
        enabled=settings.breakers,
        breaker=BreakerRules(
            failures=settings.breaker_failures,
            error_rate=settings.breaker_error_percent / 100,
            probe_after_s=settings.breaker_probe_s,
        ),
        most_ejected=settings.breaker_ejected_percent / 100,
        key_probe_s=settings.key_probe_s,
    )


def http_limits(settings: Settings) -> Limits:
    """The bounds at the door."""
    shared = set(Limits.__struct_fields__) & set(Settings.__struct_fields__)
    return Limits(**{name: getattr(settings, name) for name in shared})
