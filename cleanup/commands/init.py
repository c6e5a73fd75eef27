"""cleanup init: install or upgrade the ledger."""

import click

from cleanup.commands.options import dsn_option
from cleanup.db.catalog import publications_for_all_tables
from cleanup.db.connection import Connection
from cleanup.db.database import Database
from cleanup.db.ledger import Migration, install, install_script, installed_version
from cleanup.errors import LedgerWouldReplicate


@click.command("init")
@dsn_option
@click.option("--sql", "print_sql", is_flag=True, help="Print what would run instead; touches nothing.")
@click.option(
    "--acknowledge-publications", is_flag=True, help="Install even where a FOR ALL TABLES publication exists."
)
def command(dsn: str, print_sql: bool, acknowledge_publications: bool) -> None:
    """Install or upgrade the ledger, schema "cleanup" in the posts' own database."""
    if print_sql:
        click.echo(install_script(), nl=False)
        return
    database = Database(dsn, "cleanup init")
    try:
        applied = database.transact(lambda connection: _install(connection, acknowledge_publications))
    finally:
        database.close()
    for step in applied:
        click.echo(f"applied migration {step.number} {step.name}")
    if not applied:
        click.echo("the ledger is up to date")


def _install(connection: Connection, acknowledged: bool) -> tuple[Migration, ...]:
    publications = publications_for_all_tables(connection)
    if publications and not acknowledged and installed_version(connection) == 0:
        raise LedgerWouldReplicate(
            f"publication {', '.join(publications)} is FOR ALL TABLES: subscribers would need the ledger's tables, "
            "and would receive the removed links",
            hint="name the published tables instead, or, with the subscribers ready, give --acknowledge-publications.",
        )
    return install(connection)
