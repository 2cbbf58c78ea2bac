"""src/imagesvc/sql/ contains each function, trigger and view of the database, with the same text."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from hatchling.builders.wheel import WheelBuilder

import imagesvc
from imagesvc.schema_version import alembic_config
from imagesvc.settings import Settings

FOLDER = Path(imagesvc.__file__).parent / "sql"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.sql"))}
BEFORE_READABLE_FUNCTIONS = "20261121l"

FUNCTIONS = """
    SELECT p.proname AS name, 'function ' || pg_get_function_identity_arguments(p.oid) AS kind,
           pg_get_functiondef(p.oid) AS text
    FROM pg_proc p
    WHERE p.pronamespace = current_schema::regnamespace
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""
VIEWS = """
    SELECT c.relname, 'view', pg_get_viewdef(c.oid)
    FROM pg_class c
    WHERE c.relkind IN ('v', 'm') AND c.relnamespace = current_schema::regnamespace
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
"""
TRIGGERS = """
    SELECT p.proname, 'trigger ' || t.tgname, pg_get_triggerdef(t.oid, true) || ' -- ' || t.tgenabled::text
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND c.relnamespace = current_schema::regnamespace
"""
OBJECTS = f"{FUNCTIONS} UNION ALL {VIEWS} UNION ALL {TRIGGERS}"

Objects = dict[tuple[str, str], str]
"""Definitions by the name of the object's file, and its kind."""


async def objects_of(connection: asyncpg.Connection, schema: str) -> Objects:
    """All functions, views and triggers of a schema, without its name."""
    await connection.execute(f"SET search_path = {schema}")
    rows = await connection.fetch(OBJECTS)
    qualified = f"CREATE OR REPLACE FUNCTION {schema}."
    return {
        (row["name"], row["kind"]): row["text"].replace(qualified, "CREATE OR REPLACE FUNCTION ", 1) for row in rows
    }


async def objects_of_files(connection: asyncpg.Connection, files: dict[str, str]) -> Objects:
    """What the files create in an empty schema, beside copies of the tables that they name."""
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    transaction = connection.transaction()
    await transaction.start()
    try:
        # functions are not checked when they are created, so that the order of the files does not matter
        await connection.execute("CREATE SCHEMA from_files; SET check_function_bodies = off")
        await connection.execute("SET search_path = from_files")
        for (table,) in tables:
            await connection.execute(f"CREATE TABLE {table} (LIKE public.{table})")
        found: Objects = {}
        for name, text in files.items():
            await connection.execute(text)
            created = await objects_of(connection, "from_files")
            assert {owner for owner, _ in created.keys() - found.keys()} == {name}
            found = created
    finally:
        await transaction.rollback()
    return found


def texts() -> dict[str, str]:
    return {name: path.read_bytes().decode() for name, path in FILES.items()}


def differences(have: Objects, files: Objects) -> set[str]:
    return {name for name, kind in have.keys() | files.keys() if have.get((name, kind)) != files.get((name, kind))}


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(settings.database_url.get_secret_value())
    yield made
    await made.close()


async def test_the_database_and_the_files_have_the_same_objects(connection: asyncpg.Connection) -> None:
    in_database = await objects_of(connection, "public")
    in_files = await objects_of_files(connection, texts())

    assert {name for name, _ in in_database} == FILES.keys()
    assert in_database == in_files


CHANGES_OF_THE_DATABASE = {
    "stats_quarter": """CREATE OR REPLACE FUNCTION stats_quarter(moment timestamptz) RETURNS text LANGUAGE sql IMMUTABLE
        AS 'SELECT moment::text'""",
    "added": "CREATE FUNCTION added() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "link_room": "ALTER FUNCTION link_room VOLATILE",
    "stats_cameras": "DROP VIEW stats_cameras",
    "uploads_names": "CREATE TRIGGER again AFTER DELETE ON uploads FOR EACH ROW EXECUTE FUNCTION uploads_names()",
    "uploads_order": "ALTER TABLE uploads DISABLE TRIGGER uploads_order",
    "webhook_batch_begun": "DROP TRIGGER webhook_batch_begun ON batches",
}


@pytest.mark.parametrize("name", CHANGES_OF_THE_DATABASE)
async def test_a_change_of_only_the_database_is_detected(connection: asyncpg.Connection, name: str) -> None:
    await connection.execute(CHANGES_OF_THE_DATABASE[name])

    in_database = await objects_of(connection, "public")

    assert differences(in_database, await objects_of_files(connection, texts())) == {name}


CHANGES_OF_A_FILE = [
    ("admit_file", "    IF is_charged THEN\n", "    IF is_charged  THEN\n"),
    ("search_text", "lower(", "upper("),
    ("stats_totals", "'uploads')", "'upload')"),
    ("stats_of_blobs", "OF state, media_type", "OF state"),
]
"""A file's name, a part of its text, and what replaces it."""


@pytest.mark.parametrize(("name", "old", "new"), CHANGES_OF_A_FILE)
async def test_a_change_of_only_a_file_is_detected(
    connection: asyncpg.Connection, name: str, old: str, new: str
) -> None:
    files = texts()
    assert old in files[name]
    files[name] = files[name].replace(old, new)

    in_files = await objects_of_files(connection, files)

    assert differences(await objects_of(connection, "public"), in_files) == {name}


async def test_a_missing_and_an_additional_file_are_detected(connection: asyncpg.Connection) -> None:
    files = texts()
    del files["new_uuid7"]
    files["added"] = "CREATE FUNCTION added() RETURNS int LANGUAGE sql AS 'SELECT 1'"

    in_files = await objects_of_files(connection, files)

    assert differences(await objects_of(connection, "public"), in_files) == {"new_uuid7", "added"}


@pytest.mark.parametrize("name", FILES)
def test_each_file_starts_with_a_comment_on_its_object(name: str) -> None:
    first, _, rest = FILES[name].read_text().partition("\n")

    assert re.fullmatch(rf"-- {name}: \w.+", first)
    assert re.search(r"^-- (Called|Read) by: ", rest, re.MULTILINE)


def test_the_readme_lists_each_file_once() -> None:
    listed = re.findall(r"^- `(\w+)\.sql` \w", (FOLDER / "README.md").read_text(), re.MULTILINE)

    assert sorted(listed) == sorted(FILES)


async def test_the_downgrade_restores_the_earlier_text(
    settings_with: Callable[..., Settings], connection: asyncpg.Connection, empty_database_url: str
) -> None:
    migrated = await objects_of(connection, "public")
    old = await asyncpg.connect(empty_database_url)
    await asyncio.to_thread(
        command.upgrade,
        alembic_config(settings_with(database_url=empty_database_url)),
        BEFORE_READABLE_FUNCTIONS,
    )

    await asyncio.to_thread(command.downgrade, alembic_config(settings_with()), BEFORE_READABLE_FUNCTIONS)
    downgraded = await objects_of(connection, "public")
    await asyncio.to_thread(command.upgrade, alembic_config(settings_with()), "head")

    assert downgraded == await objects_of(old, "public") != migrated
    assert await objects_of(connection, "public") == migrated
    await old.close()


def test_the_wheel_contains_the_sql_files_and_those_of_migrations() -> None:
    root = Path(__file__).parents[1]
    paths = {file.distribution_path for file in WheelBuilder(str(root)).recurse_included_files()}

    assert {f"imagesvc/sql/{name}.sql" for name in FILES} <= paths
    assert {f"imagesvc/_migrations/versions/{path.name}" for path in root.glob("migrations/versions/*.sql")} <= paths
