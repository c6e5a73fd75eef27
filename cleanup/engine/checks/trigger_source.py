"""What a trigger's function does to rows and tables, as far as its source can tell; pure."""

import re
from dataclasses import dataclass
from typing import Final

_COMMENT: Final = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_STRING: Final = re.compile(r"[eE]?'(?:[^'\\]|''|\\.)*'|\$(\w*)\$.*?\$\1\$", re.DOTALL)
_NAME: Final = r'(?:"[^"]+"|[A-Za-z_][\w$]*)'
_TABLE: Final = rf"({_NAME}(?:\.{_NAME})?)"
# An assignment stands where a statement begins; elsewhere the same characters are a comparison.
_ASSIGNED: Final = re.compile(
    rf"(?:\A|;|\bBEGIN\b|\bTHEN\b|\bELSE\b|\bLOOP\b)\s*NEW\.({_NAME})\s*:?=|\bINTO\s+(?:STRICT\s+)?NEW\.({_NAME})",
    re.IGNORECASE,
)
_WRITES: Final = re.compile(
    rf"\bINSERT\s+INTO\s+{_TABLE}|\bUPDATE\s+(?:ONLY\s+)?{_TABLE}\s+(?:AS\s+)?(?:(?!SET\b)\w+\s+)?SET\b"
    rf"|\bDELETE\s+FROM\s+(?:ONLY\s+)?{_TABLE}|\bMERGE\s+INTO\s+(?:ONLY\s+)?{_TABLE}",
    re.IGNORECASE,
)
_WRITING_STATEMENT: Final = re.compile(r"\b(?:INSERT\s+INTO|UPDATE|MERGE\s+INTO|EXECUTE)\b[^;]*", re.IGNORECASE)
_WHOLE_ROW: Final = re.compile(r"\b(?:OLD|NEW)\b(?!\s*\.\s*[\w\"])", re.IGNORECASE)
_DYNAMIC: Final = re.compile(r"\bEXECUTE\b", re.IGNORECASE)
# Read through FROM or JOIN: not the FROM of a comparison, nor that of EXTRACT and its like, which stand in parentheses.
_READS: Final = re.compile(rf"(?<!DISTINCT )\b(?:FROM|JOIN) (?:ONLY )?{_TABLE}(?![\w$.]| ?\x00)", re.IGNORECASE)
_PLAIN_PARENTHESES: Final = re.compile(r"\((?:(?!\bSELECT\b)[^()])*\)", re.IGNORECASE)
_NAMED_QUERY: Final = re.compile(rf"(?:\bWITH|\bRECURSIVE|,) ({_NAME}) AS\b", re.IGNORECASE)
_NOTIFIES: Final = re.compile(r"\b(?:pg_notify|NOTIFY)\b", re.IGNORECASE)
_RAISES: Final = re.compile(r"\bRAISE\b\s*(?:;|EXCEPTION\b|USING\b|SQLSTATE\b|'')", re.IGNORECASE)
_READABLE: Final = frozenset({"plpgsql", "sql"})
# Shipped with the server: the first argument is the column that they set.
_SETS_ITS_ARGUMENT: Final = frozenset({"tsvector_update_trigger", "tsvector_update_trigger_column", "moddatetime"})
_CHANGES_NOTHING: Final = frozenset({"suppress_redundant_updates_trigger"})

_TIME_OF_EDIT: Final = re.compile(r"(?:updat|modifi|chang|edit|touch)\w*|mtime|last_\w*(?:at|on|time)", re.IGNORECASE)
_VERSION: Final = re.compile(r"(?:lock_|row_)?version\w*|revision\w*|etag", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Effects:
    """What a function's source says: columns of the row, tables, and what can not be seen from here.

    `copies_text` is set where a written column, or the whole row, goes into another table; `unqualified` are tables
    that it names without a schema.
    """

    columns: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    copies_text: bool = False
    notifies: bool = False
    may_refuse: bool = False
    is_dynamic: bool = False
    is_readable: bool = True
    unqualified: tuple[str, ...] = ()

    @property
    def times_of_edit(self) -> tuple[str, ...]:
        """Columns that say when a post was edited, by their names."""
        return tuple(name for name in self.columns if _TIME_OF_EDIT.fullmatch(name))

    @property
    def versions(self) -> tuple[str, ...]:
        """Columns that count a post's versions, by their names."""
        return tuple(name for name in self.columns if _VERSION.fullmatch(name))

    def describe(self) -> str:
        """In words."""
        parts = [f"sets {', '.join(self.columns)}"] if self.columns else []
        if self.tables:
            parts.append(f"writes {', '.join(self.tables)}")
        if self.copies_text:
            parts.append("copies the text")
        if self.notifies:
            parts.append("notifies listeners")
        if self.may_refuse:
            parts.append("may refuse the row")
        if self.is_dynamic:
            parts.append("runs SQL that it makes up itself")
        if not self.is_readable:
            parts.append("does what its source alone can tell")
        return "; ".join(parts) or "does nothing that can be seen"


def effects_of(function: str, language: str, source: str, arguments: str, written: frozenset[str]) -> Effects:
    """Read a trigger function's source; `arguments` are the trigger's own, each ended by `\\000`."""
    name = function.rpartition(".")[2]
    if name in _CHANGES_NOTHING:
        return Effects()
    if name in _SETS_ITS_ARGUMENT:
        return Effects(columns=(arguments.split("\\000", maxsplit=1)[0],))
    if language not in _READABLE:
        return Effects(is_readable=False)
    text = _STRING.sub("''", _COMMENT.sub(" ", source))
    columns = dict.fromkeys(_plain(one or two) for one, two in _ASSIGNED.findall(_respaced(text)))
    tables = dict.fromkeys(_plain("".join(found)) for found in _WRITES.findall(text))
    return Effects(
        columns=tuple(columns),
        tables=tuple(tables),
        copies_text=any(_holds_text(found, written) for found in _WRITING_STATEMENT.findall(text)),
        notifies=bool(_NOTIFIES.search(text)),
        may_refuse=bool(_RAISES.search(text)) or "RETURN NULL" in _respaced(text).upper(),
        is_dynamic=bool(_DYNAMIC.search(text)),
        unqualified=tuple(name for name in dict.fromkeys([*tables, *_tables_read(text)]) if "." not in name),
    )


def _tables_read(text: str) -> list[str]:
    text = _respaced(text)
    own = {_plain(name) for name in _NAMED_QUERY.findall(text)}
    shorter = _PLAIN_PARENTHESES.sub("\x00", text)
    while shorter != text:
        text, shorter = shorter, _PLAIN_PARENTHESES.sub("\x00", shorter)
    return [name for found in _READS.findall(text) if (name := _plain(found)) not in own | {"old", "new"}]


def _respaced(text: str) -> str:
    # One statement may end where the next begins: with two semicolons each of them has its own.
    return re.sub(r"\s+", " ", text.replace(";", " ; ; "))


def _holds_text(statement: str, written: frozenset[str]) -> bool:
    if _WHOLE_ROW.search(statement):
        return True
    named = re.findall(rf"\b(?:OLD|NEW)\s*\.\s*({_NAME})", statement, re.IGNORECASE)
    return any(_plain(name) in written for name in named)


def _plain(name: str) -> str:
    parts = re.findall(_NAME, name)
    return ".".join(part[1:-1] if part.startswith('"') else part.lower() for part in parts)
