"""Known sets: where they are looked for, how rows of each shape become examples, and that gold stays out of the task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from phronesis.bench.dataset import DataSet, Example
from phronesis.bench.sets.known import FOR_VERIFIERS, KNOWN
from phronesis.bench.sets.load import load_set
from phronesis.bench.sets.request import SetRequest
from phronesis.core.errors import ConfigurationError
from phronesis.core.settings import Settings, load_settings

GRID, OUTPUT = [[0, 7], [7, 0]], [[3, 3], [3, 8]]
ROWS: dict[str, list[dict[str, Any]]] = {
    "gsm8k": [{"question": "How many?", "answer": "12", "rationale": "SECRET", "n_steps": 2}],
    "gsm8k_train": [{"question": "How many?", "answer": "1200", "rationale": "SECRET", "n_steps": 3}],
    "gsm_symbolic_rg": [{"question": "How many?", "answer": "3", "template": 4, "context": "", "query": "How many?"}],
    "svamp": [{"question": "How many?", "answer": "4", "equation": "SECRET", "type": "Addition"}],
    "math500": [
        {"question": "Simplify.", "answer": "\\frac12", "level": 3, "subject": "Algebra", "solution": "SECRET"}
    ],
    "mmlu_math": [
        {
            "question": "Which?\nThe options are: A)H ∨ (~G ⊃ J) B)x C)(H ∨ ~G) D)5\nYour final answer should be a letter.",
            "answer": "C",
        }
    ],
    "sat_math": [{"question": "Which?\nThe options are: (A)$1$ (B)$2$\nYour final answer is one.", "answer": "B"}],
    "bbh": [
        {"id": "choice", "task": "hyperbaton", "question": "Which?\nOptions:\n(A) this\n(B) that", "answer": "(B)"},
        {
            "id": "letters",
            "task": "colors",
            "question": "Which?\nOptions:\n" + "\n".join(f"({letter}) x" for letter in "ABCDEFGHIJKL"),
            "answer": "(L)",
        },
        {"id": "truth", "task": "boolean_expressions", "question": "not True is", "answer": "False"},
        {"id": "number", "task": "object_counting", "question": "How many?", "answer": "7"},
        {"id": "words", "task": "word_sorting", "question": "Sort: b a", "answer": "a b"},
    ],
    "strategyqa": [{"question": "Is it?", "answer": True, "facts": ["SECRET"], "decomposition": ["SECRET"]}],
    "countdown": [{"numbers": [3, 5, 8], "target": 16, "question": "", "answer": "(3 + 5) + 8", "level": "easy"}],
    "game24": [{"numbers": [1, 2, 2, 6], "rank": 7, "question": "1 2 2 6", "answer": "24", "human_solved": "SECRET"}],
    "equation_balancer": [{"question": "4 ? 6 ? 2 = 16", "answer": "4 + 6 * 2 = 16", "target_value": 16}],
    "reasoning_gym": [
        {"generator": "chain_sum", "level": "easy", "question": "1 + 1 =", "answer": "2", "metadata": {"key": "SECRET"}}
    ],
    "arc_agi1": [
        {
            "split": "training",
            "train": [{"input": GRID, "output": [[1]]}],
            "test": [{"input": [[5]], "output": OUTPUT}, {"input": [[6]], "output": OUTPUT}],
        }
    ],
    "natural_plan_trip": [
        {"question": "Plan.", "answer": {"cities": ["Rome", "Oslo"], "durations": [3, 4]}, "golden_plan": "SECRET"}
    ],
    "natural_plan_meeting": [
        {
            "question": "Meet.",
            "constraints": [["Dock", "9:00AM"]],
            "dist_matrix": {"Dock": {"Hill": 5}},
            "golden_plan": ["SECRET"],
            "num_people": 1,
        }
    ],
    "natural_plan_calendar": [
        {"question": "Meet.", "answer": "Monday, 14:30 - 15:00", "num_people": 3, "num_days": 1, "duration_min": 30}
    ],
    "humaneval": [
        {
            "question": 'def one():\n    """Return one."""\n',
            "entry_point": "one",
            "canonical_solution": "    return len('SECRET') - 5\n",
            "test": "def check(candidate):\n    assert candidate() == 1  # SECRET\n",
            "plus_tests": [{"input": [], "expected": 2**80, "tuple": False}],
            "atol": 0,
        }
    ],
    "mbpp": [
        {
            "question": "Write a function that doubles.",
            "code": "def help_it(x):\n    return x\n\ndef double(x):\n    return 2 * x",
            "test_imports": ["import math"],
            "test_list": ["assert double(1) == 2", "assert double(2) == 4", "assert double(3) == 6"],
        }
    ],
    "hotpotqa": [
        {
            "id": n,
            "question": "Who?",
            "answer": "Ada",
            "type": "bridge",
            "context_pids": ["p1", "p2", "p3"],
            "gold_pids": gold,
        }
        for n, gold in (("a", ["p1", "p2"]), ("b", ["p2", "p3"]), ("c", ["p4"]))
    ],
    "2wikimultihopqa": [
        {"question": "Who?", "answer": "Ada", "type": "inference", "context_pids": ["p1"], "gold_pids": ["p1"]}
    ],
    "musique": [
        {
            "question": "Who?",
            "answer": "Ada",
            "answer_aliases": ["Ada L."],
            "hops": 2,
            "context_pids": ["p1"],
            "gold_pids": ["p1"],
            "decomposition": ["SECRET"],
        }
    ],
    "nq_open": [{"question": "who is it", "answers": ["Ada", "Lady Ada"], "title": "Ada", "context": "It is her."}],
    "bamboogle": [{"question": "When?", "answer": "1815"}],
    "spider_tiny": [
        {
            "id": n,
            "db_id": "pets",
            "question": q,
            "gold_sql": "SELECT name FROM pet",
            "hardness": "easy",
            "ordered": False,
        }
        | {"gold_empty": n == "b"}
        for n, q in (("a", "Which names?"), ("b", "Name the names."))
    ],
    "longmemeval": [
        {
            "question_type": "temporal",
            "question": "When?",
            "answer": "at noon",
            "question_date": None,
            "sessions": [{"date": "2023/05/25", "turns": [{"role": "user", "content": "I rise at 6."}]}],
        }
    ],
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose data folder holds a few rows of every known set."""
    for name, rows in ROWS.items():
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        lines = [json.dumps({"id": f"{name}-{number}", **row}) for number, row in enumerate(rows)]
        (folder / "dev.jsonl").write_text("\n".join(lines))
        pages = [{"pid": f"p{n}", "title": f"Page {n}", "text": f"Text {n}."} for n in range(1, 5)]
        (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, pages)))
    databases = tmp_path / "data" / "spider_tiny" / "databases"
    databases.mkdir()
    dump = 'BEGIN;\nCREATE TABLE "pet" (\n  "name" VARCHAR(20)\n);\nINSERT INTO "pet" VALUES(\'SECRET\');\nCOMMIT;\n'
    (databases / "pets.sql").write_text(dump)
    monkeypatch.setenv("PHRONESIS_DATA", str(tmp_path / "data"))
    return load_settings()


