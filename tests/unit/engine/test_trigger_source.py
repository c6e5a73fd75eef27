"""What a trigger's source says of itself: columns it sets, tables it writes, texts it copies."""

from dataclasses import dataclass

import pytest

from cleanup.engine.checks.trigger_source import Effects, effects_of

WRITTEN = frozenset({"body"})


def effects(source: str, function: str = "public.f", language: str = "plpgsql", arguments: str = "") -> Effects:
    return effects_of(function, language, source, arguments, WRITTEN)


@dataclass(frozen=True, slots=True)
class Case:
    source: str
    columns: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    copies: bool = False


CASES = {
    "assignment": Case("BEGIN NEW.updated_at := now(); RETURN NEW; END", ("updated_at",)),
    "assignment with =": Case("BEGIN\n  NEW.updated_at = now();\n  RETURN NEW;\nEND", ("updated_at",)),
    "two assignments": Case("BEGIN NEW.a := 1; NEW.b := 2; RETURN NEW; END", ("a", "b")),
    "assignment under a condition": Case(
        "BEGIN IF NEW.body = OLD.body THEN NEW.a := 1; ELSE NEW.version := OLD.version + 1; END IF; END",
        ("a", "version"),
    ),
    "comparison is none": Case("BEGIN IF NEW.body = OLD.body THEN RETURN NEW; END IF; RETURN NULL; END"),
    "select into": Case("BEGIN SELECT now() INTO NEW.updated_at; RETURN NEW; END", ("updated_at",)),
    "quoted column": Case('BEGIN NEW."Updated At" := now(); RETURN NEW; END', ("Updated At",)),
    "in a comment": Case("BEGIN -- NEW.a := 1;\n /* ; NEW.b := 2; INSERT INTO x */ RETURN NEW; END"),
    "in a string": Case("BEGIN RAISE NOTICE '; NEW.a := 1; INSERT INTO x VALUES (NEW.body)'; RETURN NEW; END"),
    "outbox": Case("BEGIN INSERT INTO app.outbox (id) VALUES (NEW.id); RETURN NULL; END", (), ("app.outbox",)),
    "counter": Case("BEGIN UPDATE stats AS s SET n = n + 1; DELETE FROM ONLY cache; END", (), ("stats", "cache")),
    "upsert is one table": Case(
        "BEGIN INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET n = 2; RETURN NULL; END", (), ("t",)
    ),
    "copy of the row": Case("BEGIN INSERT INTO h SELECT OLD.*; RETURN NEW; END", (), ("h",), copies=True),
    "copy of the row as JSON": Case(
        "BEGIN INSERT INTO h VALUES (to_jsonb(OLD)); RETURN NEW; END", (), ("h",), copies=True
    ),
    "copy of a written column": Case(
        "BEGIN INSERT INTO h (t) VALUES (OLD.body); RETURN NEW; END", (), ("h",), copies=True
    ),
    "copy by dynamic SQL": Case(
        "BEGIN EXECUTE format('INSERT INTO %I SELECT ($1).*', TG_ARGV[0]) USING OLD; END", copies=True
    ),
    "the key alone is no copy": Case("BEGIN INSERT INTO h (t) VALUES (OLD.id, NEW.title); END", (), ("h",)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_source_is_read(case: str) -> None:
    wanted = CASES[case]
    found = effects(wanted.source)
    assert (found.columns, found.tables, found.copies_text) == (wanted.columns, wanted.tables, wanted.copies)


def test_columns_are_told_by_what_they_are_for() -> None:
    found = effects("BEGIN NEW.updated_at := now(); NEW.lock_version := 1; NEW.score := 2; RETURN NEW; END")
    assert found.times_of_edit == ("updated_at",)
    assert found.versions == ("lock_version",)
    assert found.describe() == "sets updated_at, lock_version, score"


def test_what_else_a_source_does_is_said() -> None:
    found = effects("BEGIN PERFORM pg_notify('c', NEW.id::text); RAISE EXCEPTION 'no %', NEW.body; END")
    assert (found.notifies, found.may_refuse, found.is_dynamic) == (True, True, False)
    assert found.describe() == "notifies listeners; may refuse the row"
    assert effects("BEGIN EXECUTE 'SELECT 1'; RAISE NOTICE 'x'; END").describe() == "runs SQL that it makes up itself"
    assert effects("BEGIN RETURN NEW; END").describe() == "does nothing that can be seen"


def test_functions_that_are_no_source_are_known_by_name_or_not_at_all() -> None:
    search = effects("tsvector_update_trigger", "pg_catalog.tsvector_update_trigger", "internal", "words\\000pg.e\\000")
    assert search.columns == ("words",)
    quiet = effects("", "pg_catalog.suppress_redundant_updates_trigger", "internal")
    assert quiet.describe() == "does nothing that can be seen"
    assert effects("whatever", "public.f", "c").describe() == "does what its source alone can tell"


def test_a_description_repeats_no_literal() -> None:
    found = effects("BEGIN NEW.a := 'thesecretword'; INSERT INTO h VALUES ($q$thesecretword$q$); END")
    assert "thesecretword" not in found.describe()
    assert (found.columns, found.tables) == (("a",), ("h",))


@pytest.mark.parametrize(
    ("source", "unqualified"),
    [
        ("BEGIN INSERT INTO kept SELECT * FROM app.x JOIN y ON true; RETURN NEW; END", ("kept", "y")),
        ("BEGIN SELECT count(*) INTO n FROM other WHERE id = NEW.id; RETURN NEW; END", ("other",)),
        ("BEGIN n := (SELECT count(*) FROM other); UPDATE app.t SET n = 1; RETURN NEW; END", ("other",)),
        ("BEGIN IF OLD IS DISTINCT FROM NEW THEN n := extract(epoch FROM (t)); END IF; RETURN NEW; END", ()),
        ("BEGIN PERFORM 1 FROM generate_series(1, (2)); PERFORM 1 FROM old; RETURN NEW; END", ()),
        ("BEGIN WITH c AS (SELECT 1), d AS (SELECT 2) INSERT INTO q SELECT * FROM c JOIN d ON true; END", ("q",)),
    ],
)
def test_tables_that_are_named_without_a_schema(source: str, unqualified: tuple[str, ...]) -> None:
    assert effects(source).unqualified == unqualified
