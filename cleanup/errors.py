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
    """The command line or a file is wrong; nothing was read from the database."""

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
