"""The attempts of a call in one line that is safe in a header."""

from hypothesis import given
from hypothesis import strategies as st

from tollhouse.observe.record import Attempt
from tollhouse.observe.trail import attempts_headers, attempts_line


def attempt(deployment: str = "p:m", status: int = 200, outcome: str = "ok") -> Attempt:
    url = "https://p.example/v1/chat/completions"
    return Attempt(deployment=deployment, provider="p", url=url, outcome=outcome, status=status, elapsed_ms=7)


def test_each_attempt_in_its_turn() -> None:
    trail = [attempt("a:x", 503, "provider_overloaded"), attempt("b:y/z")]
    assert attempts_line(trail) == "a:x 503 provider_overloaded 7ms, b:y/z 200 ok 7ms"
    assert attempts_headers(trail) == ((b"x-tollhouse-attempts", attempts_line(trail).encode()),)
    assert attempts_headers([]) == ()


@given(st.lists(st.builds(attempt, st.text(max_size=300), st.integers(0, 599)), min_size=1, max_size=10))
def test_it_is_a_header_of_bounded_length_whatever_the_names(trail: list[Attempt]) -> None:
    line = attempts_line(trail)
    assert len(line.encode("ascii")) <= 1024
    assert all(" " <= letter <= "~" for letter in line)
    assert line.endswith("ms")
    last = line.rpartition(", ")[2].split(" ")
    assert (int(last[1]), last[2]) == (trail[-1].status, "ok")
