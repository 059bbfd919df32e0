"""Replay: what other rules would have chosen for calls of which only the outside was kept, and how sure that is."""

from collections.abc import Mapping

import msgspec

from tollhouse.ir.fault import FaultError
from tollhouse.routing.auto import Facts, decide
from tollhouse.routing.rules import RuleSet

_KEYWORD = "keyword:"


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """What was kept of a call. `prompt_tokens` are the rules' own estimate, or the provider's count where they made
    none (not `estimated`). `basket`, `rule_id` and `rules_version` are None where a model was named; so is `basket` of
    a stream that was not classified."""

    stream: bool
    prompt_tokens: int
    estimated: bool = False
    basket: str | None = None
    rule_id: str | None = None
    rules_version: str | None = None


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """The model that the rules choose, None with `refused` where they refuse. What had to be assumed: that a call had
    no tools, that its text has no keyword that was not looked for then, and that the rules would count as the provider
    did."""

    model: str | None
    refused: str | None = None
    assumed_no_tools: bool = False
    assumed_no_keyword: bool = False
    assumed_count: bool = False

    @property
    def certain(self) -> bool:
        """Whether nothing had to be assumed."""
        return not (self.assumed_no_tools or self.assumed_no_keyword or self.assumed_count)


def replay(rules: RuleSet, outside: Outside, looked_for: Mapping[str, frozenset[str]]) -> Replayed:
    """What `rules` would have done. `looked_for` are the keywords, in small letters, of each version of the rules."""
    classified = rules.classify_streams or not outside.stream
    known_tools = outside.basket is not None
    has_tools = outside.basket == "A"
    keyword = (outside.rule_id or "").removeprefix(_KEYWORD) if _is_keyword(outside) else None
    wanted = {word.casefold() for word in rules.simple.keywords}
    hit = keyword is not None and keyword.casefold() in wanted
    # A text of basket A or of a named model was never searched.
    searched = outside.basket in ("B", "C") and keyword is None
    absent = looked_for.get(outside.rules_version or "", frozenset()) if searched else frozenset[str]()
    facts = Facts(
        stream=outside.stream,
        has_tools=has_tools,
        user_texts=(keyword,) if hit and keyword is not None else (),
        texts=("",),
    )
    unsure_keyword = classified and not has_tools and not hit and bool(wanted - absent)
    counted: list[int] = []

    def count(_text: str) -> int:
        counted.append(outside.prompt_tokens)
        return outside.prompt_tokens

    try:
        model = decide(rules, facts, count).model
        refused = None
    except FaultError as error:
        model, refused = None, error.fault.message
    return Replayed(
        model=model,
        refused=refused,
        assumed_no_tools=classified and not known_tools,
        assumed_no_keyword=unsure_keyword,
        assumed_count=bool(counted) and not outside.estimated,
    )


def _is_keyword(outside: Outside) -> bool:
    return outside.rule_id is not None and outside.rule_id.startswith(_KEYWORD)
