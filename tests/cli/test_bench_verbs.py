"""``bench compare``, ``sweep``, ``suite`` and ``show`` as a user meets them, over a real server on loopback."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from phronesis.cli.main import main
from phronesis.testing import FakeRequest, FakeServer

ROWS = [
    {"id": f"q{n}", "question": f"What is {n} + {n}?", "gold": 2 * n, "answer_format": "number"} for n in range(1, 13)
]


def sometimes(request: FakeRequest, index: int) -> str:
    """Of the samples of a request the first is wrong where the number is odd, all others are right. Two tokens."""
    number = int(request.user.split("What is ")[1].split(" ")[0])
    return f"So \\boxed{{{2 * number + (index == 0 and number % 2)}}}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(sometimes) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return written(tmp_path / "sums.jsonl", ROWS)


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def bench(*arguments: str | Path) -> Done:
    """The command as ``main`` carries it out, in this process."""
    words, code = sys.argv, 0
    sys.argv = ["phronesis", "bench", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.argv = words
    return Done(code, out.getvalue(), err.getvalue())


def said(*arguments: str | Path, code: int = 0) -> Any:
    done = bench(*arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def ran(out: Path, data: Path, *arguments: str) -> Path:
    done = bench("run", *arguments, "--dataset", data, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


ONE, THREE = ("--recipe", "one=self_consistency", "--set", "knobs.k=1"), ("--recipe", "three=self_consistency")


class TestCompare:
    def test_two_folders_by_hand(self, server: FakeServer, data: Path, tmp_path: Path) -> None:
        """One sample is right on the 6 even numbers; of three samples two are right, so the vote is, on all 12."""
        one = ran(tmp_path / "narrow", data, *ONE)
        three = ran(tmp_path / "wide", data, *THREE, "--set", "knobs.k=3")
        table = tmp_path / "table.md"
        (found,) = said("compare", one, three, "--markdown", table)["sets"]
        assert found["baseline"] == "one" and [row["accuracy"][0] for row in found["arms"]] == [0.5, 1.0]
        (pair,) = found["pairs"]
        assert (pair["questions"], pair["arm_better"], pair["baseline_better"]) == (12, 6, 0)
        assert pair["difference"][0] == 0.5 and pair["p"] == 2 / 2**6 == pair["p_holm"] == pair["mcnemar_p"]
        assert pair["tokens_ratio"] == [3.0, 3.0, 3.0] and pair["claims"]
        assert any("three does better on questions like these" in line for line in found["said"])
        assert any("One draw only of one, three" in line for line in found["said"])
        assert "| three - one | 12 | +50.0" in table.read_text(encoding="utf-8")
        plain = bench("compare", three, one, "--baseline", "three", "--set", "sums")
        assert plain.returncode == 0 and "one - three" in plain.stdout and "-50.0" in plain.stdout

    def test_repeats_show_the_spread_of_draws(self, server: FakeServer, data: Path, tmp_path: Path) -> None:
        out = ran(tmp_path / "b", data, "--recipe", "direct", "--recipe", "self_consistency", "--repeats", "3")
        (found,) = said("compare", out)["sets"]
        assert [row["spread"] for row in found["repeats"]] == [0.0, 0.0]
        assert found["pairs"][0]["mcnemar_p"] is None and not any("One draw" in line for line in found["said"])

    def test_other_questions_are_refused(self, server: FakeServer, data: Path, tmp_path: Path) -> None:
        one = ran(tmp_path / "a", data, *ONE, "--limit", "3")
        two = ran(tmp_path / "b", data, *THREE, "--limit", "4")
        done = bench("compare", one, two)
        assert done.returncode == 2 and "limit 3 and 4" in done.stderr and "Traceback" not in done.stderr

    def test_what_cannot_be_compared_is_named(self, server: FakeServer, data: Path, tmp_path: Path) -> None:
        out = ran(tmp_path / "b", data, *ONE)
        for arguments, message in (
            ((out,), "there is only the arm 'one'"),
            ((out, "--baseline", "eno"), "choose one of one"),
            ((tmp_path,), "is no bench folder"),
            ((out, "--set", "smus"), "choose one of sums"),
            ((), "Missing argument"),
        ):
            done = bench("compare", *arguments)
            assert done.returncode == 2 and message in done.stderr, done.stderr

    def test_no_common_question_is_exit_code_1(self, server: FakeServer, data: Path, tmp_path: Path) -> None:
        out = ran(tmp_path / "b", data, *ONE)
        ran(out, data, *THREE)
        lines = (out / "items.jsonl").read_text().splitlines()
        kept = [line for line in lines if ('"arm":"one"' in line) == ('"task":"q1"' in line)]
        (out / "items.jsonl").write_text("\n".join(kept) + "\n")
        (found,) = said("compare", out, code=1)["sets"]
        assert found["pairs"][0]["questions"] == 0 and "nothing can be compared" in found["said"][0]


class TestSweep:
    def test_the_widest_arm_is_paid_and_the_front_is_by_hand(
        self, server: FakeServer, data: Path, tmp_path: Path
    ) -> None:
        """Accuracy 1/2, 1/2 and 1 at 2, 4 and 6 tokens: a tie of two goes to the first answer."""
        arguments = ("sweep", "self_consistency", "--set", "knobs.k=1,2,3", "--dataset", data, "--out", tmp_path / "s")
        found = said(*arguments)
        assert server.calls == 3 * 12
        assert [(row["arm"], row["paid_calls"]) for row in found["arms"]] == [("k-1", 0.0), ("k-2", 0.0), ("k-3", 3.0)]
        tokens = found["fronts"][0]
        assert [(row["arm"], row["tokens"], row["accuracy"], row["dominated_by"]) for row in tokens["rows"]] == [
            ("k-1", 2.0, 0.5, None),
            ("k-2", 4.0, 0.5, "k-1"),
            ("k-3", 6.0, 1.0, None),
        ]
        plain = bench(*arguments)
        assert "dominated by k-1" in plain.stdout and server.calls == 3 * 12, "the second time nothing is asked"

    def test_further_values_add_arms_and_pay_for_what_is_new(
        self, server: FakeServer, data: Path, tmp_path: Path
    ) -> None:
        arguments = ("--dataset", data, "--out", tmp_path / "s")
        said("sweep", "self_consistency", "--set", "knobs.k=1,3", *arguments)
        found = said("sweep", "self_consistency", "--set", "knobs.k=2,5", *arguments)
        assert [row["arm"] for row in found["arms"]] == ["k-1", "k-3", "k-2", "k-5"] and server.calls == 5 * 12

    def test_without_sharing_every_arm_is_paid(self, server: FakeServer, data: Path, tmp_path: Path) -> None:
        said(
            "sweep",
            "self_consistency",
            "--set",
            "knobs.k=1,3",
            "--no-share",
            "--dataset",
            data,
            "--out",
            tmp_path / "s",
        )
        assert server.calls == (1 + 3) * 12

    def test_a_dry_run_spends_nothing(self, server: FakeServer, data: Path, tmp_path: Path) -> None:
        rows = said(
            "sweep", "best_of_n", "--set", "knobs.n=2,4", "--dry-run", "--dataset", data, "--out", tmp_path / "s"
        )
        assert [(row["arm"], row["calls"], row["bank"]) for row in rows] == [
            ("n-2", [24, 24], "n-4"),
            ("n-4", [48, 48], ""),
        ]
        assert server.requests == 0 and not (tmp_path / "s").exists()

    def test_a_changed_recipe_under_the_same_name_is_refused(
        self, server: FakeServer, data: Path, tmp_path: Path
    ) -> None:
        arguments = ("sweep", "self_consistency", "--set", "knobs.k=1,2", "--dataset", data, "--out", tmp_path / "s")
        said(*arguments)
        done = bench(*arguments, "--set", "knobs.temperature=0.9")
        assert done.returncode == 2 and "knobs.temperature was 0.7 and is now 0.9" in done.stderr

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (("knobs.k",), "is not KEY=VALUES"),
            (("knobs.k=1,,2",), "empty value"),
            (("knobs.k=1,1",), "the value 1 twice"),
            (("knobs.k=1", "knobs.k=2"), "names knobs.k twice"),
            (("knobs.n=1,2",), "unknown key 'knobs.n'"),
        ],
    )
    def test_wrong_settings_are_named(
        self, server: FakeServer, data: Path, tmp_path: Path, settings: tuple[str, ...], message: str
    ) -> None:
        options = [word for text in settings for word in ("--set", text)]
        done = bench("sweep", "self_consistency", *options, "--dataset", data, "--out", tmp_path / "s")
        assert done.returncode == 2 and message in done.stderr and server.requests == 0, done.stderr


class TestSuites:
    def test_smoke_ends_in_a_report(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with FakeServer() as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            done = bench("suite", "smoke", "--out", tmp_path / "b")
            asked = server.calls
            assert done.returncode == 0, done.stderr
            assert (tmp_path / "b" / "report.html").is_file() and "report.html" in done.stdout
            assert done.stdout.splitlines()[-1].startswith("smoke: everything came out: 30 items, 0 failed")
            found = said("suite", "smoke", "--out", tmp_path / "b")
            assert server.calls == asked == (6 + 4) * 4, "one bank serves every arm, and the second time everything"
        assert {view["set"] for view in found["sets"]} == {"chains", "countdown"}

    def test_core_runs_on_the_users_data(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = [{"id": f"g{n}", "question": f"{n} + 1?", "answer": str(n + 1)} for n in range(3)]
        written(tmp_path / "data/gsm8k/dev.jsonl", plain)
        twins = [
            {"id": f"s{n}", "question": f"{n} + 1?", "answer": str(n + 1), "template": n // 2, "instance": n % 2}
            for n in range(4)
        ]
        written(tmp_path / "data/gsm_symbolic_rg/dev.jsonl", twins)
        with FakeServer() as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            arguments = ("suite", "core", "--data", tmp_path / "data", "--limit", "2", "--out", tmp_path / "b")
            found = said(*arguments)
        rows = {(row["set"], row["arm"]): row for row in found["arms"]}
        assert len(rows) == 14 and all(row["questions"] == 2 and row["calls"] <= 8 for row in rows.values())
        assert all(
            rows["gsm8k", arm]["paid_calls"] == 0 for arm in ("one_attempt", "self_consistency_8", "best_of_n_8")
        )

    def test_a_set_that_is_not_here_is_a_setup_error(
        self, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written(tmp_path / "data/gsm8k/dev.jsonl", [{"id": "a", "question": "1 + 1?", "answer": "2"}])
        done = bench("suite", "core", "--data", tmp_path / "data", "--out", tmp_path / "b")
        assert done.returncode == 3 and "needs the set 'gsm_symbolic_rg'" in done.stderr and "mend:" in done.stderr
        assert server.requests == 0 and not (tmp_path / "b").exists()

    def test_suites_are_listed_and_unknown_ones_refused(self, tmp_path: Path) -> None:
        rows = {row["name"]: row for row in said("suite", "list")}
        assert {"smoke", "core"} <= set(rows) and "magicore" in rows["core"]["arms"]
        assert "smoke: " in bench("suite", "list").stdout
        for arguments, message in (
            (("smok", "--out", "b"), "there is no suite 'smok'"),
            (("smoke",), "needs a folder"),
        ):
            done = bench("suite", *arguments)
            assert done.returncode == 2 and message in done.stderr


class TestShow:
    def test_items_one_by_one_with_the_way_to_their_journals(
        self, server: FakeServer, data: Path, tmp_path: Path
    ) -> None:
        out = ran(tmp_path / "my bench", data, *ONE)
        done = bench("show", out, "--arm", "one", "--wrong", "--limit", "1")
        assert done.returncode == 0 and "6 items, 5 not shown" in done.stdout
        assert "question  What is 1 + 1?" in done.stdout and "gold      2" in done.stdout
        assert "answer    3" in done.stdout and "1 call (1 paid), 2 tokens" in done.stdout
        command = next(line for line in done.stdout.splitlines() if "journal" in line).partition("journal")[2]
        words = command.replace("phronesis runs", f"'{sys.executable}' -m phronesis runs")
        shown = subprocess.run(["sh", "-c", words], capture_output=True, text=True, timeout=60, check=False)
        assert shown.returncode == 0 and "q1" in shown.stdout, shown.stderr
        (row,) = said("show", out, "--task", "q2")
        assert row["correct"] and row["question"] == "What is 2 + 2?" and row["total_tokens"] == 2

    def test_what_is_not_there_is_named(self, server: FakeServer, data: Path, tmp_path: Path) -> None:
        out = ran(tmp_path / "b", data, *ONE)
        for arguments, message in (
            ((out, "--arm", "two"), "no item has the arm 'two'"),
            ((out, "--task", "q"), "no item has the question 'q'"),
            ((out, "--set", "x"), "choose among sums"),
            ((tmp_path,), "is no bench folder"),
        ):
            done = bench("show", *arguments)
            assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr, done.stderr
