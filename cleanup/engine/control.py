"""What people ask of a run, from any host: pause, resume, cancel. Heard by every lane at its next batch."""

import getpass
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cleanup.config_pace import Settings, merge_settings
from cleanup.db.connection import Connection
from cleanup.db.controls import Wish, ask, lock_control, require_open, set_settings
from cleanup.db.database import Database
from cleanup.db.events import add_event
from cleanup.db.ledger import require_ledger
from cleanup.db.runs import Run, RunState, get_run
from cleanup.engine.run_end import close, command_of
from cleanup.event_catalogue import Event

WISH_EVENTS: Final[Mapping[Wish, Event]] = {
    Wish.PAUSE: Event.RUN_PAUSED,
    Wish.GO: Event.RUN_RESUMED,
    Wish.CANCEL: Event.RUN_CANCEL_ASKED,
}
_STANDING: Final[Mapping[Wish, str]] = {Wish.PAUSE: "paused", Wish.GO: "not paused", Wish.CANCEL: "cancelled"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run is once something was asked of it; `changed` is false where it was so already."""

    run_id: int
    standing: str
    changed: bool
    state: str
    asked_by: str | None
    asked_as: str | None
    reason: str | None
    log_head: str | None = None
    way_on: str | None = None


def pause(database: Database, run_id: int, reason: str | None) -> Answer:
    """Let a run stand still once its open batches are committed; raise RunUnknown or RunEnded."""
    return database.transact(lambda connection: _ask(connection, run_id, Wish.PAUSE, reason))


def resume(database: Database, run_id: int, reason: str | None) -> Answer:
    """Let a paused run go on; raise RunUnknown or RunEnded."""
    return database.transact(lambda connection: _ask(connection, run_id, Wish.GO, reason))


def cancel(database: Database, run_id: int, reason: str | None) -> Answer:
    """End a run where it stands, once its open batches are committed; raise RunUnknown or RunEnded.

    The wish comes first, in a transaction of its own: from then on no batch opens, so the second one, which
    closes the run, has only those to wait for that are open already.
    """
    answer = database.transact(lambda connection: _ask(connection, run_id, Wish.CANCEL, reason))
    run = database.transact(lambda connection: close(connection, run_id, RunState.CANCELLED))
    return replace(
        answer,
        standing=run.state.value,
        state=run.state.value,
        log_head=run.log_head.hex() if run.log_head else None,
        way_on=f"what it did: cleanup report --run {run_id}; to undo that: cleanup rollback {run_id}",
    )


def change_settings(database: Database, run_id: int, words: Sequence[str], reason: str) -> Settings:
    """Put KEY=VALUE words in the place of the config's from the next batch on; return all that is so set by now.

    Raises UsageInvalid, RunUnknown or RunEnded.
    """
    return database.transact(lambda connection: _set(connection, run_id, words, reason))


def whoever_asks() -> str:
    """The person at this keyboard, as far as the system knows: the ledger has the database's role beside it."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = "somebody"
    return f"{name}@{socket.gethostname()}"


def _ask(connection: Connection, run_id: int, wish: Wish, reason: str | None) -> Answer:
    require_ledger(connection)
    changed, control = ask(connection, run_id, wish, whoever_asks(), reason)
    run = get_run(connection, run_id)
    return Answer(
        run_id,
        _STANDING[control.wish],
        changed,
        run.state.value,
        control.asked_by,
        control.asked_as,
        control.reason,
        way_on=_way_on(run) if wish is Wish.GO else None,
    )


def _set(connection: Connection, run_id: int, words: Sequence[str], reason: str) -> Settings:
    require_ledger(connection)
    require_open(connection, run_id)
    settings = merge_settings(lock_control(connection, run_id).settings, words)
    set_settings(connection, run_id, settings)
    add_event(connection, Event.RUN_SET, run_id=run_id, settings=" ".join(words), by=whoever_asks(), reason=reason)
    return settings


def _way_on(run: Run) -> str | None:
    if run.state is RunState.RUNNING:
        return None
    return f"no job works on it; the command that goes on with it: {command_of(run)}"
