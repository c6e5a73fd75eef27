"""Reading a job config: every error of the file together, then one frozen object."""

from pathlib import Path

from cleanup.check_names import CheckName
from cleanup.config import (
    Acknowledgement,
    AfterCutover,
    Approval,
    Check,
    ColumnConfig,
    ExemptBy,
    JobConfig,
    LinkRows,
    Metrics,
    Resolution,
    Retention,
    TableConfig,
    TriggerPolicy,
    Undated,
    UrlResult,
)
from cleanup.config_pace import find_zone, read_pace, read_throttle, read_window
from cleanup.document import Section, read_document
from cleanup.errors import ConfigInvalid
from cleanup.resources import config_directory
from cleanup.vocabulary import ColumnFormat


def load_config(file: Path) -> JobConfig:
    """Read one job config; raise ConfigInvalid with every error of the file."""
    hint = "write one, or name another with --config FILE; config/example.toml has every key."
    root, problems = read_document(file, ConfigInvalid, if_missing=hint)
    policy = _policy_path(file, root)
    tables = tuple(_read_table(section) for section in root.sections("table"))
    if not tables:
        root.problem("table", "is missing; name at least one table of posts")
    seen: set[str] = set()
    for table in tables:
        if table.name in seen:
            root.problem("table", f"names {table.name!r} twice")
        seen.add(table.name)
    pace = read_pace(root.section("pace"))
    throttle = read_throttle(root.section("throttle"))
    window = read_window(root.section("window")) if root.has("window") else None
    approval = _read_approval(root.section("approval"))
    retention = _read_retention(root.section("retention"))
    resolution = _read_resolution(root.section("resolution")) if root.has("resolution") else None
    check = _read_check(root.section("check"))
    metrics = _read_metrics(root.section("metrics"))
    root.close()
    problems.raise_if_any()
    return JobConfig(file, policy, tables, pace, approval, retention, resolution, check, throttle, window, metrics)


def _policy_path(file: Path, root: Section) -> Path:
    name = root.text("policy")
    beside = file.parent / name
    shipped = config_directory() / name
    if beside.is_file():
        return beside
    if name and shipped.is_file():
        return shipped
    if name:
        root.problem("policy", f"names {name!r}, which is neither beside this file nor shipped with cleanup")
    return beside


def _read_table(section: Section) -> TableConfig:
    name = section.text("name")
    if name and name.count(".") != 1:
        section.problem("name", f"is {name!r}, must be schema.table")
    columns_section = section.section("columns")
    columns = tuple(_read_column(columns_section, key) for key in columns_section.keys())  # noqa: SIM118 - a Section is no mapping
    columns_section.close()
    if not columns:
        section.problem("columns", "is missing; name at least one text column and its format")
    exempt_by = _read_exempt_by(section.section("exempt_by")) if section.has("exempt_by") else None
    zone = section.optional_text("created_at_time_zone")
    if zone is not None and find_zone(zone) is None:
        section.problem("created_at_time_zone", f"is {zone!r}, must be an IANA zone such as Asia/Shanghai")
    table = TableConfig(
        name=name,
        columns=columns,
        created_at=section.text("created_at"),
        key=section.texts("key", ()),
        created_at_time_zone=zone,
        author=section.optional_text("author"),
        exempt=section.optional_text("exempt"),
        where=section.optional_text("where"),
        exempt_by=exempt_by,
        undated=section.member("undated", Undated, Undated.LEAVE),
        after_cutover=section.member("after_cutover", AfterCutover, AfterCutover.LEAVE),
        triggers=section.member("triggers", TriggerPolicy, TriggerPolicy.REFUSE),
    )
    section.close()
    return table