def loaded(spec: str, settings: Settings, **more: Any) -> DataSet:
    return load_set(SetRequest(spec=spec, **more), settings)


def first(spec: str, settings: Settings, **more: Any) -> Example:
    return loaded(spec, settings, **more).examples[0]


class TestEverySet:
    def test_the_rows_of_this_test_cover_the_table(self) -> None:
        assert set(ROWS) == set(KNOWN)

    @pytest.mark.parametrize("name", ROWS)
    def test_loads_twice_to_one_digest_and_hides_what_graders_read(self, here: Settings, name: str) -> None:
        data = loaded(name, here)
        assert len(data.examples) == len(ROWS[name]) and data.digest == loaded(name, here).digest
        assert data.folder == (here.data or Path()) / name
        for item in data.examples:
            assert "SECRET" not in item.task.model_dump_json()
            assert item.gold and item.grader and item.task.answer_format

    @pytest.mark.parametrize("name", ROWS)
    def test_a_row_that_lacks_a_field_is_named(self, here: Settings, name: str) -> None:
        path = (here.data or Path()) / name / "dev.jsonl"
        path.write_text('{"id": "x"}\n')
        with pytest.raises(ConfigurationError, match=r"dev\.jsonl:1: "):
            loaded(name, here)


class TestShapes:
    def test_numbers(self, here: Settings) -> None:
        item = first("gsm8k", here)
        assert (item.grader, item.task.answer_format, item.group, item.gold) == ("answer", "number", "2 steps", "12")
        assert first("gsm_symbolic_rg", here).cluster == "template 4"

    def test_choices_know_their_options(self, here: Settings) -> None:
        assert first("mmlu_math", here).facts["options"] == {"A": "H ∨ (~G ⊃ J)", "B": "x", "C": "(H ∨ ~G)", "D": "5"}
        assert first("sat_math", here).facts["options"] == {"A": "$1$", "B": "$2$"}

    def test_bbh_is_graded_by_the_kind_of_answer(self, here: Settings) -> None:
        found = {item.task.id: item for item in loaded("bbh", here).examples}
        kinds = {name: (item.grader, item.task.answer_format, item.gold) for name, item in found.items()}
        assert kinds == {
            "choice": ("choice", "choice", "B"),
            "letters": ("exact", "text", "(L)"),
            "truth": ("yes_no", "text", "False"),
            "number": ("answer", "number", "7"),
            "words": ("exact", "text", "a b"),
        }
        assert found["letters"].facts == {"aliases": ["(L)", "L"]}
        assert "True or False" in found["truth"].task.question

    def test_puzzles(self, here: Settings) -> None:
        item = first("countdown", here)
        assert dict(item.facts) == {"numbers": [3, 5, 8], "target": 16, "ordered": False} and item.group == "easy"
        assert "16" in item.task.question and "3, 5, 8" in item.task.question
        assert first("game24", here).facts["target"] == 24 and first("game24", here).group == "fifth 1"
        assert dict(first("equation_balancer", here).facts) == {"numbers": [4, 6, 2], "target": 16, "ordered": True}

    def test_arc_strips_the_test_outputs(self, here: Settings) -> None:
        item = first("arc_agi1", here)
        assert dict(item.facts) == {"inputs": [[[5]], [[6]]], "outputs": [OUTPUT, OUTPUT]}
        assert "[[5]]" in item.task.question and "[[3,3],[3,8]]" not in item.task.question.replace(" ", "")

    def test_plans(self, here: Settings) -> None:
        assert first("natural_plan_trip", here).facts["plan"] == [["Rome", 3], ["Oslo", 4]]
        assert set(first("natural_plan_meeting", here).facts) == {"constraints", "dist_matrix", "golden_plan"}
        item = first("natural_plan_calendar", here)
        assert item.facts["slot"] == "Monday, 14:30 - 15:00" and "14:30" not in item.task.question

    def test_humaneval_holds_its_tests_back(self, here: Settings) -> None:
        facts = first("humaneval", here).facts
        assert facts["tests"][0].startswith("def check(candidate)") and facts["entry_point"] == "one"
        assert facts["preamble"].startswith("def one()") and facts["plus_tests"][0]["expected"] == 2**80

    @pytest.mark.parametrize(("spec", "shown"), [("mbpp", 1), ("mbpp(shown=0)", 0), ("mbpp(shown=9)", 2)])
    def test_mbpp_shows_the_asserts_it_does_not_score_by(self, here: Settings, spec: str, shown: int) -> None:
        item = first(spec, here)
        tests = ROWS["mbpp"][0]["test_list"]
        assert item.facts["tests"] == tests[shown:] and item.facts["shown"] == tests[:shown]
        assert [test in item.task.question for test in tests] == [True] * shown + [False] * (3 - shown)
        assert "called double." in item.task.question and item.facts["preamble"] == "import math"

    def test_paragraphs_are_given_gold_or_none(self, here: Settings) -> None:
        texts = {way: first(f"hotpotqa(paragraphs={way})", here).task.context for way in ("given", "gold", "none")}
        assert texts["given"] == "Page 1: Text 1.\n\nPage 2: Text 2.\n\nPage 3: Text 3."
        assert texts["gold"] == "Page 1: Text 1.\n\nPage 2: Text 2." and texts["none"] is None
        assert first("nq_open", here).task.context is None
        assert first("nq_open(paragraphs=gold)", here).task.context == "It is her."

    def test_questions_that_share_a_gold_paragraph_are_a_cluster(self, here: Settings) -> None:
        found = loaded("hotpotqa", here).examples
        assert found[0].cluster == found[1].cluster != "" and found[2].cluster == ""
        assert loaded("hotpotqa", here, limit=1).examples[0] == found[0]

    def test_aliases(self, here: Settings) -> None:
        assert dict(first("musique", here).facts) == {"aliases": ["Ada", "Ada L."], "gold_pids": ["p1"]}
        assert first("nq_open", here).facts["aliases"] == ["Ada", "Lady Ada"]

    def test_missing_paragraphs(self, here: Settings) -> None:
        ((here.data or Path()) / "musique" / "corpus.jsonl").unlink()
        assert loaded("musique(paragraphs=none)", here).examples
        with pytest.raises(ConfigurationError, match=r"no corpus\.jsonl in .*\n.*paragraphs=none"):
            loaded("musique", here)

    def test_spider_shows_the_tables_and_no_rows(self, here: Settings) -> None:
        one, two = loaded("spider_tiny", here).examples
        assert one.task.context == 'CREATE TABLE "pet" (\n  "name" VARCHAR(20)\n);'
        assert one.facts == {"db": "databases/pets.sql", "gold_sql": "SELECT name FROM pet", "ordered": False}
        assert (one.group, two.group) == ("easy", "empty result") and one.cluster == two.cluster
        ((here.data or Path()) / "spider_tiny" / "databases" / "pets.sql").unlink()
        with pytest.raises(ConfigurationError, match="cannot read the database"):
            loaded("spider_tiny", here)

    def test_where_reads_the_rows_as_they_are(self, here: Settings) -> None:
        data = loaded("bbh", here, where={"task": ("word_sorting",)})
        assert [item.task.id for item in data.examples] == ["words"]

    def test_the_grader_can_be_replaced(self, here: Settings) -> None:
        assert first("math500", here).grader == "latex" and first("math500", here, grader="exact").grader == "exact"


