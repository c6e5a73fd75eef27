"""Which line of a decision file decides which span: by its number, or by a pattern; every misfit is a problem."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cleanup.db.findings import Finding
from cleanup.db.tables import TextColumn
from cleanup.db.targets import Target
from cleanup.engine.review_file import CRITERIA, IDENTITY, SHOWN, FileLine, Problems, plain
from cleanup.links.spans import Span
from cleanup.vocabulary import Decision

# A person can not name a template: where a link is to be rewritten, the policy has to say so.
_DECISIONS: Final = {one.value: one for one in (Decision.REDACT, Decision.KEEP)}


@dataclass(frozen=True, slots=True)
class AwaitingSpan:
    """One span that the policy leaves to a person, and where it stands."""

    target: Target
    column: TextColumn
    finding: Finding
    span_number: int
    span: Span

    def described(self) -> dict[str, object]:
        """The fields of its line that come from the plan."""
        finding, span = self.finding, self.span
        return {
            "finding": finding.finding_number,
            "finding_hash": finding.finding_hash.hex(),
            "span": self.span_number,
            "table": self.target.table.name,
            "column": self.column.name,
            "author": finding.author,
            "platform": span.platform,
            "kind": span.kind,
            "host": span.host,
            "reason": span.reason,
            "key": list(finding.key),
            "created_at": finding.created_at.isoformat() if finding.created_at else None,
        }


@dataclass(frozen=True, slots=True)
class Decided:
    """A span with its decision, and the line that decides it."""

    awaiting: AwaitingSpan
    decision: Decision
    line: int


@dataclass(frozen=True, slots=True)
class _Choice:
    decision: Decision
    line: FileLine


class DecisionFile:
    """The filled-in lines of a file, asked span by span. A line for one span goes before every pattern."""

    def __init__(self, lines: Sequence[FileLine], digest: str, problems: Problems) -> None:
        self._problems = problems
        self._of_spans: dict[tuple[str, str], _Choice] = {}
        self._patterns: list[_Choice] = []
        self._used: set[int] = set()
        for line in lines:
            if line.decides:
                self._take(line, digest)
        if not self._of_spans and not self._patterns:
            problems.add("the file decides nothing")

    def decide(self, awaiting: AwaitingSpan) -> Decided | None:
        """What the file says of a span; None where it leaves it waiting, or where it can not be followed."""
        expected = {name: plain(value).strip() for name, value in awaiting.described().items()}
        choice = self._of_spans.get((expected["finding"], expected["span"]))
        if choice is not None:
            self._used.add(choice.line.number)
            return self._checked(choice, expected, awaiting)
        return self._by_pattern(expected, awaiting)

    def close(self) -> None:
        """Note every line that decided nothing: it names what is not there, or not waiting."""
        for (finding, span), choice in self._of_spans.items():
            if choice.line.number not in self._used:
                what = f"finding {finding} has no span {span} that waits for a decision in this plan"
                self._problems.add(what, choice.line.number)
        for choice in self._patterns:
            if choice.line.number not in self._used:
                self._problems.add("fits no span that waits for a decision", choice.line.number)

    def _take(self, line: FileLine, digest: str) -> None:
        given = line.fields
        if given["decision"] not in _DECISIONS:
            known = " or ".join(_DECISIONS)
            self._problems.add(f"the decision {given['decision']!r} is not {known}", line.number)
            return
        if given.get("plan", digest) != digest:
            self._problems.add(f"is for the plan with digest {given['plan']}, this one has {digest}", line.number)
            return
        choice = _Choice(_DECISIONS[given["decision"]], line)
        if line.is_of_a_span:
            self._take_span(choice)
        else:
            self._take_pattern(choice)

    def _take_span(self, choice: _Choice) -> None:
        given, number = choice.line.fields, choice.line.number
        missing = [name for name in ("plan", *IDENTITY) if name not in given]
        if missing:
            self._problems.add(f"decides one span and lacks {', '.join(missing)}", number)
            return
        before = self._of_spans.setdefault((given["finding"], given["span"]), choice)
        if before.decision is not choice.decision:
            self._problems.add("decide the same span differently", before.line.number, number)
        elif before is not choice and before.line.fields != given:
            self._problems.add("name the same span and say different things of it", before.line.number, number)

    def _take_pattern(self, choice: _Choice) -> None:
        given, number = choice.line.fields, choice.line.number
        foreign = [name for name in given if name in SHOWN or name == "key"]
        if foreign:
            self._problems.add(f"decides by pattern, and a pattern has no {', '.join(foreign)}", number)
        elif not any(name in given for name in CRITERIA):
            self._problems.add(f"names neither a finding nor any of {', '.join(CRITERIA)}", number)
        else:
            self._patterns.append(choice)

    def _checked(self, choice: _Choice, expected: Mapping[str, str], awaiting: AwaitingSpan) -> Decided | None:
        given = choice.line.fields
        differing = [
            f"{name} {given[name]!r} where the plan has {expected[name]!r}"
            for name in ("finding_hash", *CRITERIA, "key")
            if name in given and given[name] != expected[name]
        ]
        if differing:
            self._problems.add(
                f"finding {expected['finding']} is not what the file says: {'; '.join(differing)}", choice.line.number
            )
            return None
        return Decided(awaiting, choice.decision, choice.line.number)

    def _by_pattern(self, expected: Mapping[str, str], awaiting: AwaitingSpan) -> Decided | None:
        fitting = [choice for choice in self._patterns if _fits(choice.line.fields, expected)]
        self._used.update(choice.line.number for choice in fitting)
        if not fitting:
            return None
        if len({choice.decision for choice in fitting}) > 1:
            lines = [choice.line.number for choice in fitting]
            self._problems.add(f"decide differently on finding {expected['finding']} and others", *lines)
            return None
        return Decided(awaiting, fitting[0].decision, fitting[0].line.number)


def _fits(pattern: Mapping[str, str], expected: Mapping[str, str]) -> bool:
    return all(pattern[name] == expected[name] for name in CRITERIA if name in pattern)


def awaiting_spans(finding: Finding, spans: Sequence[Span], target: Target) -> Iterator[AwaitingSpan]:
    """The spans of a finding that wait for a person, by their number in it."""
    columns = {column.number: column for column in target.table.columns}
    for number, span in enumerate(spans):
        if span.decision is Decision.REVIEW:
            yield AwaitingSpan(target, columns[finding.column_number], finding, number, span)
