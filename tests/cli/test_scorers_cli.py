"""``phronesis scorers`` as a user meets it: list, test, fit; exit codes, resumes, what is said when something is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from phronesis.cli.main import main
from phronesis.core.journal import FILE_NAME
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

Phronesis = Callable[..., tuple[int, str, str]]
REFUSED = Fault(status=400, message="scripted refusal")
GOLD = [
    {"question": f"What is {number} + {number}?", "gold": f"{2 * number}", "id": f"q{number}"} for number in range(1, 5)
]


@pytest.fixture
def phronesis(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Phronesis:
    """Calls ``phronesis scorers``, or another command; returns exit code, output and messages."""

    def call(*arguments: str, command: str = "scorers") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["phronesis", command, *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def number_of(request: FakeRequest) -> int:
    return int(request.user.split("What is ")[1].split(" ")[0])


def agents(request: FakeRequest, index: int) -> FakeReply | str:
    """Chains are right at every other index, surer when right; on one question in four all are; the verifier sees all."""
    number = number_of(request)
    if "Proposed solution" in request.user:
        likes, error = f"boxed{{{2 * number}}}" in request.user, "may hold an error" in request.user
        return f"Verdict: {'Yes' if likes != error else 'No'}"
    if request.prefill:
        return f"    return {number} * 2"
    right = index % 2 == number % 2 or number % 4 == 0
    value = 2 * number if right else 2 * number + 1
    return FakeReply(f"{number} + {number} = {value}. So \\boxed{{{value}}}.", logprob=-0.1 if right else -0.9)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(agents) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return written(tmp_path / "gold.jsonl", GOLD)


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def journals(home: Path) -> list[Path]:
    return sorted((home / "runs").glob(f"*/{FILE_NAME}"))


class TestList:
    def test_every_scorer_is_listed(self, phronesis: Phronesis) -> None:
        code, out, _ = phronesis("list", "--json")
        rows = json.loads(out)
        assert code == 0
        assert {"judge", "generative", "signals", "combined", "pairwise", "arithmetic"} <= {row["name"] for row in rows}
        (generative,) = (row for row in rows if row["name"] == "generative")
        assert generative["judges"] == "outcome" and generative["calls"]["attempt"] == 4
        assert generative["options"]["votes"] == 2 and generative["tests"] == []
        code, out, _ = phronesis("list")
        assert code == 0 and all(row["name"] in out and row["summary"] in out for row in rows)

    def test_what_was_tested_is_shown(self, phronesis: Phronesis, server: FakeServer, dataset: Path) -> None:
        phronesis("test", "--dataset", str(dataset), "self_certainty", "generative(votes=1)")
        rows = {row["name"]: row for row in json.loads(phronesis("list", "--json")[1])}
        (record,) = rows["generative"]["tests"]
        assert record["scorer"] == "generative(votes=1)" and record["model"] == "fake" and record["auroc"] == 1.0
        assert record["format"] == "number" and not record["at_chance"]
        assert "AUROC" in phronesis("list")[1] and "1.00" in phronesis("list")[1]


class TestTest:
    def test_a_new_bank_is_recorded_and_scored(
        self, phronesis: Phronesis, server: FakeServer, dataset: Path, home: Path
    ) -> None:
        arguments = (
            "test",
            "--dataset",
            str(dataset),
            "--json",
            "self_certainty",
            "generative(votes=1)",
            "execution(programs=1)",
        )
        code, out, err = phronesis(*arguments)
        data = json.loads(out)
        assert code == 0
        assert (data["questions"], data["attempts"], data["model"]) == (4, 16, "fake")
        assert f"--bank {data['bank']}" in err
        assert {path.parent.name for path in journals(home)} == {data["bank"], data["scores"]}
        certain, judged, run = data["scorers"]
        assert certain["within"][0] == judged["within"][0] == run["within"][0] == 1.0 and not certain["at_chance"]
        assert (certain["calls"], judged["calls"], run["calls"]) == (0.0, 2.0, 0.25)
        assert server.calls == 16 + 32 + 4
        assert data["baselines"]["one attempt"][0] == pytest.approx(0.625)
        assert data["baselines"]["any right"][0] == 1.0

    def test_the_table(self, phronesis: Phronesis, server: FakeServer, dataset: Path) -> None:
        code, out, _ = phronesis("test", "--dataset", str(dataset), "self_certainty", "arithmetic")
        assert code == 0 and "4 questions, 16 attempts of fake" in out
        assert "self_certainty" in out and "arithmetic" in out and "majority" in out

    def test_a_bank_is_used_again_without_drawing(
        self, phronesis: Phronesis, server: FakeServer, dataset: Path
    ) -> None:
        first = json.loads(phronesis("test", "--dataset", str(dataset), "--json", "self_certainty")[1])
        drawn = server.calls
        code, out, _ = phronesis(
            "test", "--dataset", str(dataset), "--bank", first["bank"], "--json", "generative(votes=1)"
        )
        second = json.loads(out)
        assert code == 0 and second["bank"] == first["bank"] and second["scores"] != first["scores"]
        assert server.calls - drawn == 32

    def test_a_part_of_a_bank(self, phronesis: Phronesis, server: FakeServer, dataset: Path) -> None:
        first = json.loads(phronesis("test", "--dataset", str(dataset), "--json", "self_certainty")[1])
        drawn = server.calls
        arguments = (
            "--dataset",
            str(dataset),
            "--bank",
            first["bank"],
            "--limit",
            "2",
            "--json",
            "generative(votes=1)",
        )
        data = json.loads(phronesis("test", *arguments)[1])
        assert (data["questions"], data["attempts"], server.calls - drawn) == (2, 8, 16)

    def test_scores_are_reported_again_at_no_cost(
        self, phronesis: Phronesis, server: FakeServer, dataset: Path
    ) -> None:
        first = json.loads(phronesis("test", "--dataset", str(dataset), "--json", "generative(votes=1)")[1])
        paid = server.calls
        code, out, _ = phronesis("test", "--dataset", str(dataset), "--scores", first["scores"], "--json")
        assert code == 0 and json.loads(out) == first and server.calls == paid

    def test_a_bank_made_by_run(self, phronesis: Phronesis, server: FakeServer, tmp_path: Path, home: Path) -> None:
        rows = [{name: row[name] for name in ("question", "gold")} for row in GOLD[:3]]
        dataset = written(tmp_path / "d.jsonl", rows)
        arguments = ("--dataset", str(dataset), "--out", str(tmp_path / "o.jsonl"), "--set", "knobs.k=3")
        assert phronesis("self_consistency", *arguments, command="run")[0] == 0
        (journal,) = journals(home)
        code, out, err = phronesis(
            "test", "--dataset", str(dataset), "--bank", journal.parent.name, "--json", "arithmetic"
        )
        assert code == 0, err
        assert (json.loads(out)["questions"], json.loads(out)["attempts"]) == (3, 9)

    def test_gold_answers_are_compared_by_value(self, phronesis: Phronesis, server: FakeServer, tmp_path: Path) -> None:
        """No line names a format: the recipe's holds, for the grades and for what is remembered of the test."""
        rows = [
            {"question": "What is 500 + 500?", "gold": "1,000.0"},
            {"question": "What is 600 + 600?", "answer": "$1,200"},
        ]
        data = json.loads(
            phronesis("test", "--dataset", str(written(tmp_path / "d.jsonl", rows)), "--json", "judge")[1]
        )
        assert data["baselines"]["any right"][0] == 1.0

    def test_a_scorer_at_chance_is_named_by_later_runs(
        self, phronesis: Phronesis, server: FakeServer, dataset: Path
    ) -> None:
        def evenly_sure(request: FakeRequest, index: int) -> FakeReply:
            made = agents(request, index)
            assert isinstance(made, FakeReply)
            return FakeReply(made.text, logprob=-0.5)

        server.reply = evenly_sure
        data = json.loads(phronesis("test", "--dataset", str(dataset), "--json", "self_certainty")[1])
        assert data["scorers"][0]["at_chance"] and data["scorers"][0]["within"][0] == 0.5
        knobs = ("knobs.k=2", "knobs.rounds=0", 'knobs.outcome="self_certainty"')
        sets = (part for knob in knobs for part in ("--set", knob))
        result = json.loads(phronesis("magicore", "--json", *sets, "What is 1 + 1?", command="run")[1])
        assert any("self_certainty ranks no better than chance" in text for text in result["degraded"])


