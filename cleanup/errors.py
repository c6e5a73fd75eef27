"""The tree of errors: each has a stable code, the values, and a hint with the way out.

`runbooks/error-codes.md` is generated from this file; a test holds the two together.
"""

from typing import ClassVar

from cleanup.vocabulary import ExitStatus


class CleanupError(Exception):
    """The root: nothing raises it directly."""

    code: ClassVar[str]
    exit_status: ClassVar[ExitStatus]

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """Let an error travel from a lane to the job unharmed."""
        return (_revive, (type(self), self.message, self.hint))


def _revive(kind: type[CleanupError], message: str, hint: str) -> CleanupError:
    return kind(message, hint=hint)


class UsageOrConfigError(CleanupError):
    """The command line or a file is wrong; nothing was changed."""

    exit_status = ExitStatus.USAGE_OR_CONFIG


class ConfigInvalid(UsageOrConfigError):
    """The job config has errors; all of them are listed."""

    code = "CLN-201"


class PolicyInvalid(UsageOrConfigError):
    """The policy has errors; all of them are listed."""

    code = "CLN-202"


class InputUnreadable(UsageOrConfigError):
    """A file or standard input could not be read as what it should be."""

    code = "CLN-203"


class UsageInvalid(UsageOrConfigError):
    """The arguments do not go together."""

    code = "CLN-204"


class FolderUnusable(UsageOrConfigError):
    """A folder for an archive is not empty, or can not be written."""

    code = "CLN-205"


class LibraryMissing(UsageOrConfigError):
    """A library that only this option needs is not installed."""

    code = "CLN-206"


class MetricsUnusable(UsageOrConfigError):
    """The port for metrics is taken, or the file can not be written."""

    code = "CLN-207"


class Refused(CleanupError):
    """What was asked for is not allowed as things stand; nothing was changed."""

    exit_status = ExitStatus.LEFT_OR_REFUSED


class PlanUnknown(Refused):
    """The ledger has no plan with that number."""

    code = "CLN-101"


class PlanUnfinished(Refused):
    """The plan's scan has not finished, so it has no digest yet."""

    code = "CLN-102"


class PlanNotApproved(Refused):
    """Nobody has approved the plan, or the approval was revoked."""

    code = "CLN-103"


class ApprovalExpired(Refused):
    """The approval ran out before the run was created."""

    code = "CLN-104"


class DigestDiffers(Refused):
    """The digest that was given, approved or stored is not the plan's."""

    code = "CLN-105"


class PlanStale(Refused):
    """Something the plan depends on has changed since; the difference is shown."""

    code = "CLN-106"


class PlanForeign(Refused):
    """The plan was made in another database or on another server."""

    code = "CLN-107"


class PlanAlreadyApplied(Refused):
    """The plan's run has ended; what was signed runs once."""

    code = "CLN-108"


class BeforeCutover(Refused):
    """The cutover has not come yet by the server's clock."""

    code = "CLN-109"


class RunUnknown(Refused):
    """The ledger has no run with that number."""

    code = "CLN-110"


class DriftTooHigh(Refused):
    """More of the planned posts were edited since the plan than the config allows."""

    code = "CLN-111"


class RunUnfinished(Refused):
    """The run is still open, so it can not be rolled back or verified as a whole."""

    code = "CLN-112"


class RollbackDiffers(Refused):
    """Another part of the run is being rolled back, and has not ended."""

    code = "CLN-113"


class RunEnded(Refused):
    """The run is closed, or is being closed: nothing can be asked of it any more."""

    code = "CLN-120"


class RunCancelled(Refused):
    """Somebody has cancelled the run; every batch is complete, and the rest is not done."""

    code = "CLN-121"


class LogPurged(Refused):
    """The run's log was purged: the texts that it removed are in archives alone, if anywhere."""

    code = "CLN-114"


class LogInUse(Refused):
    """A rollback is open, and reads the logs."""

    code = "CLN-115"


class LogRetained(Refused):
    """The run's log is to be kept for longer than that."""

    code = "CLN-116"


class ArchiveDiffers(Refused):
    """The archive is not, byte for byte, an export of that run's log that this ledger knows."""

    code = "CLN-117"


class LogNotWhole(Refused):
    """The run's log does not fit its heads, so it makes no archive that could prove itself."""

    code = "CLN-118"


