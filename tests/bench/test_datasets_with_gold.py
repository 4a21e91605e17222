"""Data sets with gold answers: what is read, and errors that name the line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phronesis.bench.dataset import read_examples
from phronesis.cli.values import read_tasks
from phronesis.core.errors import ConfigurationError


def written(tmp_path: Path, *rows: Any, name: str = "d.jsonl") -> Path:
    """A file of these lines; values that are no text are written as JSON."""
    path = tmp_path / name
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class TestReading:
    def test_names_of_the_fields(self, tmp_path: Path) -> None:
        path = written(
            tmp_path,
            {"question": "q1", "gold": "1", "answer": "not this", "id": "a"},
            {"question": "q2", "answer": 2, "id": 7},
            {"question": "q3", "target": 0, "answer_format": "choice"},
            {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q4"}], "gold": 4.5},
            {"question": "q5", "gold": "5", "answer": "no", "context": "facts", "id": "b"},
        )
        found = read_examples(path, format="number")
        assert [item.gold for item in found] == ["1", "2", "0", "4.5", "5"]
        assert [item.task.id for item in found][:2] == ["a", "7"] and all(item.task.id for item in found)
        assert [item.task.answer_format for item in found] == ["number", "number", "choice", "number", "number"]
        assert found[3].task.history[0].content == "s"
        assert found[4].task.question == "facts\n\nq5"

    def test_the_limit_counts_examples_and_reads_no_further(self, tmp_path: Path) -> None:
        path = written(tmp_path, {"question": "q1", "gold": "1"}, "", {"question": "q2", "gold": "1"}, "broken")
        assert len(read_examples(path, limit=2)) == 2

    def test_blank_lines_are_no_lines_but_are_counted(self, tmp_path: Path) -> None:
        path = written(tmp_path, "", {"question": "q1", "gold": "1"}, "   ", "{")
        with pytest.raises(ConfigurationError, match=r"d\.jsonl:4 is not JSON"):
            read_examples(path)

    def test_without_an_id_the_same_line_has_the_same_id(self, tmp_path: Path) -> None:
        row = {"question": "q1", "gold": "1"}
        first, second = (read_examples(written(tmp_path, row, name=name))[0] for name in ("a.jsonl", "b.jsonl"))
        assert first == second

    @pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85"])
    def test_a_line_ends_at_a_line_feed_only(self, tmp_path: Path, mark: str) -> None:
        row = {"question": f"one{mark}two", "gold": "1"}
        (found,) = read_examples(written(tmp_path, row))
        assert mark in found.task.question

    def test_a_byte_order_mark_is_passed_over(self, tmp_path: Path) -> None:
        path = tmp_path / "d.jsonl"
        path.write_bytes(b"\xef\xbb\xbf" + b'{"question": "q", "gold": "1"}\n')
        assert len(read_examples(path)) == 1

    @pytest.mark.parametrize("row", [{"question": "q", "gold": "1"}, {"question": "q", "gold": "1", "id": 0}])
    def test_a_bank_made_by_run_has_the_same_ids(self, tmp_path: Path, row: dict[str, Any]) -> None:
        path = written(tmp_path, row)
        tasks, _ = read_tasks(path)
        assert [item.task.id for item in read_examples(path)] == [task.id for task in tasks]

    def test_no_format_of_its_own_is_the_default(self, tmp_path: Path) -> None:
        (found,) = read_examples(
            written(tmp_path, {"question": "q", "gold": "1", "answer_format": None}), format="number"
        )
        assert found.task.answer_format == "number"


class TestErrors:
    @pytest.mark.parametrize(
        ("row", "says"),
        [
            ("{", "JSON"), ("[1]", "object"), ('"text"', "object"), ({"question": "q"}, "gold"),
            ({"question": "q", "gold": None}, "gold"), ({"question": "q", "gold": ""}, "gold"), ({"gold": "1"}, "question"),
            ({"question": "", "gold": "1"}, "question"), ({"question": "   ", "gold": "1"}, "empty"),
            ({"question": 5, "gold": "1"}, ""), ({"messages": [], "gold": "1"}, "messages"),
            ({"messages": [{"role": "assistant", "content": "x"}], "gold": "1"}, "user"),
        ],
    )  # fmt: skip
    def test_each_names_the_line_and_what_is_wrong(self, tmp_path: Path, row: Any, says: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            read_examples(written(tmp_path, {"question": "fine", "gold": "1"}, row))
        assert "d.jsonl:2" in caught.value.message and says in caught.value.message and caught.value.mend

    @pytest.mark.parametrize(
        ("row", "field"),
        [
            ({"messages": [{"role": "boss", "content": "x"}]}, "role"),
            ({"question": "q", "answer_format": "essay"}, "answer_format"), ({"question": "q", "context": 5}, "context"),
        ],
    )  # fmt: skip
    def test_a_field_of_the_wrong_kind_is_named(self, tmp_path: Path, row: dict[str, Any], field: str) -> None:
        with pytest.raises(ConfigurationError, match=rf"d\.jsonl:1.*{field}"):
            read_examples(written(tmp_path, {**row, "gold": "1"}))

    def test_a_file_without_an_example_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="no example"):
            read_examples(written(tmp_path, "", "  "))

    @pytest.mark.parametrize("gold", ["   ", [1, 2], {"value": 5}, True])
    def test_a_gold_answer_is_a_text_or_a_number(self, tmp_path: Path, gold: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"d\.jsonl:1"):
            read_examples(written(tmp_path, {"question": "q", "gold": gold}))

    def test_an_id_twice_names_both_lines(self, tmp_path: Path) -> None:
        path = written(
            tmp_path, {"question": "a", "gold": "1", "id": "x"}, "", {"question": "b", "gold": "2", "id": "x"}
        )
        with pytest.raises(ConfigurationError, match=r"d\.jsonl:3.*'x' stands in line 1"):
            read_examples(path)

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        for name in ("none.jsonl", "."):
            with pytest.raises(ConfigurationError, match="cannot read the data set"):
                read_examples(tmp_path / name)

    def test_bytes_that_are_no_text_name_the_line(self, tmp_path: Path) -> None:
        (tmp_path / "d.jsonl").write_bytes('{"question": "größe", "gold": "1"}'.encode("latin-1"))
        with pytest.raises(ConfigurationError, match=r"d\.jsonl:1"):
            read_examples(tmp_path / "d.jsonl")