def _read_column(section: Section, name: str) -> ColumnConfig:
    if not section.is_table(name):
        return ColumnConfig(name, section.member(name, ColumnFormat))
    column = section.section(name)
    paths = column.texts("paths", ())
    column_format = column.member("format", ColumnFormat)
    if paths and column_format is not ColumnFormat.JSON:
        column.problem("paths", 'goes with format = "json" alone')
    leaf_formats = _read_leaf_formats(column.section("leaves"))
    if leaf_formats and column_format is not ColumnFormat.JSON:
        column.problem("leaves", 'goes with format = "json" alone')
    on_redact = column.member("on_redact", UrlResult, UrlResult.PLACEHOLDER)
    if on_redact is not UrlResult.PLACEHOLDER and column_format is not ColumnFormat.URL:
        column.problem("on_redact", 'goes with format = "url" alone')
    link_rows = _read_link_rows(column.section("link_rows")) if column.has("link_rows") else None
    if link_rows is not None and column_format is not ColumnFormat.URL:
        column.problem("link_rows", 'goes with format = "url" alone')
    column.close()
    return ColumnConfig(name, column_format, paths, leaf_formats, on_redact, link_rows)


def _read_link_rows(section: Section) -> LinkRows:
    link_rows = LinkRows(section.text("when"), section.text("platform"), section.text("kind"))
    section.close()
    return link_rows


def _read_leaf_formats(section: Section) -> tuple[tuple[str, ColumnFormat], ...]:
    formats = tuple((path, section.member(path, ColumnFormat)) for path in section.keys())  # noqa: SIM118 - as above
    section.close()
    return formats


def _read_resolution(section: Section) -> Resolution:
    resolution = Resolution(section.text("table"), section.text("short"), section.text("target"))
    if resolution.table and resolution.table.count(".") != 1:
        section.problem("table", f"is {resolution.table!r}, must be schema.table")
    section.close()
    return resolution


def _read_exempt_by(section: Section) -> ExemptBy:
    exempt_by = ExemptBy(section.text("table"), section.text("key"), section.text("column"))
    if exempt_by.table and exempt_by.table.count(".") != 1:
        section.problem("table", f"is {exempt_by.table!r}, must be schema.table")
    section.close()
    return exempt_by


def _read_approval(section: Section) -> Approval:
    standard = Approval()
    approval = Approval(
        expires_after_hours=section.integer("expires_after_hours", standard.expires_after_hours, minimum=1),
        max_drift=section.fraction("max_drift", standard.max_drift),
        drift_sample=section.integer("drift_sample", standard.drift_sample, minimum=1, maximum=100_000),
        rollbacks=section.boolean("rollbacks", standard.rollbacks),
        four_eyes=section.boolean("four_eyes", standard.four_eyes),
    )
    section.close()
    return approval


def _read_retention(section: Section) -> Retention:
    retention = Retention(days=section.integer("days", Retention().days, maximum=36_500))
    section.close()
    return retention


def _read_metrics(section: Section) -> Metrics:
    file = section.optional_text("file")
    metrics = Metrics(
        host=section.text("host", Metrics().host),
        port=section.integer("port", maximum=65_535) if section.has("port") else None,
        file=None if file is None else Path(file),
    )
    section.close()
    return metrics


def _read_check(section: Section) -> Check:
    standard = Check()
    spellings = section.texts("acknowledge", ())
    check = Check(
        acknowledge=tuple(one for one in map(_read_acknowledgement, spellings) if one is not None),
        long_transaction_seconds=section.integer("long_transaction_seconds", standard.long_transaction_seconds),
        sample_rows=section.integer("sample_rows", standard.sample_rows, maximum=100_000),
        sample_seconds=section.integer("sample_seconds", standard.sample_seconds, minimum=1, maximum=3_600),
        free_disk_query=section.optional_text("free_disk_query"),
        free_disk_command=section.texts("free_disk_command", ()),
    )
    for spelling in spellings:
        if _read_acknowledgement(spelling) is None:
            known = ", ".join(name.value for name in CheckName if name.can_be_acknowledged)
            section.problem("acknowledge", f"names {spelling!r}; what can be acknowledged is {known}")
    if check.free_disk_query and check.free_disk_command:
        section.problem("free_disk_command", "goes without free_disk_query: one of them says what is free")
    section.close()
    return check


def _read_acknowledgement(spelling: str) -> Acknowledgement | None:
    """`name` or `name:subject` of a check that can be acknowledged, or None."""
    name, colon, subject = spelling.partition(":")
    for known in CheckName:
        if known.value == name and known.can_be_acknowledged and bool(colon) == bool(subject):
            return Acknowledgement(known, subject or None)
    return None
