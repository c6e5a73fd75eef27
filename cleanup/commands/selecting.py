"""The options that select a part of a run, shared by every verb that is about a rollback."""

import json
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from pathlib import Path

import click

from cleanup.db.keys import Key
from cleanup.db.selection import Selection
from cleanup.errors import InputUnreadable, UsageInvalid
from cleanup.vocabulary import Decision


def selection_options(command: Callable[..., None]) -> Callable[..., None]:
    """--table, --key, --author, --platform and their like; the command gets them as one `selection`."""

    @wraps(command)
    def gathered(
        tables: tuple[str, ...],
        keys: tuple[str, ...],
        keys_file: Path | None,
        authors: tuple[str, ...],
        platforms: tuple[str, ...],
        kinds: tuple[str, ...],
        decisions: tuple[str, ...],
        since: datetime | None,
        until: datetime | None,
        changed_since: datetime | None,
        changed_until: datetime | None,
        **others: object,
    ) -> None:
        selection = Selection(
            tables=tables,
            keys=_keys(tables, [*keys, *(_lines_of(keys_file) if keys_file else ())]),
            authors=authors,
            platforms=platforms,
            kinds=kinds,
            decisions=decisions,
            created_since=since,
            created_until=until,
            changed_since=changed_since,
            changed_until=changed_until,
        )
        command(selection=selection, **others)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered


def _keys(tables: tuple[str, ...], written: list[str]) -> tuple[Key, ...]:
    if written and len(tables) != 1:
        raise UsageInvalid("keys are of one table", hint="give --table exactly once, with --key or --keys-file.")
    return tuple(_key(text) for text in written)


def _key(text: str) -> Key:
    if not text.startswith("["):
        return (text,)
    try:
        parts = json.loads(text)
    except ValueError:
        parts = None
    if not isinstance(parts, list) or not parts:
        raise UsageInvalid(f"{text!r} is no key", hint='a key of several columns is a JSON array: \'["7","abc"]\'.')
    return tuple(part if isinstance(part, str) else json.dumps(part) for part in parts)


def _lines_of(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputUnreadable(f"{file}: {error}", hint="give a UTF-8 text file with one key a line.") from None


def _instant(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    del context
    if value is None:
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise UsageInvalid(
            f"--{(parameter.name or '').replace('_', '-')} is {value!r}",
            hint="give a time with its offset from UTC, such as 2021-08-02T00:00:00+08:00.",
        )
    return instant


_OPTIONS = (
    click.option("--table", "tables", multiple=True, help="Only posts of this table (schema.table); repeatable."),
    click.option("--key", "keys", multiple=True, help="Only this post of --table; repeatable."),
    click.option("--keys-file", type=click.Path(path_type=Path), help="Only the posts of --table with these keys."),
    click.option("--author", "authors", multiple=True, help="Only posts of this author; repeatable."),
    click.option("--platform", "platforms", multiple=True, help="Only links of this platform; repeatable."),
    click.option("--kind", "kinds", multiple=True, help="Only links of this kind; repeatable."),
    click.option(
        "--decision",
        "decisions",
        multiple=True,
        type=click.Choice([one.value for one in Decision if one.changes_text]),
        help="Only links that were redacted, or rewritten.",
    ),
    click.option("--since", callback=_instant, help="Only posts created at that time or later."),
    click.option("--until", callback=_instant, help="Only posts created before that time."),
    click.option("--changed-since", callback=_instant, help="Only what the run changed at that time or later."),
    click.option("--changed-until", callback=_instant, help="Only what the run changed before that time."),
)
