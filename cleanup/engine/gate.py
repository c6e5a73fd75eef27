"""The gate before each batch of a lane: what was asked of the run, what its signals say, and whether it may go on.

The gate itself stands in the statement that opens a batch, so it costs nothing while it is open: a lane says which
revision of the control it knows, and is sent back where that is not the newest, or where the job that watches the
signals holds the run. Only then does it look why.
"""

from enum import Enum, auto

from cleanup.config import Pace, Throttle
from cleanup.config_pace import with_settings
from cleanup.db.connection import Connection
from cleanup.db.controls import Wish, look_at_gate
from cleanup.db.database import Database
from cleanup.db.runs import RunState


class Passage(Enum):
    """What a lane finds at the gate."""

    OPEN = auto()
    HELD = auto()
    ENDED = auto()


class Gate:
    """One lane's view of its run's control: the revision it knows, and the pace that goes with it."""

    def __init__(self, database: Database, run_id: int, pace: Pace) -> None:
        self._database = database
        self._run_id = run_id
        self._configured = pace
        self.pace = pace
        self.revision = 0

    def look(self) -> Passage:
        """Read what was asked, in a transaction that is over before anybody waits."""
        return self._database.transact(self._read, read_only=True)

    def _read(self, connection: Connection) -> Passage:
        gate = look_at_gate(connection, self._run_id)
        self.revision = gate.control.revision
        self.pace, _ = with_settings(self._configured, Throttle(), gate.control.settings)
        if gate.state is not RunState.RUNNING or gate.control.wish is Wish.CANCEL:
            return Passage.ENDED
        return Passage.OPEN if gate.may_write and gate.control.wish is Wish.GO else Passage.HELD
