"""Sets from files of one's own: every form reads the same, what is chosen, and errors that name file, row and field."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from phronesis.bench.dataset import DataSet
from phronesis.bench.sets.load import load_set
from phronesis.bench.sets.request import SetRequest
from phronesis.core.errors import ConfigurationError, SetupError
from phronesis.core.settings import Settings, load_settings
from privileges import permissions_hold

ROWS = [
    {"id": "a", "question": "1 + 1, in short?", "gold": "2", "level": "easy", "page": "p1"},
    {"id": "b", "question": 'say "two",\nthen three', "gold": "3", "level": "hard", "page": "p1"},
    {"id": "c", "question": "quatre, en été?", "gold": "4", "level": "easy", "page": "p2"},
    {"id": "d", "question": "five?", "gold": "5", "level": "hard", "page": "p2"},
]


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def csv(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> Path:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    path.write_text("\n".join(delimiter.join(map(quoted, line)) for line in lines), encoding="utf-8-sig")
    return path


def table(path: Path, rows: list[dict[str, Any]]) -> Path:
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def plain(path: Path, rows: list[Any]) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def ids(data: DataSet) -> list[str]:
    return [item.task.id for item in data.examples]


class TestForms:
    def test_every_form_holds_the_same_examples(self, tmp_path: Path, settings: Settings) -> None:
        paths = [
            jsonl(tmp_path / "one.jsonl", ROWS),
            plain(tmp_path / "two.json", ROWS),
            csv(tmp_path / "three.csv", ROWS),
            csv(tmp_path / "four.tsv", ROWS, "\t"),
            table(tmp_path / "five.parquet", ROWS),
        ]
        digests = {load_set(SetRequest(spec=str(path)), settings).digest for path in paths}
        assert len(digests) == 1
        data = load_set(SetRequest(spec=str(paths[2])), settings)
        assert data.examples[1].task.question == 'say "two",\nthen three' and data.folder == tmp_path

    def test_an_object_with_one_list_in_it(self, tmp_path: Path, settings: Settings) -> None:
        path = tmp_path / "bbh.json"
        path.write_text(json.dumps({"about": "text", "examples": ROWS}), encoding="utf-8")
        assert ids(load_set(SetRequest(spec=str(path)), settings)) == ["a", "b", "c", "d"]

    @pytest.mark.parametrize(
        ("there", "taken"),
        [
            (("dev.jsonl", "test.jsonl", "x.csv"), "dev.jsonl"),
            (("test.jsonl", "x.jsonl"), "test.jsonl"),
            (("x.jsonl", "README.md"), "x.jsonl"),
        ],
    )
    def test_the_file_of_a_folder(self, tmp_path: Path, settings: Settings, there: tuple[str, ...], taken: str) -> None:
        for name in there:
            jsonl(tmp_path / name, [{"question": "q", "gold": "1", "id": name}])
        assert ids(load_set(SetRequest(spec=str(tmp_path)), settings)) == [taken]

    def test_a_folder_may_be_called_anything(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("mine", "mine(1)"):
            jsonl(tmp_path / name / "dev.jsonl", ROWS)
            assert len(load_set(SetRequest(spec=name), load_settings()).examples) == 4

    def test_whole_numbers_of_any_size_stay_exact(self, tmp_path: Path, settings: Settings) -> None:
        big = 2**70 + 1
        data = load_set(SetRequest(spec=str(jsonl(tmp_path / "d.jsonl", [{**ROWS[0], "n": big}]))), settings)
        other = load_set(SetRequest(spec=str(jsonl(tmp_path / "e.jsonl", [{**ROWS[0], "n": big + 1}]))), settings)
        assert data.examples[0].facts["n"] == big and data.digest != other.digest

    def test_parquet_values_that_json_lacks_are_no_trouble(self, tmp_path: Path, settings: Settings) -> None:
        path = table(tmp_path / "d.parquet", [{**ROWS[0], "price": Decimal("1.50"), "tags": ["x", "y"], "none": None}])
        data = load_set(SetRequest(spec=str(path), where={"price": ("1.50",)}), settings)
        assert data.digest == load_set(SetRequest(spec=str(path)), settings).digest
        assert "none" not in data.examples[0].facts


class TestColumns:
    def test_a_mapping_names_every_field(self, tmp_path: Path, settings: Settings) -> None:
        row = {
            "prompt": "q",
            "label": 7,
            "key": "k1",
            "story": "long ago",
            "kind": "number",
            "level": 3,
            "page": "p",
            "by": "exact",
        }
        columns = {"question": "prompt", "gold": "label", "id": "key", "context": "story", "answer_format": "kind"}
        columns |= {"group": "level", "cluster": "page", "grader": "by"}
        path = jsonl(tmp_path / "d.jsonl", [row])
        (found,) = load_set(SetRequest(spec=str(path), columns=columns), settings).examples
        assert (found.task.id, found.task.context, found.task.answer_format) == ("k1", "long ago", "number")
        assert (found.gold, found.group, found.cluster, found.grader) == ("7", "3", "p", "exact")
        assert found.task.question == "long ago\n\nq"

    @pytest.mark.parametrize("name", ["gold", "answer", "target", "label"])
    def test_the_gold_answer_is_guessed(self, tmp_path: Path, settings: Settings, name: str) -> None:
        path = jsonl(tmp_path / "d.jsonl", [{"question": "q", name: 0}])
        assert load_set(SetRequest(spec=str(path)), settings).examples[0].gold == "0"

    def test_a_mapped_column_wins_over_a_column_of_that_name(self, tmp_path: Path, settings: Settings) -> None:
        path = jsonl(tmp_path / "d.jsonl", [{"question": "no", "gold": "no", "asked": "yes?", "right": "yes"}])
        columns = {"question": "asked", "gold": "right"}
        (found,) = load_set(SetRequest(spec=str(path), columns=columns), settings).examples
        assert (found.task.question, found.gold) == ("yes?", "yes")

    def test_lists_and_truth_values_as_gold(self, tmp_path: Path, settings: Settings) -> None:
        path = jsonl(tmp_path / "d.jsonl", [{"question": "q", "gold": ["x", "y"]}, {"question": "r", "gold": False}])
        first, second = load_set(SetRequest(spec=str(path)), settings).examples
        assert (first.gold, first.facts["aliases"], second.gold) == ("x", ["x", "y"], "no")

    def test_an_object_of_facts_is_what_the_grader_reads(self, tmp_path: Path, settings: Settings) -> None:
        path = jsonl(tmp_path / "d.jsonl", [{"question": "q", "gold": "1", "facts": {"target": 3}, "other": 1}])
        assert dict(load_set(SetRequest(spec=str(path)), settings).examples[0].facts) == {"target": 3}

    def test_the_grader_asked_for_is_every_row_s(self, tmp_path: Path, settings: Settings) -> None:
        path = jsonl(tmp_path / "d.jsonl", [{**row, "grader": "qa"} for row in ROWS])
        assert {item.grader for item in load_set(SetRequest(spec=str(path), grader="answer"), settings).examples} == {
            "answer"
        }


class TestChoosing:
    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        rows = [
            {"id": number, "question": "q", "gold": number, "level": number % 3, "even": number % 2 == 0}
            for number in range(30)
        ]
        return str(jsonl(tmp_path / "d.jsonl", rows))

    def test_where_compares_raw_fields_as_text(self, path: str, settings: Settings) -> None:
        found = load_set(SetRequest(spec=path, where={"level": ("1", "2"), "even": ("true",)}), settings)
        assert ids(found) == [str(n) for n in range(30) if n % 3 in (1, 2) and n % 2 == 0]

    def test_a_sample_keeps_the_order_and_follows_its_seed(self, path: str, settings: Settings) -> None:
        first, again, other = (ids(load_set(SetRequest(spec=path, sample=8, seed=s), settings)) for s in (1, 1, 2))
        assert first == again != other and first == sorted(first, key=int) and len(first) == 8

    def test_a_shuffle_comes_before_the_limit_and_after_the_sample(self, path: str, settings: Settings) -> None:
        whole = ids(load_set(SetRequest(spec=path, sample=10, seed=1), settings))
        shuffled = ids(load_set(SetRequest(spec=path, sample=10, seed=1, shuffle=5), settings))
        assert sorted(shuffled) == sorted(whole) and shuffled != whole
        assert ids(load_set(SetRequest(spec=path, sample=10, seed=1, shuffle=5, limit=4), settings)) == shuffled[:4]
        assert ids(load_set(SetRequest(spec=path, sample=10, seed=1, shuffle=6), settings)) != shuffled

    def test_rows_that_are_not_chosen_are_not_looked_into(self, tmp_path: Path, settings: Settings) -> None:
        path = jsonl(tmp_path / "d.jsonl", [ROWS[0], {"question": "no gold"}])
        assert len(load_set(SetRequest(spec=str(path), limit=1), settings).examples) == 1

    def test_faults(self, path: str, settings: Settings) -> None:
        with pytest.raises(ConfigurationError, match=r"no row has the field 'levle'.*\n.*did you mean 'level'"):
            load_set(SetRequest(spec=path, where={"levle": ("1",)}), settings)
        with pytest.raises(ConfigurationError, match=r"no row has level = 7.*\n.*it has 0, 1, 2"):
            load_set(SetRequest(spec=path, where={"level": ("7",)}), settings)


class TestFaults:
    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("d.jsonl", b'{"question": "q", "gold": 1}\n{"question": \n', r"d\.jsonl:2 is not JSON"),
            ("d.jsonl", b"[1]\n", r"d\.jsonl:1 is no object but list"),
            ("d.jsonl", b'{"question": "q", "gold": NaN}\n', r"d\.jsonl:1 is not JSON: NaN"),
            ("d.jsonl", b"\n \n", "holds no row"),
            ("d.jsonl", b'\n{"question": "\xe9"}', r"d\.jsonl:2 is not UTF-8 \(byte 0xe9 at 15\)"),
            ("d.jsonl", '{"question": "q"}'.encode("utf-16"), r"d\.jsonl:1 is not UTF-8 \(byte 0xff at 1\)"),
            ("d.jsonl", b'{"gold": 1, "questoin": "q"}', "neither 'question' nor 'messages'.*\n.*'questoin'"),
            ("d.jsonl", b'{"question": "q"}', r"d\.jsonl:1 has no gold answer \(none of gold, answer"),
            ("d.jsonl", b'{"question": "q", "gold": {}}', r"d\.jsonl:1 has no gold answer"),
            (
                "d.jsonl",
                b'{"question": "", "gold": 1}',
                r"d\.jsonl:1: neither 'question' nor 'messages', or they are empty",
            ),
            ("d.jsonl", b'{"question": "q", "gold": 1, "answer_format": "numb"}', r"d\.jsonl:1: answer_format"),
            ("d.jsonl", b'{"question": "q", "gold": 1, "id": 1}\n' * 2, r":2: the id '1' stands at .*d\.jsonl:1 too"),
            ("d.json", b'{"a": [], "b": []}', "is no JSON list"),
            ("d.json", b'[{"question": "q", "gold": 1}, 2]', r"d\.json, row 2 is no object"),
            ("d.json", b"[", "is not JSON"),
            ("d.csv", b"question,gold\nq,1\nq,1,2\n", r"d\.csv:3 has 3 cells under 2 names"),
            ("d.csv", b"question,gold\nq,\n", r"d\.csv:2 has no gold answer"),
            ("d.csv", b'question,gold\nq,1\n"q"x,1\n', r"d\.csv:3 is malformed"),
            ("d.csv", b'question,gold\n"q,1\n', r"d\.csv:2 is malformed"),
            ("d.csv", b"question,gold,gold\nq,1,2\n", r"d\.csv:1 names two columns 'gold'"),
            ("d.csv", b"question,gold\n\xe9,1\n", "is not UTF-8"),
            ("d.csv", b"question,gold\n", "holds no row"),
            ("d.csv", b"", "holds no row"),
            ("d.parquet", b"PAR1 no", "is no Parquet file"),
            ("d.xlsx", b"x", "is no data file"),
        ],
    )
    def test_a_file_that_cannot_be_read(
        self, tmp_path: Path, settings: Settings, name: str, content: bytes, said: str
    ) -> None:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=said):
            load_set(SetRequest(spec=str(path)), settings)

    def test_a_column_that_is_not_there(self, tmp_path: Path, settings: Settings) -> None:
        path = str(jsonl(tmp_path / "d.jsonl", ROWS))
        with pytest.raises(ConfigurationError, match=r"no column 'levl' for 'group'.*\n.*did you mean 'level'"):
            load_set(SetRequest(spec=path, columns={"group": "levl"}), settings)
        with pytest.raises(ConfigurationError, match=r"no field 'questn'.*\n.*did you mean 'question'"):
            load_set(SetRequest(spec=path, columns={"questn": "level"}), settings)

    def test_a_mapped_gold_that_a_row_lacks(self, tmp_path: Path, settings: Settings) -> None:
        path = jsonl(
            tmp_path / "d.jsonl", [{"question": "q", "gold": "1", "right": "2"}, {"question": "r", "gold": "1"}]
        )
        with pytest.raises(ConfigurationError, match=r"d\.jsonl:2 has no gold answer \(right = None\)"):
            load_set(SetRequest(spec=str(path), columns={"gold": "right"}), settings)

    def test_folders(self, tmp_path: Path, settings: Settings) -> None:
        with pytest.raises(ConfigurationError, match="holds no data file"):
            load_set(SetRequest(spec=str(tmp_path)), settings)
        for name in ("a.csv", "b.jsonl"):
            (tmp_path / name).write_text("x")
        with pytest.raises(ConfigurationError, match=r"several data files: a\.csv, b\.jsonl"):
            load_set(SetRequest(spec=str(tmp_path)), settings)

    def test_a_file_without_rights(self, tmp_path: Path, settings: Settings) -> None:
        path = jsonl(tmp_path / "d.jsonl", ROWS)
        path.chmod(0)
        with permissions_hold(), pytest.raises(ConfigurationError, match="cannot read the data set"):
            load_set(SetRequest(spec=str(path)), settings)

    @pytest.mark.parametrize(("spec", "hint"), [("gsm8", "did you mean 'gsm8k'"), ("x/y.jsonl", "check the path")])
    def test_no_such_set(self, settings: Settings, spec: str, hint: str) -> None:
        with pytest.raises(ConfigurationError, match=f"no data set.*\n.*{hint}"):
            load_set(SetRequest(spec=spec), settings)

    def test_a_file_takes_no_options(self, tmp_path: Path, settings: Settings) -> None:
        path = jsonl(tmp_path / "d.jsonl", ROWS)
        with pytest.raises(ConfigurationError, match="takes no options"):
            load_set(SetRequest(spec=str(path), options={"n": 3}), settings)

    def test_parquet_without_pyarrow(self, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        path = table(tmp_path / "d.parquet", ROWS)
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(SetupError, match=r"pyarrow is not installed\n.*phronesis\[bench\]"):
            load_set(SetRequest(spec=str(path)), settings)
