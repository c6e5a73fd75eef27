"""cleanup init: install or upgrade the ledger."""

import click

from cleanup.commands.options import dsn_option
from cleanup.db.catalog import publications_for_all_tables
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.ledger import Migration, install, install_script, installed_version
from cleanup.db.relocations import accept_this_database
from cleanup.errors import LedgerWouldReplicate, UsageInvalid


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
def command(dsn: str, print_sql: bool, acknowledge_publications: bool, moved_here: str | None) -> None:
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
    for step in applied:
        click.echo(f"applied migration {step.number} {step.name}")
    if not applied:
        click.echo("the ledger is up to date")
    if moved_here:
        said = "takes the place of" if is_new else "was said before to take the place of"
        click.echo(f"this database {said} the one where its plans and runs were made")


def _install(connection: Connection, acknowledged: bool) -> tuple[Migration, ...]:
    publications = publications_for_all_tables(connection)
    if publications and not acknowledged and installed_version(connection) == 0:
        raise LedgerWouldReplicate(
            f"publication {', '.join(publications)} is FOR ALL TABLES: subscribers would need the ledger's tables, "
            "and would receive the removed links",
            hint="name the published tables instead, or, with the subscribers ready, give --acknowledge-publications.",
        )
    return install(connection)
