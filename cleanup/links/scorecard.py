"""Precision and recall per kind on labelled cases, as a Markdown table.

python -m cleanup.links.scorecard config/policy-xiaohongshu-2021.toml tests/cases/links.jsonl
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cleanup.links.explain import explain_lines
from cleanup.links.finder import Finder
from cleanup.links.policy import load_policy

_Mark = tuple[int, int, str, str, str]


@dataclass(slots=True)
class Score:
    """Spans of one kind: labelled, found, and found exactly as labelled with offsets and decision."""

    labelled: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    exact: Counter[str] = field(default_factory=Counter)


def score(finder: Finder, lines: Iterable[str]) -> Score:
    """Compare what the finder says of each labelled line with its labels."""
    result = Score()
    labelled = [line for line in lines if line.strip()]
    for line, told in zip(labelled, explain_lines(finder, labelled), strict=True):
        wanted, found = _marks(line), _marks(told)
        result.labelled.update(kind for *_, kind, _ in wanted)
        result.found.update(kind for *_, kind, _ in found)
        result.exact.update(kind for *_, kind, _ in wanted & found)
    return result


def table(result: Score) -> str:
    """The score as a Markdown table, one row a kind and one for all."""
    rows = ["| kind | labelled | found | exact | precision | recall |", "|---|---:|---:|---:|---:|---:|"]
    for kind in sorted(result.labelled | result.found):
        rows.append(_row(kind, result.labelled[kind], result.found[kind], result.exact[kind]))
    totals = (result.labelled.total(), result.found.total(), result.exact.total())
    return "\n".join([*rows, _row("**all**", *totals), ""])


def _row(kind: str, labelled: int, found: int, exact: int) -> str:
    return f"| {kind} | {labelled} | {found} | {exact} | {_share(exact, found)} | {_share(exact, labelled)} |"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"


def _marks(line: str) -> set[_Mark]:
    spans = json.loads(line)["spans"]
    return {(span["start"], span["end"], span["platform"], span["kind"], span["decision"]) for span in spans}


def main(arguments: list[str]) -> int:
    """Print the table for a policy file and a file of labelled cases."""
    policy, cases = map(Path, arguments)
    lines = cases.read_text(encoding="utf-8").split("\n")
    sys.stdout.write(table(score(Finder(load_policy(policy)), lines)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
