"""A report's tables of numbers, the same ones in the page, in the CSV files and on the terminal."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from cleanup.report.plan_details import PlanDetails, SpreadLine
from cleanup.report.plan_model import PlanReport
from cleanup.vocabulary import Decision

Cell: TypeAlias = "str | int"

_Links: TypeAlias = "Counter[tuple[str, tuple[str, ...]]]"

_TABLES_ABREAST: Final = 6
SCOPES: Final = ("historical", "after_cutover", "exempt", "undated", "outside")


@dataclass(frozen=True, slots=True)
class NumberTable:
    """One table: `name` is that of its file, `note` says what its numbers mean, where that needs saying; `foot` is the
    row under all rows, however they are sorted."""

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    foot: tuple[Cell, ...] = ()


def plan_tables(report: PlanReport) -> tuple[NumberTable, ...]:
    """Every table of a plan's report that has a row, in the order of reading."""
    details = report.details
    tables = [*_sums(report)]
    if details is not None:
        tables += [*_found(report, details), *_spreads(details), *_ending(details)]
    return tuple(table for table in tables if table.rows)


def _sums(report: PlanReport) -> Iterator[NumberTable]:
    numbers = [
        (table.rows, *(table.scopes.get(scope, 0) for scope in SCOPES), table.findings, table.actionable)
        for table in report.tables
    ]
    yield NumberTable(
        "posts",
        "Posts read",
        ("table", "posts", "in scope", "after cutover", "exempt", "undated", "outside", "values found", "to change"),
        tuple((table.table, *row) for table, row in zip(report.tables, numbers, strict=True)),
        " ".join((_OF_VALUES, *(f"{sentence}." for sentence in report.included_later()))),
        ("all", *map(sum, zip(*numbers, strict=True))),
    )
    yield NumberTable(
        "totals",
        "What becomes of the links",
        ("decision", "meaning", "links"),
        tuple((name, _MEANINGS[name], links) for name, links in _in_reading_order(report.totals())),
        _held_by_refusals(report),
        ("all", "", _links(report)),
    )


def _held_by_refusals(report: PlanReport) -> str:
    refused = sum(sum(table.refusals.values()) for table in report.tables)
    return f"Of these, what lies in values refused in advance ({refused:,}) stays: see below." if refused else ""


def _in_reading_order(totals: Mapping[str, int]) -> list[tuple[str, int]]:
    named = {name.replace("_", " "): links for name, links in totals.items()}
    return [(name, named[name]) for name in _MEANINGS if name in named]


_OF_VALUES: Final = (
    "A post can hold several values. A value is found where it holds a link that the policy knows, or can not be read."
)
_MEANINGS: Final = {
    "redact": "taken out, a placeholder stands there",
    "rewrite": "replaced as the policy's template says",
    "review": "stays until a person has decided",
    "keep": "stays, since the policy says so",
    "kept, exempt": "stays: in posts that the config exempts, such as live-streams",
    "kept, after cutover": "stays: in posts created from the cutover on",
    "kept, undated": "stays: in posts without a date",
}


def _found(report: PlanReport, details: PlanDetails) -> Iterator[NumberTable]:
    yield _decisions(report, details)
    yield NumberTable(
        "later",
        "Of these, in posts created from the cutover on",
        ("table", "decision", "values", "links"),
        tuple((one.table, one.decision, one.values, one.links) for one in details.later),
        'In scope, since the config says after_cutover = "include" of their tables.',
    )
    yield _kept(report, details)
    reasons: Counter[tuple[str, str]] = Counter()
    for one in details.classes:
        if one.decision == "review" and one.scope == "historical":
            reasons[one.table, one.reason] += one.links
    yield NumberTable(
        "review",
        "Links that a person has to decide",
        ("table", "reason", "links"),
        tuple((*key, number) for key, number in sorted(reasons.items())),
    )
    places: Counter[tuple[str, str, str, str]] = Counter()
    for one in details.classes:
        places[one.table, one.column, one.format, one.decision if one.scope == "historical" else ""] += one.links
    decisions = (*(decision.value for decision in Decision), "")
    yield NumberTable(
        "columns",
        "Links by column and format",
        ("table", "column", "format", *decisions[:-1], "out of scope", "all"),
        tuple(
            _row(key, [places[*key, decision] for decision in decisions]) for key in sorted({of[:3] for of in places})
        ),
    )
    yield NumberTable(
        "hosts",
        "Hosts of the links, all posts",
        ("host or kind", "links"),
        report.hosts,
        foot=("all others", _links(report) - sum(number for _, number in report.hosts)),
    )
    yield NumberTable("other_shops", "Other shops, counted and left", ("host", "links"), report.counted_hosts)
    yield NumberTable(
        "authors",
        "Authors with most links to change, by id",
        ("author", "values", "links"),
        tuple((author.author, author.values, author.links) for author in details.authors),
    )
    yield NumberTable(
        "months",
        "Links by month of the post",
        ("month", "posts", "decision", "links"),
        tuple((line.month or "no date", line.scope, line.decision, line.links) for line in details.months),
    )


