"""What the policy does with a text, told to people and to programs."""

import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from cleanup.errors import InputUnreadable
from cleanup.links.edits import splice
from cleanup.links.finder import Finder
from cleanup.links.spans import Span
from cleanup.vocabulary import ColumnFormat

_HINT: Final = 'write one JSON object a line: {"id": "...", "format": "text", "text": "..."}.'
# Control, format (bidi marks, zero-width), surrogate, private and unassigned characters, line separators.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class _Line:
    identifier: object
    column_format: ColumnFormat
    text: str


def explain_lines(finder: Finder, lines: Iterable[str]) -> Iterator[str]:
    """One JSON line out for each JSON line in: `{"id","format","text"}` to `{"id","spans","after"}`.

    Offsets count code points. Blank lines are passed over and unknown keys ignored. Raises
    InputUnreadable with the number of a line that is no such object.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _explained(finder, _parse(line, number))


def explain_text(finder: Finder, value: str, column_format: ColumnFormat) -> str:
    """One value explained for people, span by span; nothing in it can steer a terminal or mislead the eye."""
    recognition = finder.find(value, column_format)
    if recognition.problem:
        return f"{column_format.value}: {visible(recognition.problem)}; the value stays as it is\n"
    lines = [f"{column_format.value}, {len(value)} characters, {len(recognition.spans)} span(s)"]
    for span in recognition.spans:
        lines += _span_lines(value, span, "  ")
    for host in sorted(set(recognition.counted)):
        lines.append(f"  counted only: {visible(host)} x{recognition.counted.count(host)}")
    after = splice(value, recognition.spans).after
    if after == value:
        return "\n".join([*lines, "after: unchanged", ""])
    return "\n".join([*lines, "after:", *(f"  {visible(line)}" for line in after.split("\n")), ""])


def visible(text: str) -> str:
    """A text with every character that a terminal would act on, or not show, written as an escape."""
    return "".join(_visible(mark) for mark in text)


def _visible(mark: str) -> str:
    if mark.isascii() and mark.isprintable():
        return mark
    if unicodedata.category(mark) not in _UNSAFE:
        return mark
    point = ord(mark)
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def _span_lines(value: str, span: Span, indent: str) -> Iterator[str]:
    decided = f"{span.platform} {span.kind}: {span.decision.value}"
    yield f"{indent}{span.start}-{span.end} {decided} ({visible(span.reason)})"
    yield f"{indent}    {visible(value[span.start : span.end])}"
    for child in span.children:
        yield from _span_lines(value, child, indent + "    ")


def _explained(finder: Finder, line: _Line) -> str:
    recognition = finder.find(line.text, line.column_format)
    told: dict[str, object] = {
        "id": line.identifier,
        "spans": [_span_object(line.text, span) for span in recognition.spans],
        "after": splice(line.text, recognition.spans).after,
    }
    if recognition.problem:
        told["problem"] = recognition.problem
    try:
        plain = json.dumps(told, ensure_ascii=False)
        plain.encode("utf-8")
    except UnicodeEncodeError:
        # A lone surrogate cannot leave as UTF-8: such a line goes out in escapes alone.
        return json.dumps(told)
    return plain


def _span_object(text: str, span: Span) -> dict[str, object]:
    return {
        "start": span.start,
        "end": span.end,
        "text": text[span.start : span.end],
        "platform": span.platform,
        "kind": span.kind,
        "decision": span.decision.value,
        "reason": span.reason,
    }


def _parse(line: str, number: int) -> _Line:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        raise InputUnreadable(f"line {number}: is not JSON", hint=_HINT) from None
    if not isinstance(entry, dict):
        raise InputUnreadable(f"line {number}: is no JSON object", hint=_HINT)
    text, name = entry.get("text"), entry.get("format", ColumnFormat.TEXT.value)
    if not isinstance(text, str):
        raise InputUnreadable(f'line {number}: "text" is missing or no string', hint=_HINT)
    formats = {member.value: member for member in ColumnFormat}
    if not isinstance(name, str) or name not in formats:
        known = ", ".join(formats)
        raise InputUnreadable(f'line {number}: "format" is {name!r}, must be one of {known}', hint=_HINT)
    return _Line(entry.get("id"), formats[name], text)
