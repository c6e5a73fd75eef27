"""The page: one file that asks nothing of any network, prints on A4, and shows a post's text as text alone."""

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cleanup.links.explain import visible
from cleanup.report.charts import HEIGHT, WIDTH, month_chart
from cleanup.report.number_tables import plan_tables
from cleanup.report.plan_model import PlanReport
from cleanup.report.run_model import RunReport
from cleanup.report.run_numbers import run_tables
from cleanup.report.samples import Sample

_TEMPLATES: Final = Path(__file__).parent / "templates"


def html_of_plan(report: PlanReport) -> str:
    """A plan's report as a page."""
    details = report.details
    assert details is not None
    local = details.cutover_local
    cutover = datetime.fromisoformat(local) if local else report.cutover
    return _render(
        "plan.html",
        report=report,
        details=details,
        cutover=cutover,
        tables={table.name: table for table in plan_tables(report)},
        chart=month_chart(details.months, f"{cutover:%Y-%m}"),
        chart_width=WIDTH,
        chart_height=HEIGHT,
        samples=tuple(_sample_groups(details.samples)),
    )


def html_of_run(report: RunReport) -> str:
    """A run's report as a page."""
    return _render("run.html", report=report, tables={table.name: table for table in run_tables(report)})


def _sample_groups(samples: tuple[Sample, ...]) -> Iterator[tuple[str, list[Sample]]]:
    """The samples by what becomes of them: what changes, what a person decides, what stays."""
    groups: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.decision if sample.scope == "historical" else sample.scope].append(sample)
    for name, title in _GROUPS:
        if groups[name]:
            yield title, sorted(groups[name], key=lambda one: (one.platform, one.kind, one.table, one.column))


_GROUPS: Final = (
    ("redact", "Redacted"),
    ("rewrite", "Rewritten"),
    ("review", "Left for a person to decide"),
    ("keep", "Kept by the policy"),
    ("exempt", "Kept: exempt posts (live-streams)"),
    ("after_cutover", "Not touched: posts from the cutover on"),
    ("undated", "Not touched: posts without a date"),
)


# What is known to every reader by a sign of its own; it is set apart as escapes are.
_SIGNS: Final = {"\n": "↵", "\t": "⇥"}


def pieces(text: str) -> list[tuple[bool, str]]:
    """A text in pieces: what can be shown, and escapes for what a reader would not see or a browser would act on."""
    found: list[tuple[bool, str]] = []
    for mark in text:
        shown = _SIGNS.get(mark) or visible(mark)
        escaped = shown != mark
        if found and not escaped and not found[-1][0]:
            found[-1] = (False, found[-1][1] + shown)
        else:
            found.append((escaped, shown))
    return found


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else visible(str(value))


def _moment(at: datetime) -> str:
    """An instant as a person says it, with its offset."""
    # The last part of ISO's form: strftime knows no colon in an offset before Python 3.12.
    offset = at.isoformat()[-6:]
    return f"{at.day} {at:%B %Y, %H:%M} (UTC{'' if offset == '+00:00' else offset})"


def _size(value: int) -> str:
    """A number of bytes as a person says it."""
    size = float(value)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(pieces=pieces, visible=visible, number=_number, size=_size, moment=_moment)
    environment.tests["number"] = lambda value: isinstance(value, int)
    return environment


def _render(name: str, **content: object) -> str:
    style = (_TEMPLATES / "page.css").read_text(encoding="utf-8")
    script = (_TEMPLATES / "page.js").read_text(encoding="utf-8")
    return (
        _environment()
        .get_template(name)
        .render(style=style, script=script, style_hash=_hash(style), script_hash=_hash(script), **content)
    )


def _hash(text: str) -> str:
    """How a Content-Security-Policy names an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
