"""A look at work in progress as one line, and as the tables that a screen has below it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from cleanup.db.progress import LaneWork
from cleanup.report.as_text import shown, shown_setting, table_lines
from cleanup.report.progress_model import Look, PlanLook, RunLook, SignalLook, Standing

_OUTCOMES_NAMED: Final = 4
_MIB: Final = 1 << 20

SIGNAL_HEAD: Final = ("signal", "is", "value", "limit", "read", "source")
SETTING_HEAD: Final = ("setting", "is", "set by", "as", "at (UTC)", "reason")
LANE_HEAD: Final = ("lane", "on", "chunk", "table", "does")


def look_line(look: Look) -> str:
    """How far, how fast, until when, what came of it, who works, and what holds it: one line."""
    return ", ".join(part for part in (_progress(look), pace_of(look), _lanes(look)) if part) + _said(look)


def look_text(look: Look) -> str:
    """The same with a line for each lane and each signal."""
    return "\n".join(_look_lines(look)) + "\n"


def _look_lines(look: Look) -> Iterator[str]:
    yield look_line(look)
    yield from table_lines(LANE_HEAD, lane_rows(look))
    if isinstance(look, RunLook):
        yield from table_lines(SIGNAL_HEAD, signal_rows(look))


def dated_line(look: Look) -> str:
    """One of many lines: when that was, and with what holds in place of the config's while it goes on."""
    settings = look.settings if isinstance(look, RunLook) and not look.is_over else ()
    instead = "".join(f"; set {shown_setting(one)}" for one in settings)
    return f"{look.at.isoformat(timespec='seconds')} {look_line(look)}{instead}\n"


def _said(look: Look) -> str:
    return "".join(f"; {part}" for part in (came_of(look), held_by(look)) if part)


def name_of(look: Look) -> str:
    """What is looked at."""
    return f"run {look.run_id} {look.kind.value}" if isinstance(look, RunLook) else f"plan {look.plan_id}"


def counted(look: Look) -> str:
    """Done, and of how many."""
    if isinstance(look, RunLook):
        return f"{look.settled_findings:,}/{look.planned_findings:,} findings"
    of = f"/~{look.row_estimate:,}" if look.row_estimate >= look.rows_read and not look.is_over else ""
    return f"{look.rows_read:,}{of} rows read"


def pace_of(look: Look) -> str:
    """Rate and time left, where something is being done."""
    if look.rate is None or look.is_over:
        return ""
    left = "" if look.seconds_left is None else f", ETA {timedelta(seconds=look.seconds_left)}"
    return f"{look.rate:,.0f}/s{left}"


def came_of(look: Look) -> str:
    """The outcomes so far, the most frequent ones first; of a plan, what it found."""
    if isinstance(look, PlanLook):
        return f"{look.findings:,} findings, {look.actionable_findings:,} to be changed"
    lines = sorted((line for line in look.outcomes if line.findings), key=lambda line: -line.findings)
    named = [f"{line.outcome} {line.findings:,}" for line in lines[:_OUTCOMES_NAMED]]
    rest = sum(line.findings for line in lines[_OUTCOMES_NAMED:])
    return ", ".join([*named, *([f"others {rest:,}"] if rest else [])])


def held_by(look: Look) -> str:
    """Why nothing is written, or how it ended."""
    if look.standing is Standing.ENDED:
        return str(look.state.value)
    if look.standing is Standing.WORKING:
        return ""
    return f"{look.standing.value}: {shown(look.why or '')}"


def signal_rows(look: RunLook) -> Iterator[tuple[str, ...]]:
    """Each signal with its value, limit, source and age."""
    for one in look.signals:
        yield (
            one.signal.value,
            one.health.value,
            _measured(one, one.value),
            _measured(one, one.limit),
            f"{one.age_seconds:.0f} s ago",
            shown(one.source),
        )


def setting_rows(look: RunLook) -> Iterator[tuple[str, ...]]:
    """Each setting that holds in place of the config's, with whose word that is."""
    for one in look.settings:
        at = f"{one.set_at:%Y-%m-%d %H:%M:%S}" if one.set_at else "?"
        who = (shown(one.set_by or "?"), shown(one.set_as or "?"), at, shown(one.reason or ""))
        yield (shown(one.key), shown(one.value), *who)


def lane_rows(look: Look) -> Iterator[tuple[str, ...]]:
    """Each lane with its chunk and what it does."""
    for lane in look.lanes:
        table = shown(lane.table or "")
        chunk = "" if lane.chunk_number is None else str(lane.chunk_number)
        yield ("?" if lane.lane is None else str(lane.lane), lane.client or "?", chunk, table, _does(lane))


def wal_line(look: RunLook) -> str:
    """How much WAL the server has written of late while the run did, where a job has said so."""
    if look.wal_bytes_per_second is None:
        return ""
    return f"WAL {look.wal_bytes_per_second / _MIB:,.1f} MiB/s"


def _progress(look: Look) -> str:
    return f"{name_of(look)}: {counted(look)}, {look.share:.1%}"


def _lanes(look: Look) -> str:
    number = len(look.lanes)
    return f"{number} lane{'' if number == 1 else 's'}" if not look.is_over else ""


def _measured(one: SignalLook, value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}".removesuffix(".0") + f" {one.unit}"


def _does(lane: LaneWork) -> str:
    if lane.state is None:
        return "not ours to see" if lane.lane is not None else "holds a lease, its session has another name"
    query = f" {lane.query_name}" if lane.query_name else ""
    after = f", after{query}" if query else ""
    match lane.state:
        case "active":
            waits = f", waits for {lane.waits_for}" if lane.waits_for else ""
            return f"runs{query}{waits}"
        case "idle in transaction":
            return f"decides{after}"
        case _:
            return f"idle for {lane.seconds or 0:.0f} s{after}"
