"""The tool sql: what it shows, what it refuses, and that the file stays as it is."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from phronesis.core.errors import ConfigurationError, ToolError
from phronesis.core.settings import Settings
from phronesis.core.tool import Tool, ToolOutput, ToolSurroundings
from phronesis.tools.table import open_tools


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "it's a shop.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE pets (name TEXT, age INTEGER, photo BLOB);"
            "INSERT INTO pets VALUES ('Rex', 3, x'00ff'), ('Tom|Cat', NULL, NULL), ('Ann', 9e999, NULL);"
        )
    connection.close()
    return path


def opened(file: Path, settings: Settings, options: str = "") -> Tool:
    text = f'sql(file="{file}"{options})'
    (found,) = asyncio.run(open_tools([text], ToolSurroundings(settings=settings))).values()
    return found


def asked(tool: Tool, query: str) -> ToolOutput:
    return asyncio.run(tool.call({"query": query}))


def test_a_result_is_a_table_and_data(file: Path, settings: Settings) -> None:
    tool = opened(file, settings)
    assert "CREATE TABLE pets" in tool.spec.description and tool.spec.pure and not tool.spec.dangerous
    found = asked(tool, "SELECT * FROM pets ORDER BY name")
    assert found.text == "name | age | photo\nAnn | inf | NULL\nRex | 3 | x'00ff'\nTom\\|Cat | NULL | NULL\n[3 rows]"
    assert found.data == {
        "columns": ["name", "age", "photo"], "more": False,
        "rows": [["Ann", "inf", None], ["Rex", 3, "x'00ff'"], ["Tom|Cat", None, None]],
    }  # fmt: skip


def test_rows_are_limited(file: Path, settings: Settings) -> None:
    found = asked(opened(file, settings, ", rows=2"), "SELECT name FROM pets")
    assert found.text.endswith("[2 rows; there are more]") and found.data["more"]
    assert asked(opened(file, settings), "SELECT 1 WHERE 0").text == "1\n[0 rows]"


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE pets", "INSERT INTO pets VALUES ('x', 1, NULL)", "UPDATE pets SET age = 1", "DELETE FROM pets",
        "CREATE TABLE t (a)", "CREATE TEMP TABLE t (a)", "ATTACH 'other.sqlite' AS other", "PRAGMA query_only = 0",
        "PRAGMA writable_schema = 1", "PRAGMA journal_mode = WAL", "SELECT load_extension('x')", "VACUUM INTO 'copy'",
        "BEGIN",
        "SELECT 1; DROP TABLE pets", "WITH t AS (SELECT 1) DELETE FROM pets",
    ],
)  # fmt: skip
def test_whatever_is_no_reading_is_refused_and_changes_nothing(file: Path, settings: Settings, query: str) -> None:
    before = file.read_bytes()
    with pytest.raises(ToolError, match="failed"):
        asked(opened(file, settings), query)
    assert file.read_bytes() == before
    assert [item.name for item in file.parent.iterdir() if item.name not in ("home", file.name)] == []


def test_an_endless_query_is_ended(file: Path, settings: Settings) -> None:
    endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t"
    with pytest.raises(ToolError, match=r"ran longer than 0\.3 s"):
        asked(opened(file, settings, ", seconds=0.3"), endless)


def test_a_query_that_eats_memory_is_ended(file: Path, settings: Settings) -> None:
    with pytest.raises(ToolError):
        asked(opened(file, settings), "SELECT hex(zeroblob(9000000)) || hex(zeroblob(9000000))")


def test_a_huge_result_does_not_reach_us(file: Path, settings: Settings) -> None:
    rows = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t LIMIT 9000) SELECT n, hex(zeroblob(5000)) FROM t"
    with pytest.raises(ToolError, match="characters"):
        asked(opened(file, settings, ", rows=10000"), rows)


def test_misspelt_names_are_told_as_sqlite_does(file: Path, settings: Settings) -> None:
    with pytest.raises(ToolError, match="no such column: nam"):
        asked(opened(file, settings), "SELECT nam FROM pets")


def test_a_file_that_another_process_writes_is_read_as_it_is(file: Path, settings: Settings) -> None:
    with sqlite3.connect(file) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("INSERT INTO pets VALUES ('New', 1, NULL)")
        writer.commit()
        assert "New" in asked(opened(file, settings), "SELECT name FROM pets").text
    writer.close()


def test_a_file_without_write_permission_is_read(file: Path, settings: Settings) -> None:
    file.chmod(0o444)
    assert "Rex" in asked(opened(file, settings), "SELECT name FROM pets").text


def test_a_long_schema_is_cut(file: Path, settings: Settings) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(f"CREATE TABLE wide ({', '.join(f'column_{i} TEXT' for i in range(100))})")
    connection.close()
    assert "[cut off" in opened(file, settings, ", schema_length=200").spec.description


def test_two_files_stand_side_by_side(file: Path, settings: Settings) -> None:
    texts = [f'sql(file="{file}")', f'sql(file="{file}", name="shop")']
    assert list(asyncio.run(open_tools(texts, ToolSurroundings(settings=settings)))) == ["sql", "shop"]
    with pytest.raises(ConfigurationError, match="two tools are called 'sql'"):
        asyncio.run(open_tools([texts[0], texts[0].replace(")", ", rows=9)")], ToolSurroundings(settings=settings)))


@pytest.mark.parametrize("content", [None, b"no database, just text" * 100])
def test_what_is_no_database_is_refused_at_once(tmp_path: Path, settings: Settings, content: bytes | None) -> None:
    path = tmp_path / "x.sqlite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"x\.sqlite"):
        opened(path, settings)
