"""What the tests of the dialects share: the three dialects, a small catalogue, one sample of every fault."""

from tollhouse.catalog.entries import Benchmark, Catalog, Creator, Deployment, Model, Price, Provider, Rates
from tollhouse.dialects.dialect import Dialect, Operation, Route
from tollhouse.dialects.hpp_router.surface import HppRouter
from tollhouse.dialects.hyperinfer.surface import HyperInfer
from tollhouse.dialects.voltagegpu.surface import VoltageGpu
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.observe.record import Attempt
from tollhouse.relay.call import Voice

HPP: Dialect = HppRouter()
HYPERINFER: Dialect = HyperInfer()
VOLTAGE: Dialect = VoltageGpu()
DIALECTS = (HPP, HYPERINFER, VOLTAGE)
REQUEST_ID = "0123456789abcdef0123456789abcdef"

_FOR_CALLERS = {
    FaultKind.INVALID_REQUEST: "`temperature` must be at most 2.",
    FaultKind.UNKNOWN_MODEL: "There is no model `openai/gpt-9`. GET the list of models for the names.",
    FaultKind.CONTEXT_LENGTH: "The prompt has 9000 tokens, the model takes 8192. Send a shorter one.",
    FaultKind.CONTENT_FILTER: "The provider refused the prompt by its content policy.",
    FaultKind.SMART_ROUTING: "The routing rules (version 7) lack `tool_model`, so no model could be chosen.",
    FaultKind.NOT_FOUND: "There is nothing at this path.",
    FaultKind.METHOD_NOT_ALLOWED: "This path takes POST only.",
    FaultKind.BODY_TOO_LARGE: "The body is larger than 50 MB.",
    FaultKind.HEADERS_TOO_LARGE: "The headers are larger than 64 KiB.",
    FaultKind.REQUEST_TIMEOUT: "The body did not arrive within 60 s.",
    FaultKind.UNSUPPORTED_ENCODING: "Content-Encoding gzip is not supported.",
    FaultKind.INVALID_KEY: "unknown key",
    FaultKind.MODEL_NOT_ALLOWED: "This key may not use `openai/gpt-5`.",
    FaultKind.WORKSPACE_LOCKED: "The workspace is locked.",
    FaultKind.INSUFFICIENT_BALANCE: "The balance of 0.0010 USD does not cover this call.",
    FaultKind.KEY_LIMIT: "The key's daily limit is spent.",
    FaultKind.RATE_LIMIT: "The key makes more than 60 calls a minute.",
    FaultKind.PROVIDER_RATE_LIMIT: "The provider's rate limit is reached. Try again later.",
    FaultKind.PROVIDER_OVERLOADED: "The provider is overloaded. Try again later.",
    FaultKind.PROVIDER_TIMEOUT: "The provider sent nothing for 120 s. Try again later, or choose another model.",
    FaultKind.PROVIDER_UNAVAILABLE: "The provider failed to answer. Try again, or choose another model.",
    FaultKind.PROVIDER_AUTH: "The provider refused the gateway's own credential. The operator has to renew it.",
    FaultKind.BOOKS_UNAVAILABLE: "The balance cannot be verified now. Retry soon.",
    FaultKind.BUSY: "The gateway is at its limit. Retry soon.",
    FaultKind.INTERNAL: "secret message of a fault of our own",
}
_STATUSES = {
    FaultKind.PROVIDER_RATE_LIMIT: 429,
    FaultKind.PROVIDER_OVERLOADED: 529,
    FaultKind.PROVIDER_UNAVAILABLE: 503,
    FaultKind.PROVIDER_AUTH: 401,
}
ATTEMPTS = (
    Attempt(
        deployment="first:model-a",
        provider="first",
        url="https://user:secret@api.first.example:8443/v1/chat/completions?key=secret#secret",
        outcome="provider_unavailable",
        status=503,
        elapsed_ms=120,
    ),
    Attempt(
        deployment="second:model-b",
        provider="second",
        url="https://api.second.example/v1/chat/completions",
        outcome="provider_timeout",
        status=0,
        elapsed_ms=10_000,
    ),
)


def sample_fault(kind: FaultKind) -> Fault:
    """A fault of this kind as the gateway raises it, with all that its kind can carry."""
    from_provider = kind.value.startswith("provider_")
    return Fault(
        kind=kind,
        message=_FOR_CALLERS[kind],
        source="provider" if from_provider else "gateway",
        param="temperature" if kind is FaultKind.INVALID_REQUEST else None,
        retry_after_s=4.2 if kind in {FaultKind.RATE_LIMIT, FaultKind.PROVIDER_RATE_LIMIT} else None,
        provider="first" if from_provider else None,
        upstream_status=_STATUSES.get(kind),
        upstream_code="secret-upstream-code" if from_provider else None,
        detail="secret detail for the log",
    )


def route(dialect: Dialect, operation: Operation) -> Route:
    """The first route of a dialect that does this."""
    return next(route for route in dialect.routes if route.operation is operation)


def chat_voice(dialect: Dialect) -> Voice:
    """The voice of a dialect's chat route."""
    voice = route(dialect, Operation.CHAT).voice
    assert voice is not None
    return voice


def refusal(dialect: Dialect, body: bytes) -> Fault | None:
    """What a dialect's chat says against a body; None when it takes it."""
    try:
        chat_voice(dialect).validate(body)
    except FaultError as error:
        return error.fault
    return None


def _model(slug: str, rates: Rates, **more: object) -> Model:
    provider = Provider(id="first", format="openai_chat", base_url="https://api.first.example/v1", api_key="sk-secret")
    creator, _, name = slug.partition("/")
    fields: dict[str, object] = {
        "name": name.upper(),
        "creator": Creator(slug=creator, name=creator.title()),
        "deployments": (Deployment(provider=provider, upstream_model=name),),
        "price": Price(rates=rates),
    }
    return Model(slug=slug, **(fields | more))  # pyright: ignore[reportArgumentType]  # the tests name real fields


CATALOG = Catalog(
    {},
    (
        _model(
            "openai/gpt-5",
            Rates(prompt=1_250_000, completion=10_000_000, cached_prompt=125_000),
            creator=Creator(slug="openai", name="OpenAI", brand_color="#10A37F"),
            aliases=("gpt-5", "gpt-4"),
            description="A model.",
            release_date="2025-08-07",
            context_length=400_000,
            max_output_tokens=128_000,
            features=("tools", "vision"),
            datacenter_locations=("US",),
            benchmarks=(
                Benchmark(label="Extra", score="1300", unit="elo", source_url="https://example.org/e"),
                Benchmark(label="GPQA", score="88.4", source_url="https://example.org/g", tier="primary", mode="High"),
            ),
            hugging_face_id="openai/none",
        ),
        _model("anthropic/claude", Rates(prompt=3_000_000, completion=15_000_001, cache_write=3_750_000)),
        _model("ollama/gpt-oss:120b", Rates()),
        _model("replay-chat/*", Rates(prompt=1)),
    ),
)
