"""The documented classes of errors are those that HyperInfer's envelopes show."""

import json
from pathlib import Path

from support.dialect_samples import REQUEST_ID, sample_fault
from support.hyperinfer_voices import MESSAGES, RESPONSES
from tollhouse.ir.fault import FaultKind


def test_the_documented_table_of_classes_is_true() -> None:
    text = (Path(__file__).parents[2] / "docs" / "apis.md").read_text(encoding="utf-8")
    table = text.split("| status | chat and Responses | Messages |\n|---|---|---|\n")[1].split("\n\n")[0]
    rows = [[cell.strip().replace("`", "") for cell in row.split("|")[1:4]] for row in table.split("\n")]
    documented = {status: (openai, anthropic) for status, openai, anthropic in rows}
    for kind in FaultKind:
        answers = [voice.word(sample_fault(kind), REQUEST_ID, "") for voice in (RESPONSES, MESSAGES)]
        status = answers[0].status
        other = "any other 5xx" if status >= 500 else "any other 4xx"
        said = tuple(json.loads(answer.body)["error"]["type"] for answer in answers)
        assert said == documented.get(str(status), documented[other]), kind
