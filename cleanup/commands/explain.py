"""cleanup explain: what the policy does with a text, span by span; needs no database."""

import sys
from pathlib import Path
from typing import Final, TextIO

import click

from cleanup.errors import InputUnreadable
from cleanup.links.explain import explain_lines, explain_text
from cleanup.links.finder import Finder
from cleanup.links.policy import load_policy
from cleanup.resources import config_directory
from cleanup.vocabulary import ColumnFormat

DEFAULT_POLICY: Final = "policy-xiaohongshu-2021.toml"


@click.command("explain")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--policy", type=click.Path(path_type=Path), help=f"The policy file.  [default: {DEFAULT_POLICY}]")
@click.option(
    "--as",
    "column_format",
    type=click.Choice([one.value for one in ColumnFormat]),
    default=ColumnFormat.TEXT.value,
    show_default=True,
    help="How the text is to be read.",
)
@click.option("--jsonl", is_flag=True, help='Many texts: {"id", "format", "text"} lines in, their spans out.')
def command(file: Path | None, policy: Path | None, column_format: str, jsonl: bool) -> None:
    """Show what becomes of the text in FILE (- or nothing: standard input), and why."""
    finder = Finder(load_policy(policy or config_directory() / DEFAULT_POLICY))
    with _open(file) as source:
        if jsonl:
            for line in explain_lines(finder, source):
                click.echo(line)
        else:
            click.echo(explain_text(finder, _read(source), ColumnFormat(column_format)), nl=False)


def _open(file: Path | None) -> TextIO:
    if file is None or str(file) == "-":
        # Offsets count what was given: no newline is translated on the way in.
        return open(sys.stdin.fileno(), encoding="utf-8", newline="", closefd=False)
    try:
        return file.open(encoding="utf-8", newline="")
    except OSError as error:
        raise InputUnreadable(f"{file}: cannot be read: {error.strerror}", hint="name an existing file.") from None


def _read(source: TextIO) -> str:
    try:
        return source.read()
    except UnicodeDecodeError as error:
        raise InputUnreadable(
            f"the text is not UTF-8: {error.reason} at byte {error.start}", hint="convert it first."
        ) from None
