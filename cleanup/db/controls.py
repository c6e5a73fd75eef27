"""What people ask of a run, from any host: to stand still, to go on, to end, to keep another pace."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from psycopg.rows import args_row
from psycopg.types.json import Jsonb

from cleanup.config_pace import Settings
from cleanup.db.connection import Connection
from cleanup.db.queries import run_statement
from cleanup.db.refusals import ledger_refusals
from cleanup.db.runs import RunState
from cleanup.event_catalogue import Event


class Wish(Enum):
    """What is wanted of a run; nothing follows a cancel."""

    GO = "go"
    PAUSE = "pause"
    CANCEL = "cancel"


WISH_TRANSITIONS: Final[Mapping[tuple[Wish, Wish], str]] = {
    (Wish.GO, Wish.PAUSE): "lanes are to wait between batches, and keep their place",
    (Wish.PAUSE, Wish.GO): "lanes are to go on where they stand",
    (Wish.GO, Wish.CANCEL): "the rest is not to be done",
    (Wish.PAUSE, Wish.CANCEL): "the rest of a run that stands still is not to be done",
}


@dataclass(frozen=True, slots=True)
class Control:
    """What was asked last, by whom and why; `settings` take the place of the config's, section by section."""

    wish: Wish
    revision: int
    settings: Settings
    reason: str | None
    asked_by: str | None
    asked_as: str | None
    asked_at: datetime | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "wish", Wish(self.wish))


@dataclass(frozen=True, slots=True)
class RunGate:
    """A run's state beside what was asked of it, and whether its signals let it go on."""

    state: RunState
    control: Control
    may_write: bool


@dataclass(frozen=True, slots=True)
class SettingInPlace:
    """A setting that takes the place of the config's: whose word that is, under which role, when and why.

    Who and why are those of the newest `set` that named it; None where it was written past the verb.
    """

    key: str
    value: int | float | str
    set_by: str | None
    set_as: str | None
    set_at: datetime | None
    reason: str | None


def lock_control(connection: Connection, run_id: int) -> Control:
    """What was asked of the run so far; nobody else asks until the open transaction ends."""
    connection.execute(run_statement("controls.ensure", run_id), {"run_id": run_id})
    with connection.cursor(row_factory=args_row(Control)) as cursor:
        control = cursor.execute(run_statement("controls.lock", run_id), {"run_id": run_id}).fetchone()
    assert control is not None
    return control


def require_open(connection: Connection, run_id: int) -> None:
    """Raise RunUnknown where there is no such run, RunEnded where nothing can be asked of it any more."""
    with ledger_refusals():
        connection.execute(run_statement("controls.require_open", run_id), {"run_id": run_id})


def ask(connection: Connection, run_id: int, wish: Wish, asked_by: str, reason: str | None) -> tuple[bool, Control]:
    """Record a wish and its event in the open transaction; whether it is new, and what is asked of the run now.

    Raises RunUnknown or RunEnded.
    """
    wanted = {"run_id": run_id, "wish": wish.value, "asked_by": asked_by, "reason": reason}
    with ledger_refusals():
        row = connection.execute(run_statement("controls.ask", run_id), wanted).fetchone()
    assert row is not None
    changed, *asked = row
    return bool(changed), Control(*asked)


def set_settings(connection: Connection, run_id: int, settings: Settings) -> None:
    """Record the settings that take the place of the config's, in the open transaction."""
    connection.execute(run_statement("controls.set", run_id), {"run_id": run_id, "settings": Jsonb(settings)})


def look_at_gate(connection: Connection, run_id: int) -> RunGate:
    """A run's state, and what was asked of it; the run is there."""
    row = connection.execute(run_statement("controls.gate", run_id), {"run_id": run_id}).fetchone()
    assert row is not None
    state, *asked, may_write = row
    return RunGate(RunState(state), Control(*asked), may_write)


def settings_in_place(connection: Connection, run_id: int) -> tuple[SettingInPlace, ...]:
    """All that holds for a run in place of its config's, by name."""
    parameters = {"run_id": run_id, "event": Event.RUN_SET.value.name}
    with connection.cursor(row_factory=args_row(SettingInPlace)) as cursor:
        return tuple(cursor.execute(run_statement("controls.settings", run_id), parameters))
