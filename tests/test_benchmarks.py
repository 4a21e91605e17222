"""The benchmark scripts: page and drawing are those of the saved figures, a run measures what it says, a peer that cannot be
had is named. No figure is judged here: timings are for people to read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
"""The scripts import what lies beside them."""
RESULTS = sorted((BENCHMARKS / "results").glob("*.json"))


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A benchmark run as ``make bench`` runs it."""
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=ENVIRONMENT)


def inside(code: str) -> Any:
    """What an expression gives to somebody who writes it in benchmarks/."""
    text = f"import json, sys\nsys.path.insert(0, {str(BENCHMARKS)!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stdout)


def test_page_and_drawing_are_those_of_the_saved_figures() -> None:
    fresh = inside(
        "from tables import *\nruns = load()\n"
        "print(json.dumps([renewed(PAGE.read_text(), runs), drawn(runs['overhead']['rows'])]))"
    )
    page, drawing = (ROOT / "docs" / name for name in ("performance.md", "overhead.svg"))
    assert page.read_text(encoding="utf-8") == fresh[0], "stale: python benchmarks/tables.py"
    assert drawing.read_text(encoding="utf-8") == fresh[1], "stale: python benchmarks/tables.py"


@pytest.mark.parametrize("file", RESULTS, ids=[file.stem for file in RESULTS])
def test_saved_figures_say_where_they_come_from_and_name_no_folder(file: Path) -> None:
    saved = json.loads(file.read_text(encoding="utf-8"))
    assert saved["rows"] and saved["date"] and saved["cpu"] and saved["versions"]["phronesis"]
    text = file.read_text(encoding="utf-8")
    assert not [word for word in ('"/', " /", "site-packages", "://") if word in text]


def test_a_run_measures_calls_and_peak() -> None:
    done = script("overhead", "--quick", "--no-peers", "--only", "best_of_8", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["subject"]: row for row in json.loads(done.stdout)["rows"]}
    floor = rows.pop("aiohttp post")
    assert (floor["calls"], floor["requests"], floor["peak"], floor["over_floor"]) == (16, 16, 8, 1.0)
    (ours,) = rows.values()
    assert ours["ours"] and ours["peak"] >= 1
    assert 0 < ours["cpu_ms"]["low"] <= ours["cpu_ms"]["median"] <= ours["cpu_ms"]["high"]
    assert ours["wall_ms"]["low"] >= 50, "the mock takes its time"


def test_a_peer_that_cannot_be_installed_is_named(tmp_path: Path) -> None:
    home = tmp_path / "a file"
    home.write_text("", encoding="utf-8")
    done = script("overhead", "--quick", "--peers-home", str(home), "--only", "best_of_8", "--json")
    assert done.returncode == 0, done.stderr
    saved = json.loads(done.stdout)
    assert sorted(saved["missing"]) == ["dspy", "inspect_ai", "its_hub", "openai"] and all(saved["missing"].values())
    assert saved["peers"] == {} and saved["rows"]
    assert str(tmp_path) not in done.stdout


def test_imports_are_measured_with_what_they_load() -> None:
    done = script("imports", "--quick", "--no-peers", "--only", "import phronesis,--help", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["target"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["import phronesis"]["packages"] == []
    assert not {"langgraph", "chromadb", "torch"} & set(rows["phronesis --help"]["packages"])
    assert all(row["peak_mb"] > 0 for row in rows.values())


def test_the_memory_is_measured_beside_a_collection_of_the_same_vectors() -> None:
    done = script("memory", "--quick", "--sizes", "300", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["subject"]: row for row in json.loads(done.stdout)["rows"]}
    assert list(rows) == ["phronesis, exact search", "phronesis, Chroma index", "chromadb collection"]
    for row in rows.values():
        assert row["concepts"] == 300 and row["disk_mb"] > 0 and row["open_s"] > 0
        assert 0 < row["search_ms"]["p50"] <= row["search_ms"]["p95"]
        assert 0 < row["add_ms"]["p50"] <= row["add_ms"]["p95"]
    assert rows["phronesis, exact search"]["recall_at_10"] == 1.0
    assert rows["phronesis, Chroma index"]["recall_at_10"] >= 0.99
    assert rows["phronesis, Chroma index"]["build_s"] > 0


def test_knowledge_bases_are_measured_beside_plain_arrays() -> None:
    done = script("knowledge", "--sizes", "50", "--quick", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["subject"]: row for row in json.loads(done.stdout)["rows"]}
    assert len(rows) == 5 and all(row["chunks"] == 50 and row["search_ms"]["p50"] >= 0 for row in rows.values())
    assert rows["phronesis kb, hybrid"]["disk_mb"] > 0
    assert script("knowledge", "--sizes", "5").returncode == 2


def test_the_runner_is_measured_with_its_memory() -> None:
    done = script("runner", "--quick", "--no-peers", "--only", "direct", "--memory", "64", "--json")
    assert done.returncode == 0, done.stderr
    saved = json.loads(done.stdout)
    (row,), (held,) = saved["rows"], saved["memory"]
    assert (row["calls"], row["peak"], saved["failures"]) == (64, 64, [])
    assert 0 < row["per_second"]["low"] <= row["per_second"]["median"]
    assert 0 < held["peak_mb_before"] <= held["peak_mb"]
    assert script("runner", "--memory", "lots").returncode == 2


def test_a_number_of_concepts_that_is_none_is_wrong_usage() -> None:
    for sizes in ("many", "5"):
        done = script("memory", "--sizes", sizes)
        assert done.returncode == 2 and "--sizes" in done.stderr


@pytest.mark.parametrize("name", ["overhead", "imports", "memory", "runner"])
def test_a_word_that_names_nothing_is_wrong_usage(name: str) -> None:
    done = script(name, "--no-peers", "--only", "no such thing")
    assert done.returncode == 2 and "no such thing" in done.stderr


@pytest.mark.parametrize(
    ("measured", "said"), [(0.29, "met"), (0.31, "not met"), (None, "not measured")], ids=["below", "above", "absent"]
)
def test_bars_are_computed_from_the_figures(measured: float | None, said: str) -> None:
    row = {
        "figure": "cpu",
        "reply": "1KB",
        "in_flight": 64,
        "subject": "phronesis client",
        "peer": None,
        "cpu_ms": {"median": measured},
    }
    runs = {"overhead": {"rows": [row] if measured else []}, "imports": {"rows": []}}
    table = inside(f"from tables import bars\nprint(json.dumps(bars({runs!r})))")
    (line,) = [line for line in table.splitlines() if line.startswith("| client, journal included, 1 KB")]
    assert line.split("|")[4].strip().strip("*") == said