class TestDryRun:
    def test_nothing_is_asked(self, phronesis: Phronesis, server: FakeServer, dataset: Path, home: Path) -> None:
        code, out, _ = phronesis(
            "test",
            "--dataset",
            str(dataset),
            "--samples",
            "3",
            "--dry-run",
            "generative(votes=1)",
            "pairwise",
            "arithmetic",
        )
        assert code == 0 and server.requests == 0 and journals(home) == []
        assert "4 questions" in out and "generative(votes=1): at most 24 calls" in out
        assert "pairwise: at most 48 calls" in out and "arithmetic: at most 0 calls" in out

    def test_the_attempts_of_the_bank_count(self, phronesis: Phronesis, server: FakeServer, dataset: Path) -> None:
        bank = json.loads(phronesis("test", "--dataset", str(dataset), "--samples", "6", "--json", "arithmetic")[1])[
            "bank"
        ]
        code, out, _ = phronesis("test", "--dataset", str(dataset), "--bank", bank, "--dry-run", "generative(votes=1)")
        assert code == 0 and "at most 48 calls" in out

    def test_as_json(self, phronesis: Phronesis, server: FakeServer, dataset: Path) -> None:
        json.loads(phronesis("test", "--dataset", str(dataset), "--dry-run", "--json", "generative(votes=1)")[1])


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("jugde",), "did you mean 'judge'"), (("generative(vote=1)",), "did you mean 'votes'"),
            (("judge(",), "is no scorer"),
            ((), "no scorer is named"), (("judge", "--bank", "nobody"), "no run 'nobody'"),
            (("--scores", "nobody"), "no run 'nobody'"), (("judge", "--recipe", "nobody"), "nobody"),
            (("judge", "--set", "knobs.kk=1"), "did you mean"), (("judge", "--set", "knobs.k"), "KEY=VALUE"),
            (("judge", "--samples", "1"), ""), (("judge", "--limit", "0"), ""), (("judge", "--parallel", "0"), ""),
            (("signals(model=nowhere.toml)",), "nowhere.toml"),
        ],
    )  # fmt: skip
    def test_wrong_usage_is_2_and_names_the_value(
        self, phronesis: Phronesis, server: FakeServer, dataset: Path, home: Path, arguments: tuple[str, ...], says: str
    ) -> None:
        code, out, err = phronesis("test", "--dataset", str(dataset), *arguments)
        assert (code, out) == (2, "") and says in err and "Traceback" not in err
        assert server.calls == 0, "something was paid for a mistake"

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("{", "gold.jsonl:5"), ('{"question": "What is 1 + 1?"}', "has no gold answer"),
            ('{"gold": "1"}', "gold.jsonl:5"),
            ('{"question": "What is 1 + 1?", "gold": "1", "id": "q1"}', "stands in line 1"),
            ('{"question": "What is 1 + 1?", "gold": "one or two"}', "one or two"),
        ],
    )  # fmt: skip
    def test_a_bad_line_is_2_and_named(
        self, phronesis: Phronesis, server: FakeServer, dataset: Path, line: str, says: str
    ) -> None:
        dataset.write_text(dataset.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
        code, _, err = phronesis("test", "--dataset", str(dataset), "self_certainty")
        assert code == 2 and says in err and "Traceback" not in err

    def test_a_gold_answer_that_cannot_be_read_costs_nothing(
        self, phronesis: Phronesis, server: FakeServer, tmp_path: Path
    ) -> None:
        rows = [{"question": "What is 1 + 1?", "gold": "two"}]
        code, _, err = phronesis("test", "--dataset", str(written(tmp_path / "d.jsonl", rows)), "generative(votes=1)")
        assert code == 2 and "'two'" in err and server.calls == 0

    def test_a_data_set_of_other_tasks(
        self, phronesis: Phronesis, server: FakeServer, dataset: Path, tmp_path: Path
    ) -> None:
        bank = json.loads(phronesis("test", "--dataset", str(dataset), "--json", "arithmetic")[1])["bank"]
        other = written(tmp_path / "other.jsonl", [{"question": "What is 9 + 9?", "gold": "18", "id": "elsewhere"}])
        code, _, err = phronesis("test", "--dataset", str(other), "--bank", bank, "arithmetic")
        assert code == 2 and "holds no task of the data set" in err

    def test_a_run_that_scores_no_bank(self, phronesis: Phronesis, server: FakeServer, dataset: Path) -> None:
        bank = json.loads(phronesis("test", "--dataset", str(dataset), "--json", "arithmetic")[1])["bank"]
        code, _, err = phronesis("test", "--dataset", str(dataset), "--scores", bank)
        assert code == 2 and "scores no bank" in err

    def test_a_run_that_never_began(self, phronesis: Phronesis, server: FakeServer, dataset: Path, home: Path) -> None:
        folder = home / "runs" / "20260101-000000-abcdef"
        folder.mkdir(parents=True)
        (folder / FILE_NAME).touch()
        for option, scorers in (("--scores", ()), ("--bank", ("arithmetic",))):
            code, _, err = phronesis("test", "--dataset", str(dataset), option, folder.name, *scorers)
            assert code == 2 and folder.name in err and "Traceback" not in err

    def test_no_server_is_3(self, phronesis: Phronesis, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
        code, _, err = phronesis("test", "--dataset", str(dataset), "self_certainty")
        assert code == 3 and "127.0.0.1:9" in err

    def test_a_server_that_lacks_what_a_scorer_needs_is_3(
        self, phronesis: Phronesis, dataset: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with FakeServer(agents, logprobs=False) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            code, _, err = phronesis("test", "--dataset", str(dataset), "judge")
            assert code == 3 and "logprobs" in err and server.calls == 0

    def test_a_scorer_that_fails_throughout_is_a_failure(
        self, phronesis: Phronesis, server: FakeServer, dataset: Path
    ) -> None:
        """It must not take the place of an earlier, real test either."""
        bank = json.loads(phronesis("test", "--dataset", str(dataset), "--json", "generative(votes=1)")[1])["bank"]
        server._faults = lambda request, number: REFUSED
        code, out, err = phronesis("test", "--dataset", str(dataset), "--bank", bank, "generative(votes=1)")
        rows = {row["name"]: row for row in json.loads(phronesis("list", "--json")[1])}
        assert [record["auroc"] for record in rows["generative"]["tests"]] == [1.0]
        assert code == 1 and "scripted refusal" in out + err


class TestKill:
    def test_a_scoring_run_that_was_killed_goes_on(self, server: FakeServer, dataset: Path, home: Path) -> None:
        """kill -9 in the middle of the scoring; --scores finishes it, and nothing journalled is paid again."""
        command = [sys.executable, "-m", "phronesis", "scorers", "test", "--dataset", str(dataset), "--json"]
        pipes: dict[str, Any] = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "env": dict(os.environ),
        }
        wanted, _ = subprocess.Popen([*command, "generative(votes=1)"], **pipes).communicate(timeout=60)
        whole = json.loads(wanted)
        known = set(journals(home))
        server.latency = lambda request: 0.05 * (request.fingerprint % 3)
        goal = server.requests + 22
        child = subprocess.Popen(
            [*command, "--bank", whole["bank"], "--parallel", "2", "generative(votes=1)"],
            start_new_session=True,
            **pipes,
        )
        deadline = time.monotonic() + 30
        while child.poll() is None and server.requests < goal and time.monotonic() < deadline:
            time.sleep(0.002)
        os.killpg(child.pid, signal.SIGKILL) if child.poll() is None else None
        child.communicate()
        server.latency = 0.0
        (journal,) = set(journals(home)) - known
        events = [json.loads(line) for line in journal.read_bytes().split(b"\n")[:-1]]
        paid = sum(event["count"] for event in events if event["type"] == "call")
        assert 0 < paid < 32
        before = server.calls
        out, err = subprocess.Popen([*command, "--scores", journal.parent.name], **pipes).communicate(timeout=60)
        again = json.loads(out)
        assert server.calls - before == 32 - paid, err
        for data in (whole, again):
            data.pop("scores")
            for scorer in data["scorers"]:
                scorer.pop("seconds")
        assert again == whole


class TestFit:
    @pytest.fixture
    def scores(self, phronesis: Phronesis, server: FakeServer, dataset: Path) -> str:
        out = phronesis(
            "test", "--dataset", str(dataset), "--json", "self_certainty", "generative(votes=1)", "step_judge"
        )[1]
        return str(json.loads(out)["scores"])

    @pytest.mark.parametrize(("per", "scorer"), [("attempt", "signals"), ("answer", "combined")])
    def test_a_model_is_fitted_and_can_be_used(
        self,
        phronesis: Phronesis,
        server: FakeServer,
        dataset: Path,
        scores: str,
        tmp_path: Path,
        per: str,
        scorer: str,
    ) -> None:
        out = tmp_path / "model.toml"
        arguments = ("--dataset", str(dataset), "--scores", scores, "--out", str(out), "--per", per)
        paid = server.calls
        code, said, err = phronesis("fit", *arguments, "--json")
        assert code == 0, err
        assert server.calls == paid and json.loads(said)["pooled"] is not None
        code, said, _ = phronesis("fit", *arguments)
        assert code == 0 and "held out" in said and "fake, gold.jsonl, 4 questions" in said
        code, said, err = phronesis("test", "--dataset", str(dataset), "--json", f'{scorer}(model="{out}")')
        assert code == 0, err
        assert json.loads(said)["scorers"][0]["within"][0] == 1.0

    def test_other_scorers_become_features(
        self, phronesis: Phronesis, server: FakeServer, dataset: Path, scores: str, tmp_path: Path
    ) -> None:
        out = tmp_path / "model.toml"
        use = ("--use", "generative(votes=1)", "--features", "share,generative")
        code, _, err = phronesis("fit", "--dataset", str(dataset), "--scores", scores, "--out", str(out), *use)
        assert code == 0, err
        data = tomllib.loads(out.read_text(encoding="utf-8"))
        assert data["scorers"] == {"generative": "generative(votes=1)"} and set(data["features"]) == {
            "share",
            "generative",
        }

    def test_mistakes(self, phronesis: Phronesis, dataset: Path, scores: str, tmp_path: Path) -> None:
        out = tmp_path / "model.toml"
        mistakes: dict[tuple[str, ...], str] = {
            ("--use", "pairwise"): "no scores of 'pairwise'",
            ("--features", "share,nope"): "unknown feature 'nope'",
            ("--features", " , "): "unknown feature",
            ("--per", "token"): "'token'",
            ("--use", "step_judge"): "step_judge",
            ("--ridge", "-1"): "ridge",
        }
        for arguments, says in mistakes.items():
            code, _, err = phronesis(
                "fit", "--dataset", str(dataset), "--scores", scores, "--out", str(out), *arguments
            )
            assert code == 2 and says in err and "Traceback" not in err and not out.exists()

    @pytest.mark.parametrize(
        "per",
        ["attempt", "answer"],
    )
    def test_one_kind_alone_cannot_be_fitted(
        self, phronesis: Phronesis, server: FakeServer, tmp_path: Path, per: str
    ) -> None:
        dataset = written(tmp_path / "right.jsonl", [GOLD[3], {**GOLD[3], "id": "again"}])
        run = json.loads(phronesis("test", "--dataset", str(dataset), "--json", "self_certainty")[1])["scores"]
        out = tmp_path / "model.toml"
        code, _, err = phronesis("fit", "--dataset", str(dataset), "--scores", run, "--out", str(out), "--per", per)
        assert code == 2 and "cannot be fitted" in err.replace("nothing can be fitted", "cannot be fitted")

    def test_a_file_that_cannot_be_written(
        self, phronesis: Phronesis, dataset: Path, scores: str, tmp_path: Path
    ) -> None:
        out = tmp_path / "no" / "folder" / "model.toml"
        code, _, err = phronesis("fit", "--dataset", str(dataset), "--scores", scores, "--out", str(out))
        assert code in (1, 2, 3) and str(out) in err

    def test_two_scorers_of_one_name_are_two_features_or_refused(
        self, phronesis: Phronesis, server: FakeServer, dataset: Path, tmp_path: Path
    ) -> None:
        names = ("generative(votes=1)", "generative(votes=1, framing=error)")
        run = json.loads(phronesis("test", "--dataset", str(dataset), "--json", *names)[1])["scores"]
        out = tmp_path / "model.toml"
        use = [part for name in names for part in ("--use", name)]
        code, _, err = phronesis("fit", "--dataset", str(dataset), "--scores", run, "--out", str(out), *use)
        assert code == 2 or out.read_text(encoding="utf-8").count("votes=1") == 2, err

    def test_a_scorer_whose_feature_is_left_out_is_not_paid_for(
        self, phronesis: Phronesis, dataset: Path, scores: str, tmp_path: Path
    ) -> None:
        out = tmp_path / "model.toml"
        use = ("--use", "generative(votes=1)", "--features", "share,lead")
        code, _, _ = phronesis("fit", "--dataset", str(dataset), "--scores", scores, "--out", str(out), *use)
        assert code == 2 or not tomllib.loads(out.read_text(encoding="utf-8")).get("scorers")
