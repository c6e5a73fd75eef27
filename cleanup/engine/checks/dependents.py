"""What hangs on the written columns: generated columns, CHECK constraints and foreign keys."""

from collections.abc import Iterator
from typing import Final

from cleanup.check_names import CheckName
from cleanup.db.check_tables import ForeignKey, check_constraints, foreign_keys, generated_columns
from cleanup.engine.checks.result import CheckResult, block, named, ok, warn
from cleanup.engine.checks.setting import Setting

# The catalog's letters for ON UPDATE.
_CASCADES: Final = frozenset("cnd")


def dependents(setting: Setting) -> Iterator[CheckResult]:
    """Whatever follows a changed text, or may refuse it."""
    for posts in setting.posts:
        name = posts.table.name
        generated = [
            f"{one.name} (from {', '.join(one.columns)})" for one in generated_columns(setting.connection, posts)
        ]
        if generated:
            yield warn(
                CheckName.GENERATED_COLUMNS,
                name,
                named(generated),
                "they follow the text by themselves; what they cost at each changed row is not in the forecast.",
            )
        else:
            yield ok(CheckName.GENERATED_COLUMNS, name, "none is computed from a written column")
        constraints = [
            f"{one.name} (over {', '.join(one.columns)})" for one in check_constraints(setting.connection, posts)
        ]
        if constraints:
            yield warn(
                CheckName.CHECK_CONSTRAINTS,
                name,
                named(constraints),
                "a text that breaks one once its links are gone stays as it is and ends as refused_by_database.",
            )
        else:
            yield ok(CheckName.CHECK_CONSTRAINTS, name, "none is over a written column")
        yield from _foreign_keys(name, foreign_keys(setting.connection, posts))


def _foreign_keys(name: str, found: list[ForeignKey]) -> Iterator[CheckResult]:
    if not found:
        yield ok(CheckName.FOREIGN_KEYS, name, "none is on a written column")
    for key in found:
        other = key.to_table if key.points_away else key.from_table
        if key.points_away:
            value = f"{key.name}: the new text must be in {other}"
        elif key.on_update in _CASCADES:
            value = f"{key.name}: {other} would be changed along with it, outside of the log"
        else:
            value = f"{key.name}: {other} refers to the text, and keeps it from being changed"
        yield block(
            CheckName.FOREIGN_KEYS,
            name,
            value,
            "leave that column out, or drop the constraint for the run.",
        )
