"""The published documents drive the gateway, and so do the ones that it serves: no answer that they do not describe, no
failure of ours."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from support.contract_cases import FIXED_SEED, LEAST_SHARE, Caller, Tally, long_seed, own_schema, schema_of
from support.gateway import RunningGateway

CHAT = ["simulator/echo", "gpt-4", "openai/gpt-5", "anthropic/claude-sonnet-4"]
PICTURES = ["simulator/picture"]
MODELS = {"/chat/completions": CHAT, "/embeddings": ["text-embedding-ada-002"], "/images/generations": PICTURES}
LONG_SEED = long_seed()


def some(count: int) -> settings:
    """So many random cases for each mode, beside those that the documents themselves call for."""
    return settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def callers(running: RunningGateway, *, strict: bool) -> Iterator[dict[str, Caller]]:
    key = running.key("cases", usd=10**6)
    found = {
        "hpp_router": Caller(running, "", {"apikey": key}, MODELS, strict=strict),
        "voltagegpu": Caller(running, "/v1", {"X-VoltageGPU-Key": key}, MODELS, strict=strict),
    }
    yield found
    for caller in found.values():
        caller.close()
    running.stop()


@pytest.fixture(scope="module")
def tolerant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Caller]]:
    yield from callers(RunningGateway(tmp_path_factory.mktemp("tolerant")), strict=False)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Caller]]:
    yield from callers(RunningGateway(tmp_path_factory.mktemp("strict"), strict_schema=True), strict=True)


@pytest.fixture
def tally(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Iterator[Tally]:
    """Counts what becomes of an operation's cases, and looks at the whole in the end."""
    tally = Tally()
    yield tally
    seed = LONG_SEED if request.node.get_closest_marker("long") else FIXED_SEED
    line = f"{request.node.originalname}: {tally.line(seed)}"
    record_property("cases", line)
    assert tally.count("negative") > 0, line
    if "own" not in request.node.originalname:
        # Our own document names fields of which providers take less than we do.
        assert tally.share >= LEAST_SHARE, line


HPP, VOLTAGE = schema_of("hpp_router", FIXED_SEED), schema_of("voltagegpu", FIXED_SEED)
OWN_HPP, OWN_VOLTAGE = own_schema("/openapi/hpp.json", FIXED_SEED), own_schema("/openapi/voltage.json", FIXED_SEED)
LONG_HPP, LONG_VOLTAGE = schema_of("hpp_router", LONG_SEED), schema_of("voltagegpu", LONG_SEED)


@HPP.parametrize()
@some(25)
def test_hpp(case: Any, tolerant: dict[str, Caller], tally: Tally) -> None:
    tolerant["hpp_router"].check(case, tally)


@HPP.parametrize()
@some(25)
def test_strict_hpp(case: Any, strict: dict[str, Caller], tally: Tally) -> None:
    strict["hpp_router"].check(case, tally)


@VOLTAGE.parametrize()
@some(25)
def test_voltagegpu(case: Any, tolerant: dict[str, Caller], tally: Tally) -> None:
    tolerant["voltagegpu"].check(case, tally)


@VOLTAGE.parametrize()
@some(25)
def test_strict_voltagegpu(case: Any, strict: dict[str, Caller], tally: Tally) -> None:
    strict["voltagegpu"].check(case, tally)


@OWN_HPP.parametrize()
@some(15)
def test_own_hpp(case: Any, tolerant: dict[str, Caller], tally: Tally) -> None:
    tolerant["hpp_router"].check(case, tally)


@OWN_VOLTAGE.parametrize()
@some(15)
def test_own_voltagegpu(case: Any, tolerant: dict[str, Caller], tally: Tally) -> None:
    tolerant["voltagegpu"].check(case, tally)


def operations(schema: Any) -> list[Any]:
    return [result.ok() for result in schema.get_all_operations()]


@pytest.mark.row(3, 119)
@pytest.mark.parametrize(
    ("dialect", "schema", "name"), [("hpp_router", HPP, "apikey"), ("voltagegpu", VOLTAGE, "X-VoltageGPU-Key")]
)
def test_without_a_good_key_every_operation_says_so_as_documented(
    tolerant: dict[str, Caller], dialect: str, schema: Any, name: str
) -> None:
    found = operations(schema)
    assert len(found) == {"hpp_router": 5, "voltagegpu": 3}[dialect]
    for operation in found:
        told = [
            tolerant[dialect].refused(operation, headers)
            for headers in ({name: ""}, {name: "th-nobody"}, {name: "a", "authorization": "Basic eDp5"})
        ]
        assert all("key" in str(body).lower() for body in told)


@pytest.mark.row(137)
def test_without_credentials_the_shared_path_answers_in_both_envelopes(tolerant: dict[str, Caller]) -> None:
    bodies = [
        tolerant[dialect].refused(operation, headers)
        for dialect, schema in (("hpp_router", HPP), ("voltagegpu", VOLTAGE))
        for operation in operations(schema)
        if operation.path.endswith("/images/generations")
        for headers in ({}, {"authorization": "Basic eDp5"})
    ]
    assert len(bodies) == 4
    assert all(body == bodies[0] for body in bodies)
    assert isinstance(bodies[0]["error"], str)
    assert isinstance(bodies[0]["message"], str)
    assert bodies[0]["details"] == {"status": 401, "endpoint": "/v1/images/generations"}


@pytest.mark.long
@pytest.mark.timeout(1200)
@LONG_HPP.parametrize()
@some(600)
def test_long_hpp(case: Any, tolerant: dict[str, Caller], tally: Tally) -> None:
    tolerant["hpp_router"].check(case, tally)


@pytest.mark.long
@pytest.mark.timeout(1200)
@LONG_VOLTAGE.parametrize()
@some(600)
def test_long_voltagegpu(case: Any, tolerant: dict[str, Caller], tally: Tally) -> None:
    tolerant["voltagegpu"].check(case, tally)