def _decisions(report: PlanReport, details: PlanDetails) -> NumberTable:
    links: _Links = Counter()
    for one in details.classes:
        if one.scope == "historical":
            links[one.table, (one.decision, one.platform, one.kind)] += one.links
    return _by_table(report, "decisions", "Links in scope", ("decision", "platform", "kind"), links)


def _kept(report: PlanReport, details: PlanDetails) -> NumberTable:
    kept: _Links = Counter()
    for one in details.classes:
        if one.scope != "historical":
            kept[one.table, (one.scope.replace("_", " "), one.platform, one.kind, one.decision)] += one.links
    return _by_table(
        report,
        "kept",
        "Links kept outside the scope",
        ("posts", "platform", "kind", "else"),
        kept,
        "In posts that are exempt, without a date, or written from the cutover on; else: what the policy would decide.",
    )


def _by_table(
    report: PlanReport, name: str, title: str, head: tuple[str, ...], links: _Links, note: str = ""
) -> NumberTable:
    """Links by class, with the posts' tables side by side where they fit on a page, and below one another else."""
    tables = [table.table for table in report.tables]
    classes = sorted({key for _, key in links})
    if len(tables) > _TABLES_ABREAST:
        flat: tuple[tuple[Cell, ...], ...] = tuple(
            (*key, table, links[table, key]) for key in classes for table in tables if links[table, key]
        )
        return NumberTable(name, title, (*head, "table", "links"), flat, note)
    return NumberTable(
        name,
        title,
        (*head, *_short_names(tables), "all"),
        tuple(_row(key, [links[table, key] for table in tables]) for key in classes),
        note,
        _row(["all", *("" for _ in head[1:])], [sum(links[table, key] for key in classes) for table in tables]),
    )


def _short_names(tables: Sequence[str]) -> list[str]:
    """The tables' names, without their schema where it is the same for all."""
    schemas = {table.partition(".")[0] for table in tables}
    return [table.partition(".")[2] for table in tables] if len(schemas) == 1 else list(tables)


def _row(words: Sequence[str], numbers: Sequence[int]) -> tuple[Cell, ...]:
    return (*words, *numbers, sum(numbers))


def _links(report: PlanReport) -> int:
    return sum(line.spans for line in report.spans)


def _spreads(details: PlanDetails) -> Iterator[NumberTable]:
    spreads = details.spreads
    for name, title, head, lines in (
        ("link_lengths", "Length of the links to change", ("characters", "links"), spreads.link_lengths),
        ("links_of_values", "Links to change in a value", ("links", "values"), spreads.links_of_values),
        ("links_of_authors", "Links to change of an author", ("links", "authors"), spreads.links_of_authors),
    ):
        rows = tuple((_bounds(line), line.things) for line in lines if line.things)
        yield NumberTable(name, title, head, rows)


def _bounds(line: SpreadLine) -> str:
    if line.most is None:
        return f"{line.least} and more"
    return str(line.least) if line.least == line.most else f"{line.least} to {line.most}"


def _ending(details: PlanDetails) -> Iterator[NumberTable]:
    yield NumberTable(
        "refused",
        "Values refused in advance",
        ("table", "column", "key", "author", "why"),
        tuple(
            (one.leaf, one.column, ", ".join(one.key), one.author or "", _REFUSALS[one.refusal])
            for one in details.refused
        ),
        "No run of this plan changes them. The first ones; `cleanup verify` lists them all.",
    )
    if details.forecast is not None:
        yield NumberTable(
            "forecast",
            "What a run would write, by table",
            (
                "table",
                "rows",
                "values",
                "pages",
                "touched",
                "of indexes",
                "WAL bytes",
                "page images",
                "dead bytes",
            ),
            tuple(
                (
                    line.leaf,
                    line.rows_to_change,
                    line.values_to_change,
                    line.pages,
                    line.pages_touched,
                    line.index_pages_touched,
                    line.wal_bytes,
                    line.image_bytes,
                    line.dead_bytes,
                )
                for line in details.forecast.lines
                if line.rows_to_change
            ),
        )
    yield NumberTable(
        "reviews",
        "What persons have decided",
        ("on plan", "by", "as role", "at (UTC)", "redact", "keep"),
        tuple(
            (
                str(one.reviewed_plan_id),
                one.reviewer,
                one.decided_as,
                f"{one.decided_at:%Y-%m-%d %H:%M}",
                one.redacted,
                one.kept,
            )
            for one in details.reviews
        ),
    )
    yield NumberTable(
        "rules",
        "The rules, and where they come from",
        ("platform", "kind", "decision", "source", "confirmed"),
        tuple(
            (rule.platform, rule.label, rule.decision, rule.source, "yes" if rule.confirmed else "no")
            for rule in details.rules
        ),
    )
    yield NumberTable(
        "reconciled",
        "Sums held against each other",
        ("sum", "by the scan", "in the ledger"),
        tuple((total.name, total.counted_by_the_scan, total.counted_in_the_ledger) for total in details.totals),
        "The report is not made where a line differs.",
    )


_REFUSALS: Final = {"too_long": "the result would be longer than the column", "unreadable": "it is no valid JSON"}
