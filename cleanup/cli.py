"""The command line: arguments, exit statuses, and errors as messages with a way out."""

import importlib
import signal
import sys
from typing import Final

import click

from cleanup import VERSION
from cleanup.errors import CleanupError, StoppedBySignal
from cleanup.log import configure_logging
from cleanup.vocabulary import ExitStatus

# In the order in which a job uses them.
VERBS: Final = (
    "init",
    "check",
    "plan",
    "report",
    "review",
    "approve",
    "apply",
    "status",
    "pause",
    "resume",
    "cancel",
    "set",
    "verify",
    "rollback",
    "log",
    "purge",
    "explain",
    "demo",
)


class Verbs(click.Group):
    """Verbs are imported when they are used: each needs its own libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, in the order in which a job uses them."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of that name, if there is one."""
        del ctx
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"cleanup.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="cleanup")
def cleanup() -> None:
    """Make the historical posts of a PostgreSQL database follow a link policy, reversibly."""
    configure_logging()


def main() -> None:
    """Run one verb; every error ends as a message, a hint and an exit status, never as a traceback."""
    # Where lanes work, the job has handlers of its own; elsewhere both signals end it the same way.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _run()
    finally:
        signal.signal(signal.SIGTERM, before)


def _run() -> None:
    try:
        cleanup.main(standalone_mode=False)
    except CleanupError as error:
        _fail(error)
    except click.Abort:
        _fail(StoppedBySignal("interrupted", hint="nothing is lost: run the same command again to go on."))
    except click.ClickException as error:
        error.show()
        sys.exit(ExitStatus.USAGE_OR_CONFIG)
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        sys.stderr.close()
        sys.exit(ExitStatus.LEFT_OR_REFUSED)
    except Exception as error:
        # The last resort: a message with the place, and no traceback.
        from cleanup.engine.lanes import internal_error  # noqa: PLC0415 - only needed here, and slow to import

        _fail(internal_error(error))


def _fail(error: CleanupError) -> None:
    click.echo(f"{error.code} {error.message}\nHINT: {error.hint}", err=True)
    sys.exit(error.exit_status)