class TestRefused:
    @pytest.mark.parametrize("name", FOR_VERIFIERS)
    def test_sets_for_verifiers_say_what_they_are_for(self, here: Settings, name: str) -> None:
        with pytest.raises(ConfigurationError, match=f"{name} holds .* it tests"):
            loaded(name, here)

    def test_columns_of_a_known_set(self, here: Settings) -> None:
        with pytest.raises(ConfigurationError, match="the columns of 'gsm8k' are known"):
            loaded("gsm8k", here, columns={"gold": "answer"})

    def test_options(self, here: Settings) -> None:
        with pytest.raises(ConfigurationError, match=r"no option 'show'.*\n.*'shown'"):
            loaded("mbpp(show=1)", here)
        with pytest.raises(ConfigurationError, match="both set shown"):
            loaded("mbpp(shown=1)", here, options={"shown": 2})
        assert first("mbpp", here, options={"shown": 2}).facts["shown"] == ROWS["mbpp"][0]["test_list"][:2]

    def test_data_that_are_nowhere(self, settings: Settings, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"PHRONESIS_DATA is not set\n.*svamp/dev\.jsonl"):
            loaded("svamp", settings)
        with pytest.raises(ConfigurationError, match=r"or generate one: countdown\(n=40\)"):
            loaded("countdown", settings)
        with pytest.raises(ConfigurationError, match=r"no folder 'svamp' in "):
            loaded("svamp", settings.model_copy(update={"data": tmp_path}))
        with pytest.raises(ConfigurationError, match=r"the hub gives no openai/gsm8k"):
            loaded("gsm8k", settings)

    def test_the_hub_s_package_is_missing(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(ConfigurationError, match=r"huggingface_hub is not installed .*\n.*set PHRONESIS_DATA"):
            loaded("gsm8k", settings)


HUB_ROW = {"question": "How many?", "answer": "It is <<6*200=1200>>1,200.\n#### 1,200"}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """A loopback hub that has one file; its address."""
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "hub.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([HUB_ROW]), path)
    content = path.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            there = self.path == "/datasets/openai/gsm8k/resolve/main/main/test-00000-of-00001.parquet"
            self.send_response(200 if there else 404)
            self.send_header("ETag", '"abc"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_hub_is_asked_once_and_what_it_gave_is_kept(hub: str, home: Path) -> None:
    def shown(**more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "phronesis", "bench", "sets", "show", "gsm8k", "--json"]
        return subprocess.run(command, env={**os.environ, **more}, capture_output=True, text=True, check=False)

    online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub, "HF_HUB_DISABLE_XET": "1"}
    fetched = shown(**online)
    assert fetched.returncode == 0, fetched.stderr
    (row,) = json.loads(fetched.stdout)
    assert (row["id"], row["gold"], row["group"]) == ("gsm8k-test-0", "1200", "1 steps")
    assert (home / "data" / "gsm8k").is_dir()
    assert shown(HF_HUB_OFFLINE="1").stdout == fetched.stdout
