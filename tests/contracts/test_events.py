"""Every event that is said is in the catalogue with its fields, every one in it is said, and the page is the code's."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cleanup.engine.control import WISH_EVENTS
from cleanup.engine.run_end import ENDING_EVENTS
from cleanup.engine.throttle_lookout import RECORDED_EVENTS
from cleanup.event_catalogue import BOUND_FIELDS, Event, page, possible_fields, required_fields
from cleanup.resources import sql_directory
from tests.integration.jobs import LINK, POLICY, Answer, Job

ROOT = Path(__file__).parents[2]
CODE = ROOT / "cleanup"
NAMES = {event.value.name: event for event in Event}

# Where an event is not named in the call itself: which ones it can be.
_TURNS = {Event.THROTTLE_PAUSED, Event.THROTTLE_RESUMED, Event.THROTTLE_ALERT, *RECORDED_EVENTS.values()}
INDIRECT = {
    ("engine/run_end.py", "ENDING_EVENTS[state]"): set(ENDING_EVENTS.values()),
    ("engine/throttle_lookout.py", "event"): set(WISH_EVENTS.values()),
    # Every job says these two by itself.
    ("engine/throttle_lookout.py", "tell turn.event"): _TURNS - {Event.THROTTLE_PAUSED, Event.THROTTLE_RESUMED},
    ("engine/throttle_lookout.py", "add_event turn.event"): _TURNS,
}
# Rows that the database's own functions add: the event's name stands in the statement.
_ADDED_BY_SQL = re.compile(r"INSERT INTO cleanup\.event\b([^;]*);")
_NAME_IN_SQL = re.compile(r"'([a-z]+\.[a-z_]+)'")


@dataclass(frozen=True, slots=True)
class Saying:
    """One call that says an event."""

    place: str
    events: frozenset[Event]
    to_ledger: bool
    fields: frozenset[str]
    has_more: bool


def sayings() -> Iterator[Saying]:
    for file in sorted(CODE.rglob("*.py")):
        name = file.relative_to(CODE).as_posix()
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
            chosen = {
                node.targets[0].id: node.value
                for node in ast.walk(function)
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            }
            for node in ast.walk(function):
                match node:
                    case ast.Call(func=ast.Name("tell"), args=[event], keywords=given):
                        yield saying(name, "tell", event, given, chosen)
                    case ast.Call(func=ast.Name("add_event"), args=[_, event], keywords=given):
                        yield saying(name, "add_event", event, given, chosen)
                    case _:
                        pass


def named_in(expression: ast.expr) -> Iterator[Event]:
    for node in ast.walk(expression):
        match node:
            case ast.Attribute(value=ast.Name("Event"), attr=member):
                yield Event[member]
            case _:
                pass


def saying(file: str, function: str, event: ast.expr, given: list[ast.keyword], chosen: dict[str, ast.expr]) -> Saying:
    meant = chosen.get(event.id, event) if isinstance(event, ast.Name) else event
    events = frozenset(named_in(meant))
    if not events:
        spelled = ast.unparse(event)
        events = frozenset(INDIRECT.get((file, f"{function} {spelled}")) or INDIRECT[file, spelled])
    renamed = {"plan_id": "plan", "run_id": "run"} if function == "add_event" else {}
    fields = frozenset(renamed.get(word.arg, word.arg) for word in given if word.arg)
    return Saying(
        f"{file}:{event.lineno}", events, function == "add_event", fields, any(not word.arg for word in given)
    )


SAYINGS = list(sayings())


def test_the_names_are_of_one_kind_and_none_is_there_twice() -> None:
    assert len(NAMES) == len(Event)
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", name) for name in NAMES)
    # The member is the name, so that whoever reads a log line finds where it is said.
    assert [event.name for event in Event] == [name.replace(".", "_").upper() for name in NAMES]


@pytest.mark.parametrize("one", SAYINGS, ids=lambda one: one.place)
def test_a_saying_has_the_fields_of_the_catalogue(one: Saying) -> None:
    for event in one.events:
        spelled = event.value.ledger if one.to_ledger else event.value.log
        assert spelled is not None, f"{event.value.name} is not to be said there"
        bound = frozenset() if one.to_ledger else frozenset(BOUND_FIELDS)
        if not one.has_more:
            assert required_fields(spelled) <= one.fields | bound, event
        if len(one.events) == 1 or not one.to_ledger:
            assert one.fields <= possible_fields(spelled), event


def test_every_event_is_said_where_the_catalogue_says_so() -> None:
    logged = {event for one in SAYINGS if not one.to_ledger for event in one.events}
    in_ledger = {event for one in SAYINGS if one.to_ledger for event in one.events} | set(added_by_sql())
    assert {event for event in Event if event.value.log is not None} == logged
    assert {event for event in Event if event.value.ledger is not None} == in_ledger


def added_by_sql() -> Iterator[Event]:
    for file in sql_directory().rglob("*.sql"):
        for added in _ADDED_BY_SQL.findall(file.read_text(encoding="utf-8")):
            yield from (NAMES[name] for name in _NAME_IN_SQL.findall(added))


def test_the_functions_of_the_ledger_add_events_of_the_catalogue() -> None:
    assert Event.RUN_PURGED in added_by_sql()


def test_nobody_meets_the_logger_past_the_catalogue() -> None:
    past = {
        file.relative_to(CODE).as_posix()
        for file in CODE.rglob("*.py")
        if re.search(r"get_logger|import logging|import structlog", file.read_text(encoding="utf-8"))
    }
    assert past == {"log.py"}


def test_the_page_is_the_codes() -> None:
    assert (ROOT / "runbooks" / "events.md").read_text(encoding="utf-8") == page()


# What really comes out

CONFIG = f"""
policy = "{POLICY}"
[pace]
lanes = 2
chunk_rows = 20
[retention]
days = 0
[[table]]
name = "public.note"
created_at = "created_at"
[table.columns]
body = "text"
"""


@pytest.fixture
def job(database_dsn: str, tmp_path: Path) -> Job:
    job = Job(database_dsn, tmp_path, CONFIG, separate=True)
    job.execute("CREATE TABLE note (id bigint PRIMARY KEY, body text, created_at timestamptz)")
    job.execute("INSERT INTO note SELECT n, 'buy ' || %s, '2020-01-01' FROM generate_series(1, 60) AS n", LINK)
    job.done("init")
    return job


def lines(answer: Answer) -> list[dict[str, object]]:
    return [json.loads(line) for line in answer.err.splitlines() if line.startswith("{")]


def test_what_a_job_says_is_as_the_catalogue_says(job: Job) -> None:
    plan = job.plan()
    run = job.apply(plan)
    rollback = job.roll_back(run)
    purged = job.done("purge", run.number("run_id"))
    said = [line for answer in (plan, run, rollback, purged) for line in lines(answer)]
    assert {"plan.started", "chunk.finished", "run.started", "batch.committed", "run.finished", "run.purged"} <= {
        line["event"] for line in said
    }
    for line in said:
        event = NAMES[str(line["event"])]
        assert line["level"] == event.value.level.value
        assert event.value.log is not None
        own = line.keys() - {"event", "level", "timestamp"}
        assert required_fields(event.value.log) <= own
        assert own <= possible_fields(event.value.log) | set(BOUND_FIELDS)


def test_a_lane_names_what_it_is_at_work_on(job: Job) -> None:
    plan = job.plan()
    run = job.apply(plan)
    scanned = [line for line in lines(plan) if line["event"] == "chunk.finished"]
    assert {line["chunk"] for line in scanned} == set(range(1, 1 + len(scanned)))
    for line in scanned:
        assert (line["plan"], line["table"]) == (plan.number("plan_id"), "public.note")
        assert line["lane"] in (1, 2)
    written = {
        (line["run"], line["lane"], line["chunk"], line["run_pass"], line["batch"], line["table"])
        for line in lines(run)
        if line["event"] == "batch.committed"
    }
    assert written == set(
        job.execute("SELECT run_id, lane, chunk_number, pass, after_number, 'public.note' FROM cleanup.batch")
    )


def test_what_the_ledger_keeps_is_as_the_catalogue_says(job: Job) -> None:
    plan = job.plan()
    job.done("apply", plan.number("plan_id"), "--rehearse")
    run = job.apply(plan)
    number = run.number("run_id")
    job.roll_back(run)
    job.done("log", number, "--export", str(job.folder / "archive"))
    job.done("purge", number)
    kept = job.execute(
        "SELECT name, plan_id IS NOT NULL, run_id IS NOT NULL, ARRAY(SELECT jsonb_object_keys(detail))"
        " FROM cleanup.event"
    )
    expected = {"plan.created", "plan.finished", "rehearsal.finished", "plan.approved", "run.created", "run.finished"}
    assert expected | {"log.export_begun"} <= {row[0] for row in kept}
    for name, has_plan, has_run, keys in kept:
        event = NAMES[str(name)]
        assert event.value.ledger is not None
        assert isinstance(keys, list)
        fields = {*keys, *(["plan"] if has_plan else []), *(["run"] if has_run else [])}
        assert fields <= possible_fields(event.value.ledger)
        assert fields >= required_fields(event.value.ledger)
