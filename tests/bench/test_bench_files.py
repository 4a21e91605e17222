"""Bench files and plans: what they say, what is refused and with which words; the lines a bench leaves on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from phronesis.bench.running.bench_file import plan_of, read_bench, recipes_as_arms, suite, suites
from phronesis.bench.running.estimate import estimate
from phronesis.bench.running.item import CallCost, Item, served_seconds
from phronesis.bench.running.plan import BenchPlan, cells, differences, merged
from phronesis.bench.running.summary import accuracy, clusters, question_scores, summarise
from phronesis.core.errors import ConfigurationError, RecipeError
from phronesis.core.lines import append_line, whole_lines, write_json

FILE = """
schema = "phronesis/bench/1"
name = "small"
repeats = 2
[overrides]
"knobs.temperature" = 0.5
[[sets]]
spec = "sums/dev.jsonl"
limit = 4
[[arms]]
recipe = "self_consistency"
name = "wide"
overrides = { "knobs.k" = 4 }
[[arms]]
recipe = "direct"
bank = "wide"
calls = 0
"""


class TestBenchFile:
    def test_arms_get_the_common_overrides_and_then_their_own(self) -> None:
        plan = plan_of(read_bench(FILE, "here"))
        assert [(arm.name, arm.bank, arm.calls) for arm in plan.arms] == [("wide", "", None), ("direct", "wide", 0)]
        assert [arm.recipe["knobs"]["temperature"] for arm in plan.arms] == [0.5, 0.5]
        assert plan.arms[0].recipe["knobs"]["k"] == 4 and plan.repeats == 2
        assert plan.sets[0].title == "sums", "dev.jsonl says nothing; its folder does"
        assert len(list(cells(plan))) == 4

    def test_a_recipe_may_lie_beside_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "mine.toml").write_text('schema = "phronesis/recipe/1"\nname = "mine"\nstrategy = "direct"\n')
        text = FILE.replace('"direct"', '"mine.toml"')
        assert plan_of(read_bench(text, "here"), folder=tmp_path).arms[1].recipe["name"] == "mine"

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("repeats = 2", "repeats = 0", "repeats = 0"),
            ("limit = 4", "limti = 4", "limti"),
            ('schema = "phronesis/bench/1"', 'schema = "phronesis/bench/9"', "schema"),
            ("[[sets]]", "[[sets]", "is not TOML"),
            ('name = "wide"', 'name = "wi de"', "arm name 'wi de' is not allowed"),
            ("calls = 0", "calls = -1", r"arms\.1\.calls = -1"),
            ('spec = "sums/dev.jsonl"\n', "", r"sets\.0\.spec is missing"),
        ],
    )
    def test_what_is_wrong_is_named(self, old: str, new: str, message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            plan_of(read_bench(FILE.replace(old, new), "here"))

    def test_a_wrong_knob_is_the_recipes_error(self) -> None:
        with pytest.raises(RecipeError, match=r"knobs\.kk"):
            plan_of(read_bench(FILE.replace("knobs.k", "knobs.kk"), "here"))

    def test_every_suite_is_a_valid_plan(self) -> None:
        assert {"smoke", "core"} <= set(suites())
        for name in suites():
            assert list(cells(plan_of(suite(name))))
        with pytest.raises(ConfigurationError, match="there is no suite 'smoek'"):
            suite("smoek")

    def test_recipes_become_arms_under_names(self) -> None:
        arms = recipes_as_arms(["direct", "sc4=self_consistency"], {"seed": 3}, bank="", calls=None)
        assert [(arm.name, arm.recipe["seed"]) for arm in arms] == [("direct", 3), ("sc4", 3)]


class TestPlan:
    def test_the_difference_is_named_key_by_key(self) -> None:
        first = plan_of(read_bench(FILE, "here"))
        second = plan_of(
            read_bench(FILE.replace("limit = 4", "limit = 5").replace('"knobs.k" = 4', '"knobs.k" = 6'), "x")
        )
        assert differences(first, first) == []
        assert differences(first, second) == [
            "arm wide: recipe.knobs.k was 4 and is now 6",
            "set sums: limit was 4 and is now 5",
        ]

    def test_more_arms_sets_and_repeats_are_no_difference(self) -> None:
        whole = plan_of(read_bench(FILE, "here"))
        part = whole.model_copy(update={"arms": whole.arms[:1], "repeats": 1})
        assert differences(part, whole) == [] == differences(whole, part)
        assert merged(part, whole).arms == whole.arms and merged(whole, part).repeats == 2

    def test_the_plan_survives_a_file(self) -> None:
        plan = plan_of(read_bench(FILE, "here"))
        assert BenchPlan.model_validate(plan.model_dump(mode="json", by_alias=True)) == plan


class TestFigures:
    def test_one_cluster_is_drawn_whole(self) -> None:
        items = [item(f"t{n}", correct=n < 4, cluster="a" if n < 4 else "b") for n in range(8)]
        assert [len(group) for group in clusters(items)] == [4, 4]
        whole = accuracy(items)
        alone = accuracy([each.model_copy(update={"cluster": ""}) for each in items])
        assert whole.value == alone.value == 0.5
        assert whole.high - whole.low > alone.high - alone.low, "two clusters say less than eight questions"

    def test_repeats_of_a_question_are_one_figure(self) -> None:
        items = [item("a", repeat=0, correct=True), item("a", repeat=1), item("b", repeat=0), item("b", repeat=1)]
        assert question_scores(items) == {"a": 0.5, "b": 0.0}
        assert accuracy(items).value == 0.25

    def test_repeats_weigh_a_question_once_in_the_score_too(self) -> None:
        plan = plan_of(read_bench(FILE, "here"))
        scored = [item("a", repeat=n).model_copy(update={"score": 1.0}) for n in range(3)]
        (row,) = summarise(plan, [*scored, item("b")])
        assert row.score == 0.5

    def test_what_no_draw_could_change_is_not_certain(self) -> None:
        every = accuracy([item(f"t{n}", correct=True) for n in range(12)])
        assert every.value == every.high == 1.0 and every.low == pytest.approx(0.758, abs=0.001), "Wilson's"
        assert accuracy([item("a")]).high == pytest.approx(0.793, abs=0.001), "one question"
        lone = accuracy([item(f"t{n}", correct=n < 2, cluster="x") for n in range(4)])
        assert (lone.low < 0.1, lone.value, lone.high > 0.9) == (True, 0.5, True), "one cluster"

    def test_no_graded_item_is_no_figure(self) -> None:
        plan = plan_of(read_bench(FILE, "here"))
        (row,) = summarise(plan, [item("a", status="ungraded")])
        assert row.accuracy.value != row.accuracy.value and row.ungraded == 1
        assert row.to_json()["accuracy"] == [None, None, None]

    def test_the_critical_path_is_the_longest_of_each_level(self) -> None:
        calls = (
            CallCost(role="solver", level=1, calls=2, completion_tokens=30, longest=20, seconds=2.0, served=True),
            CallCost(role="solver", level=1, calls=1, completion_tokens=25, longest=25, seconds=3.0, served=True),
            CallCost(role="judge", level=2, calls=1, completion_tokens=5, longest=5, seconds=1.0),
        )
        made = item("a").model_copy(update={"calls": calls})
        assert (made.total_tokens, made.sequential_tokens, made.model_calls, made.paid_calls) == (60, 30, 4, 1)
        assert served_seconds(calls) == 3.0


def item(task: str, *, repeat: int = 0, correct: bool = False, cluster: str = "", status: str = "ok") -> Item:
    return Item(
        arm="wide",
        set="sums",
        repeat=repeat,
        task=task,
        status=status,  # type: ignore[arg-type]  # one of the literals
        correct=correct,
        parsed=True,
        cluster=cluster,
    )


class TestLines:
    def test_a_torn_line_is_cut_off_and_never_read(self, tmp_path: Path) -> None:
        path = tmp_path / "deep" / "lines.jsonl"
        append_line(path, b"one")
        with path.open("ab") as file:
            file.write(b"tor")
        assert list(whole_lines(path)) == [b"one"]
        append_line(path, b"two", sync=False)
        assert path.read_bytes() == b"one\ntwo\n"
        assert list(whole_lines(tmp_path / "absent")) == []

    def test_a_json_file_is_written_whole_or_not_at_all(self, tmp_path: Path) -> None:
        path = tmp_path / "x.json"
        write_json(path, {"a": 1})
        with pytest.raises(TypeError):
            write_json(path, {"a": object()})
        assert path.read_text() == '{\n  "a": 1\n}\n'

    def test_a_place_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(ConfigurationError, match="cannot write"):
            write_json(tmp_path / "file" / "x.json", {})


def test_an_estimate_respects_the_budget() -> None:
    from phronesis.bench.dataset import DataSet, Example
    from phronesis.core.task import Task

    plan = plan_of(read_bench(FILE, "here"), overrides={"budget.calls": 3, "budget.tokens": 100})
    data = DataSet("sums", (Example(Task(messages="1 + 1?"), "2"),))  # type: ignore[arg-type]  # a plain string
    wide, direct = estimate(plan, {"sums": data})
    assert wide.calls == (6, 6) and wide.tokens == 200 and direct.calls == (2, 2)
