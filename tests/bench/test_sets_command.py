"""``phronesis bench sets`` as a user meets it, and generated sets in ``bench run``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from phronesis.bench.sets.load import load_set
from phronesis.bench.sets.request import SetRequest
from phronesis.core.settings import Settings


def ran(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "phronesis", "bench", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_list_says_where_each_set_would_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "svamp").mkdir()
    monkeypatch.setenv("PHRONESIS_DATA", str(tmp_path))
    rows = {(row["name"], row["kind"]): row for row in json.loads(ran("sets", "list", "--json").stdout)}
    assert rows["svamp", "known"]["from"] == str(tmp_path / "svamp")
    assert rows["math500", "known"]["from"] == "hub" and rows["bbh", "known"]["from"] == ""
    assert rows["countdown", "known"] != rows["countdown", "generator"]
    assert rows["chains", "generator"]["options"] == {"n": 40, "steps": [4], "seed": 0, "kind": "mixed"}
    assert "not here: set PHRONESIS_DATA" in ran("sets", "list").stdout


def test_show_prints_what_a_strategy_sees_and_then_the_gold(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("prompt,label,level\nOne and one?,2,easy\n\x1b[31mTwo?,3,hard\n")
    done = ran(
        "sets", "show", str(path), "--column", "question=prompt", "--column", "gold=label", "--where", "level=easy"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("One and one?") < done.stdout.index("gold: 2") and "Two?" not in done.stdout
    whole = ran("sets", "show", str(path), "--column", "question=prompt", "--format", "number")
    assert "\x1b" not in whole.stdout and "format: number  grader: answer" in whole.stdout


@pytest.mark.parametrize("options", [(), ("--sample", "3", "--seed", "2", "--shuffle", "1")])
def test_made_files_are_read_back_to_the_same_digest(
    tmp_path: Path, settings: Settings, options: tuple[str, ...]
) -> None:
    out = tmp_path / "made" / "set.jsonl"
    done = ran("sets", "make", "countdown(n=5, numbers=3)", "--out", str(out), *options, "--json")
    told = json.loads(done.stdout)
    data = load_set(SetRequest(spec=str(out)), settings)
    assert told == {"file": str(out), "rows": len(data.examples), "digest": data.digest}
    assert len(data.examples) == (3 if options else 5)


def test_a_selection_of_one_s_own_rows_keeps_its_digest(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "own.jsonl"
    rows = [{"id": n, "question": f"q{n}", "answer": n, "big": 2**70, "messages": None} for n in range(4)]
    path.write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "out.jsonl"
    assert ran("sets", "make", str(path), "--limit", "3", "--grader", "exact", "--out", str(out)).returncode == 0
    first = load_set(SetRequest(spec=str(path), limit=3, grader="exact"), settings)
    assert load_set(SetRequest(spec=str(out)), settings).digest == first.digest


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "gsm8kk"), "did you mean 'gsm8k'"),
        (("show", "chains", "--where", "steps"), "is not FIELD=VALUE"),
        (("show", "chains", "--format", "numbr"), "--format 'numbr'"),
        (("show", "processbench"), "it tests verifiers"),
        (("make", "chains", "--out", "/dev/null/x.jsonl"), "choose another --out"),
    ],
)
def test_wrong_usage_ends_with_two(words: tuple[str, ...], said: str) -> None:
    done = ran("sets", *words)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_a_generated_set_in_a_bench(tmp_path: Path) -> None:
    words = (
        "run",
        "--recipe",
        "direct",
        "--dataset",
        "chains(n=3, steps=2)",
        "--out",
        str(tmp_path / "b"),
        "--dry-run",
    )
    done = ran(*words)
    assert done.returncode == 0 and "3 questions" in done.stdout
