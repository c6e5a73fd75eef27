"""The page of error codes, made from the tree of errors: `python -m cleanup.error_codes > runbooks/error-codes.md`."""

from collections.abc import Iterator

from cleanup import errors
from cleanup.errors import CleanupError
from cleanup.vocabulary import ExitStatus

_CLASSES = (
    errors.Refused,
    errors.UsageOrConfigError,
    errors.PreflightFailed,
    errors.Interrupted,
    errors.DatabaseFailed,
    errors.InternalError,
)


def page() -> str:
    """The Markdown page: a section for each class of errors, a row for each code."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Error codes"
    yield ""
    yield "Every error is one message with the values and a `HINT:` with the way out, on standard error."
    yield "The code is stable; the exit status is that of its class. This page is made from the code:"
    yield "`python -m cleanup.error_codes > runbooks/error-codes.md`."
    yield ""
    yield "| exit status | meaning |"
    yield "|---|---|"
    yield f"| {ExitStatus.DONE:d} | done, nothing left |"
    left = "something is left for a person (verify, apply and rollback list it), or refused"
    yield f"| {ExitStatus.LEFT_OR_REFUSED:d} | {left} |"
    for group in _CLASSES:
        if group is not errors.Refused:
            yield f"| {group.exit_status:d} | {_sentence(group)} |"
    for group in _CLASSES:
        yield ""
        yield f"## {group.__name__}: exit status {group.exit_status:d}"
        yield ""
        yield _sentence(group)
        yield ""
        yield "| code | name | meaning |"
        yield "|---|---|---|"
        for kind in sorted(group.__subclasses__(), key=lambda one: one.code):
            yield f"| {kind.code} | {kind.__name__} | {_sentence(kind)} |"


def _sentence(kind: type[CleanupError]) -> str:
    return (kind.__doc__ or "").strip()


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - this is what the module is run for