class FourEyesMissing(Refused):
    """Whoever made the plan, or decided its reviews, may not approve it: the config asks for a second person."""

    code = "CLN-122"


class DecisionsRefused(Refused):
    """A decision file does not fit the plan, or contradicts itself; all of it is refused, each problem listed."""

    code = "CLN-123"


class DeltaNotEnough(Refused):
    """A run that was stopped before its time has left findings that a plan of what was written since would miss."""

    code = "CLN-125"


class NothingAtWork(Refused):
    """There is nothing to watch: no run is open, and no plan is being made."""

    code = "CLN-124"


class PreflightFailed(CleanupError):
    """The database or its schema is not as the job needs it; nothing was changed."""

    exit_status = ExitStatus.PREFLIGHT


class ServerUnavailable(PreflightFailed):
    """No PostgreSQL server programs were found, or the embedded server did not start."""

    code = "CLN-301"


class TableUnknown(PreflightFailed):
    """A table of the config is not in the database, or is no table."""

    code = "CLN-302"


class ColumnUnknown(PreflightFailed):
    """A column of the config is not in its table."""

    code = "CLN-303"


class ColumnUnsuitable(PreflightFailed):
    """A column can not be changed safely: generated, char(n), citext, or not text."""

    code = "CLN-304"


class KeyUnusable(PreflightFailed):
    """A table has no usable key."""

    code = "CLN-305"


class ServerUnsuitable(PreflightFailed):
    """The server's version or encoding is not supported."""

    code = "CLN-306"


class PredicateRefused(PreflightFailed):
    """An exempt or where predicate is not one safe boolean over its table's own columns."""

    code = "CLN-307"


class LedgerMissing(PreflightFailed):
    """The database has no ledger."""

    code = "CLN-308"


class LedgerDiffers(PreflightFailed):
    """The ledger is older or newer than this version of cleanup."""

    code = "CLN-309"


class CreatedAtUnsuitable(PreflightFailed):
    """A created_at column has no time, or no zone and none is configured."""

    code = "CLN-310"


class LedgerWouldReplicate(PreflightFailed):
    """A FOR ALL TABLES publication would replicate the ledger and the removed links."""

    code = "CLN-311"


class PrivilegeMissing(PreflightFailed):
    """The role may not do what the job needs."""

    code = "CLN-312"


class PreflightBlocked(PreflightFailed):
    """A check blocks: the database is not in a state in which the job may start."""

    code = "CLN-313"


class Interrupted(CleanupError):
    """The job stopped between batches and can go on."""

    exit_status = ExitStatus.INTERRUPTED


class StoppedBySignal(Interrupted):
    """A signal asked the job to stop; the checkpoint is kept."""

    code = "CLN-401"


class LaneLost(Interrupted):
    """A lane process ended without a word; the checkpoint is kept."""

    code = "CLN-402"


class DatabaseBusy(Interrupted):
    """Others held what the job needed for longer than its retries last; the checkpoint is kept."""

    code = "CLN-403"


class MaxRuntimeReached(Interrupted):
    """The job has worked for as long as --max-runtime allows; the checkpoint is kept."""

    code = "CLN-404"


class CanaryReached(Interrupted):
    """The run has written as many findings as were asked for, and stands still for a look."""

    code = "CLN-405"


class DatabaseFailed(CleanupError):
    """The database did not answer, or answered with an error that is not ours to mend."""

    exit_status = ExitStatus.UNREACHABLE


class DatabaseUnreachable(DatabaseFailed):
    """No connection could be made."""

    code = "CLN-501"


class DatabaseLost(DatabaseFailed):
    """The connection was lost and did not come back within the retries."""

    code = "CLN-502"


class DatabaseError(DatabaseFailed):
    """The database answered with an error that no retry cures."""

    code = "CLN-503"


class DatabaseFull(DatabaseFailed):
    """The server had no room for longer than the retries last; the checkpoint is kept."""

    code = "CLN-504"


class InternalError(CleanupError):
    """Something that should be impossible happened; the checkpoint is kept."""

    exit_status = ExitStatus.INTERNAL


class InvariantBroken(InternalError):
    """A check that guards the posts failed; nothing of that batch was written."""

    code = "CLN-901"
