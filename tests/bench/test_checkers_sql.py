"""The grader ``sql``: results compared, queries kept from changing, hanging or leaving the folder."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from phronesis.bench.dataset import Example
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, GraderContext
from phronesis.bench.graders.sql import BySql, SqlOptions, query_of
from phronesis.bench.graders.table import make_grader
from phronesis.core.errors import ConfigurationError
from phronesis.core.settings import Settings
from phronesis.core.task import Message, Task

DUMP = """CREATE TABLE pet (id INT, name TEXT, age INT, weight REAL);
INSERT INTO pet VALUES (1, 'Ada', 3, 0.1), (2, 'Bo', 5, 0.2), (3, 'Cy', 3, 0.3), (4, 'Di', NULL, 1.0);
"""
NAMES = "SELECT name, age FROM pet WHERE age = 3"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "set"
    place.mkdir()
    (place / "pets.sql").write_text(DUMP)
    (tmp_path / "secret.sql").write_text(DUMP)
    return place


def example(gold: str = NAMES, *, db: str = "pets.sql", **facts: Any) -> Example:
    task = Task(messages=(Message(role="user", content="q"),), id="e1")
    return Example(task, gold, facts={"db": db, "gold_sql": gold} | facts)


def grade(
    folder: Path,
    text: str,
    gold: str = NAMES,
    *,
    order: str = "any",
    seconds: float = 5.0,
    **facts: Any,
) -> Grade:
    grader = BySql(folder, SqlOptions(column_order=order, seconds=seconds))  # type: ignore[arg-type]  # one of the two
    row = example(gold, **facts)
    grader.check(row)
    return asyncio.run(grader.grade(row, Attempted(None, text)))


class TestReading:
    @pytest.mark.parametrize(
        "text",
        [
            "SELECT a FROM t",
            "select a from t;",
            "```sql\nSELECT a FROM t;\n```",
            "I select all.\n\n```\nSELECT a FROM t\n```\nWith it you select a.",
            "Let us select a column.\n\nAnswer: SELECT a FROM t; Done.",
            "SQL: `SELECT a FROM t`",
            "First SELECT b FROM t fails.\n```sql\nSELECT b\n```\n```sql\nSELECT a FROM t\n```",
            "So I propose SELECT a FROM t",
        ],
    )
    def test_the_last_query_is_read(self, text: str) -> None:
        found = query_of(text)
        assert found is not None and found.casefold() == "select a from t"

    @pytest.mark.parametrize(
        ("text", "query"),
        [
            ("SELECT a\nFROM t\nWHERE b = ';'\n  AND c = 1; rest", "SELECT a\nFROM t\nWHERE b = ';'\n  AND c = 1"),
            ("```sql\nWITH x AS (SELECT 1)\nSELECT * FROM x\n```", "WITH x AS (SELECT 1)\nSELECT * FROM x"),
            ("SELECT a FROM t\nUNION\nSELECT b FROM u", "SELECT a FROM t\nUNION\nSELECT b FROM u"),
        ],
    )
    def test_several_lines_and_quoted_semicolons(self, text: str, query: str) -> None:
        assert query_of(text) == query

    @pytest.mark.parametrize(
        "text", ["", "no idea", "DROP TABLE pet", "PRAGMA user_version = 3", "SELECT " + "a," * 20_000]
    )
    def test_without_a_query_it_is_unparsable(self, folder: Path, text: str) -> None:
        assert grade(folder, text) == WRONG


class TestResults:
    @pytest.mark.parametrize(
        "query",
        [
            NAMES,
            "SELECT name, age FROM pet WHERE age < 5 ORDER BY name DESC",
            "SELECT age, name FROM pet WHERE id IN (1, 3)",
            "WITH x AS (SELECT * FROM pet WHERE age = 3) SELECT name, age * 1.0 FROM x",
        ],
    )
    def test_the_same_rows_in_any_order_are_right(self, folder: Path, query: str) -> None:
        found = grade(folder, query)
        assert found.correct and found.figures == {"runs": 1.0, "gold_empty": 0.0}

    @pytest.mark.parametrize(
        "query",
        [
            "SELECT name FROM pet WHERE age = 3",
            "SELECT name, age FROM pet",
            "SELECT name, age FROM pet WHERE age = 3 UNION ALL SELECT 'Ada', 3",
            "SELECT name, '3' FROM pet WHERE age = 3",
            "SELECT name, age FROM pet WHERE 0",
        ],
    )
    def test_other_rows_are_wrong(self, folder: Path, query: str) -> None:
        found = grade(folder, query)
        assert not found.correct and found.parsed and found.figures["runs"] == 1.0

    def test_rows_that_stand_twice_count_twice(self, folder: Path) -> None:
        gold = "SELECT age FROM pet WHERE age = 3"
        assert not grade(folder, "SELECT DISTINCT age FROM pet WHERE age = 3", gold).correct
        assert grade(folder, "SELECT 3 UNION ALL SELECT 3", gold).correct

    def test_order_counts_where_the_row_says_so(self, folder: Path) -> None:
        gold = "SELECT name FROM pet ORDER BY name"
        assert grade(folder, gold, gold, ordered=True).correct
        turned = "SELECT name FROM pet ORDER BY name DESC"
        assert not grade(folder, turned, gold, ordered=True).correct
        assert grade(folder, turned, gold, ordered=False).correct

    def test_the_order_of_columns_is_an_option(self, folder: Path) -> None:
        turned = "SELECT age, name FROM pet WHERE age = 3"
        assert grade(folder, turned).correct and not grade(folder, turned, order="strict").correct
        gold = "SELECT id, age FROM pet WHERE id = 1 UNION SELECT 3, 1"
        mixed = "SELECT 1, 3 UNION SELECT 1, 3"
        assert not grade(folder, mixed, gold).correct
        assert not grade(folder, "SELECT 3, 3 UNION SELECT 1, 1", gold).correct

    def test_more_than_six_columns_keep_their_order(self, folder: Path) -> None:
        assert not grade(folder, "SELECT 2,1,3,4,5,6,7", "SELECT 1,2,3,4,5,6,7").correct
        assert grade(folder, "SELECT 2,1,3,4,5,6", "SELECT 1,2,3,4,5,6").correct

    def test_floats_count_to_nine_digits(self, folder: Path) -> None:
        gold = "SELECT avg(weight) FROM pet WHERE id < 3"
        assert grade(folder, "SELECT sum(weight) / count(*) FROM pet WHERE id IN (2, 1)", gold).correct
        assert not grade(folder, "SELECT 0.1500001", gold).correct

    def test_an_empty_gold_result_is_a_figure(self, folder: Path) -> None:
        found = grade(folder, "SELECT 1, 2 FROM pet WHERE 0", "SELECT name FROM pet WHERE age > 90")
        assert found.correct and found.figures["gold_empty"] == 1.0

    def test_a_database_file_does_as_well(self, folder: Path) -> None:
        path = folder / "a b?c.sqlite"
        connection = sqlite3.connect(path)
        connection.executescript(DUMP)
        connection.close()
        before = path.read_bytes()
        assert grade(folder, NAMES, db=path.name).correct
        assert "not authorized" in grade(folder, "WITH x AS (SELECT 1) DELETE FROM pet", db=path.name).read
        assert path.read_bytes() == before
        assert sorted(item.name for item in folder.iterdir()) == [path.name, "pets.sql"]


class TestHostile:
    @pytest.mark.parametrize(
        ("query", "says"),
        [
            ("SELECT colour FROM pet", "no such column"),
            ("SELECT", "incomplete input"),
            ("WITH x AS (SELECT 1) DELETE FROM pet", "not authorized"),
            ("WITH x AS (SELECT 1) INSERT INTO pet SELECT 1, 2, 3, 4", "not authorized"),
            ("SELECT load_extension('x')", "not authorized"),
            ("SELECT * FROM pragma_user_version", "not authorized"),
            ("SELECT writefile('x', 'y')", "no such function"),
            ("SELECT hex(zeroblob(900000000))", "too big"),
            ("SELECT \x00", "unrecognized"),
            ("SELECT (" + "(" * 3000 + "1" + ")" * 3000 + ")", "Error"),
        ],
    )
    def test_a_query_that_fails_or_may_not_is_wrong(self, folder: Path, query: str, says: str) -> None:
        found = grade(folder, query)
        assert not found.correct and found.parsed and found.figures["runs"] == 0.0
        assert says.casefold() in found.read.casefold() or "null character" in found.read

    @pytest.mark.parametrize(
        "query",
        [
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION SELECT x + 1 FROM c) SELECT * FROM c ORDER BY x DESC",
        ],
    )
    def test_a_query_without_end_is_stopped(self, folder: Path, query: str) -> None:
        found = grade(folder, query, seconds=1)
        assert not found.correct and found.figures["runs"] == 0.0
        assert "Error" in found.read

    def test_a_second_statement_is_not_run(self, folder: Path) -> None:
        assert grade(folder, f"```sql\n{NAMES}; DROP TABLE pet;\n```").read == NAMES

    @pytest.mark.parametrize(
        "text", ["select " * 30_000, "```sql\n" * 30_000, "with x as (" * 20_000, "SELECT '" + "x" * 9_000, "\ud800"]
    )
    def test_hostile_texts_are_only_wrong(self, folder: Path, text: str) -> None:
        assert not grade(folder, text).correct


class TestRows:
    @pytest.mark.parametrize(
        ("facts", "says"),
        [
            ({"db": ""}, "db = ''"),
            ({"gold_sql": 3}, "gold_sql = 3"),
            ({"gold_sql": "SELECT x FROM nowhere"}, "fails on 'pets.sql': no such table"),
            ({"gold_sql": "DROP TABLE pet"}, "not authorized"),
            ({"db": "missing.sql"}, "cannot be read"),
            ({"db": "../secret.sql"}, "outside"),
            ({"db": "/etc/passwd"}, "outside"),
            ({"db": "."}, "cannot be read"),
            ({"db": "a\x00b"}, "cannot be read"),
            ({"ordered": 1}, "neither true nor false"),
        ],
    )
    def test_a_row_that_cannot_be_graded_is_named(self, folder: Path, facts: dict[str, Any], says: str) -> None:
        row = example()
        row = Example(row.task, row.gold, facts={**row.facts, **facts})
        with pytest.raises(ConfigurationError) as raised:
            BySql(folder, SqlOptions()).check(row)
        assert "'e1'" in raised.value.message and says in raised.value.message

    def test_a_link_out_of_the_folder_is_refused(self, folder: Path) -> None:
        (folder / "link.sql").symlink_to(folder.parent / "secret.sql")
        with pytest.raises(ConfigurationError, match="outside"):
            BySql(folder, SqlOptions()).check(example(db="link.sql"))

    def test_a_dump_cannot_attach_a_file(self, folder: Path) -> None:
        (folder / "bad.sql").write_text(f"ATTACH '{folder}/new.db' AS n; CREATE TABLE n.t (a);")
        with pytest.raises(ConfigurationError, match="too many attached"):
            BySql(folder, SqlOptions()).check(example(db="bad.sql"))
        assert not (folder / "new.db").exists()

    def test_a_set_without_a_folder_is_refused(self, settings: Settings) -> None:
        grader = make_grader("sql(column_order=strict)", GraderContext(settings, None))
        with pytest.raises(ConfigurationError, match="has none"):
            grader.check(example())
