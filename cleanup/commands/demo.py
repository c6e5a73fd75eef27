"""cleanup demo: every verb in turn, on an embedded PostgreSQL with generated posts."""

import time

import click

from cleanup.demo.server import Server
from cleanup.demo.story import Story


@click.command("demo")
@click.option("--rows", type=click.IntRange(100), default=20_000, show_default=True, help="Posts in each table.")
def command(rows: int) -> None:
    """Show the whole job on a server of its own, which is gone afterwards."""
    started = time.monotonic()
    with Server.start() as server:
        story = Story(server, rows)
        try:
            story.tell()
        finally:
            story.close()
    click.echo(f"done in {time.monotonic() - started:.0f} s")
