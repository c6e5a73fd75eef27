"""cleanup init: install or upgrade the ledger."""

from collections.abc import Iterator
from typing import Final

import click

from cleanup.commands.options import OutputFormat, dsn_option, format_option
from cleanup.db.catalog import publications_for_all_tables
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.ledger import Migration, install, install_script, installed_version
from cleanup.db.relocations import accept_this_database
from cleanup.errors import LedgerWouldReplicate, UsageInvalid
from cleanup.report.as_json import render_json

_RECORDED: Final = "recorded"
_RECORDED_BEFORE: Final = "recorded before"


@click.command("init")
@dsn_option
@click.option("--sql", "print_sql", is_flag=True, help="Print what would run instead; touches nothing.")
@click.option(
    "--acknowledge-publications", is_flag=True, help="Install even where a FOR ALL TABLES publication exists."
)
@click.option(
    "--moved-here",
    metavar="REASON",
    help="Record that this database takes the place of the one where the plans and runs were made: it was upgraded, "
    "or restored. Then runs can be verified and rolled back here.",
)
@format_option
def command(
    dsn: str,
    print_sql: bool,
    acknowledge_publications: bool,
    moved_here: str | None,
    output_format: OutputFormat,
) -> None:
    """Install or upgrade the ledger, schema "cleanup" in the posts' own database."""
    if moved_here is not None and not moved_here.strip():
        raise UsageInvalid("--moved-here without a reason", hint="say why this database takes the other's place.")
    if print_sql:
        click.echo(install_script(), nl=False)
        return
    database = Database(dsn, "cleanup init")
    try:
        applied = database.transact(lambda connection: _install(connection, acknowledge_publications))
        is_new = bool(moved_here) and database.transact(lambda one: accept_this_database(one, str(moved_here)))
    finally:
        database.close()
    word = None if moved_here is None else _RECORDED if is_new else _RECORDED_BEFORE
    if output_format is OutputFormat.JSON:
        steps = [{"number": step.number, "name": step.name} for step in applied]
        click.echo(render_json({"applied": steps, "moved_here": word}), nl=False)
        return
    click.echo("\n".join(_lines(applied, word)))


def _lines(applied: tuple[Migration, ...], word: str | None) -> Iterator[str]:
    yield from (f"applied migration {step.number} {step.name}" for step in applied)
    if not applied:
        yield "the ledger is up to date"
    if word is not None:
        said = "takes the place of" if word == _RECORDED else "was said before to take the place of"
        yield f"this database {said} the one where its plans and runs were made"


def _install(connection: Connection, acknowledged: bool) -> tuple[Migration, ...]:
    publications = publications_for_all_tables(connection)
    if publications and not acknowledged and installed_version(connection) == 0:
        raise LedgerWouldReplicate(
            f"publication {', '.join(publications)} is FOR ALL TABLES: subscribers would need the ledger's tables, "
            "and would receive the removed links",
            hint="name the published tables instead, or, with the subscribers ready, give --acknowledge-publications.",
        )
    return install(connection)
