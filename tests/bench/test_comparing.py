"""Comparing arms: figures against hand calculation, what may be claimed and in which words, folders side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from phronesis.bench.comparing import Comparison, compare, draw_noise, holm, paired_ratio
from phronesis.bench.comparing_folders import Gathered, gathered, read_side
from phronesis.bench.comparing_text import markdown_table, pair_to_json, resolution, verdict, warnings
from phronesis.bench.dataset import DataSet, Example
from phronesis.bench.running.bench_file import ArmEntry, arm_of
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.item import CallCost, Item
from phronesis.bench.running.plan import BenchPlan
from phronesis.bench.running.summary import summary
from phronesis.bench.sets.request import SetRequest
from phronesis.core.errors import ConfigurationError
from phronesis.core.task import Task


def item(arm: str, task: str, right: bool, *, tokens: int = 10, repeat: int = 0, **more: Any) -> Item:
    call = CallCost(role="solver", level=1, calls=1, completion_tokens=tokens, longest=tokens)
    return Item(
        **{
            "arm": arm,
            "set": "sums",
            "repeat": repeat,
            "task": task,
            "status": "ok",
            "correct": right,
            "parsed": True,
            "seconds": float(tokens),
            "calls": (call,),
            **more,
        }
    )


def arm(name: str, marks: str, **more: Any) -> list[Item]:
    """An item per mark: ``+`` right, ``-`` wrong, ``?`` ungraded; a blank is no item."""
    status = {"+": "ok", "-": "ok", "?": "ungraded"}
    return [
        item(name, f"q{at}", mark == "+", status=status[mark], **more) for at, mark in enumerate(marks) if mark != " "
    ]


def only(pairs: Sequence[Comparison]) -> Comparison:
    (found,) = pairs
    return found


class TestFigures:
    def test_a_pair_by_hand(self) -> None:
        """2 questions only the baseline solves, 5 only the arm: p = 2 (1 + 7 + 21) / 2^7."""
        pair = only(compare([*arm("base", "+++++-----"), *arm("new", "--++++++++", tokens=25)], "base"))
        assert (pair.arm, pair.baseline, pair.questions, pair.left_out) == ("new", "base", 10, 0)
        assert (pair.arm_better, pair.baseline_better, pair.discordant) == (5, 2, 7)
        assert pair.difference.value == pytest.approx(0.3) and pair.difference.low < 0 < pair.difference.high
        assert pair.p == pytest.approx(58 / 128) == pair.corrected
        assert pair.mcnemar is not None and pair.mcnemar.p == pair.p
        assert (pair.tokens.value, pair.tokens.low, pair.tokens.high) == (2.5, 2.5, 2.5)
        assert pair.seconds.value == 2.5 and not pair.claims

    def test_only_shared_questions_count(self) -> None:
        """The baseline lacks q4 and could not grade q1: q0, q2 and q3 are left, and their tokens alone are compared."""
        base = [*arm("base", "+?+- "), item("base", "q9", True, tokens=1000)]
        pair = only(compare([*base, *arm("new", "+++++", tokens=20)], "base"))
        assert (pair.questions, pair.left_out) == (3, 3)
        assert pair.difference.value == pytest.approx(1 / 3) and pair.tokens.value == 2.0

    def test_no_shared_question_is_undefined_and_not_zero(self) -> None:
        pair = only(compare([*arm("base", "++   "), *arm("new", "  +++")], "base"))
        assert pair.questions == 0 and pair.left_out == 5
        assert all(math.isnan(value) for value in (pair.difference.value, pair.p, pair.corrected, pair.tokens.value))
        assert "no question is graded in both" in verdict(pair) and not pair.claims
        assert pair_to_json(pair)["difference"] == [None, None, None]

    def test_failed_tasks_are_wrong_and_compared(self) -> None:
        base, new = arm("base", "++"), [item("new", "q0", False, status="failed"), item("new", "q1", True)]
        assert only(compare([*base, *new], "base")).difference.value == -0.5

    def test_repeats_pool_by_question_and_one_question_is_no_evidence(self) -> None:
        first = [item("base", "q0", False, repeat=at) for at in (0, 1)]
        second = [item("new", "q0", True, repeat=at) for at in (0, 1)]
        pair = only(compare([*first, *second], "base"))
        assert pair.mcnemar is None and pair.p == 1.0 and pair.difference.value == 1.0

    def test_clusters_are_drawn_whole(self) -> None:
        """Two clusters that say +1 and 0: a draw of two is 0, 1/2 or 1, so the interval is all of it."""
        kinds = [("a", "+"), ("a", "+"), ("b", "-"), ("b", "-")]
        base = [item("base", f"q{at}", False, cluster=name) for at, (name, _) in enumerate(kinds)]
        new = [item("new", f"q{at}", mark == "+", cluster=name) for at, (name, mark) in enumerate(kinds)]
        pair = only(compare([*base, *new], "base"))
        assert (pair.clusters, pair.difference.low, pair.difference.high) == (2, 0.0, 1.0)
        assert "come in 2 clusters" in resolution(pair)

    def test_sets_are_compared_each_for_itself_and_corrected_together(self) -> None:
        other = [item("base", "q0", True, set="more"), item("new", "q0", False, set="more")]
        found = compare([*arm("base", "-" * 8), *arm("new", "+" * 8), *other], "base")
        assert [(pair.set, pair.questions) for pair in found] == [("sums", 8), ("more", 1)]
        assert [pair.p for pair in found] == [2 / 2**8, 1.0] and found[0].corrected == pytest.approx(4 / 2**8)

    def test_a_set_without_the_baseline_has_no_pairs(self) -> None:
        assert compare(arm("new", "++"), "base") == []

    @pytest.mark.parametrize(
        ("values", "corrected"),
        [([], []), ([0.2], [0.2]), ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]), ([0.9, 0.8], [1.0, 1.0])],
    )
    def test_holm(self, values: list[float], corrected: list[float]) -> None:
        assert holm(values) == pytest.approx(corrected)

    def test_a_ratio_has_an_interval_over_questions_and_none_without_a_base(self) -> None:
        first, second = {"a": 1.0, "b": 1.0, "c": 2.0}, {"a": 1.0, "b": 3.0}
        found = paired_ratio(first, second, [["a"], ["b"], ["c"]])
        assert (found.value, found.low, found.high) == (2.0, 1.0, 3.0)
        assert math.isnan(paired_ratio({"a": 0.0}, {"a": 3.0}, [["a"]]).value)
        assert math.isnan(paired_ratio({}, {}, []).value)

    def test_the_same_items_give_the_same_figures(self) -> None:
        items = [*arm("base", "+-+-+--+"), *arm("new", "++-+++-+")]
        assert compare(items, "base") == compare(items, "base")


class TestDrawNoise:
    def test_the_spread_between_repeats_by_hand(self) -> None:
        """Right on 1, 2 and 3 of 4 questions: mean 0.5, deviations of 0.25, sample variance 0.125 / 2."""
        rows = ["+---", "++--", "+++-"]
        items = [one for repeat, marks in enumerate(rows) for one in arm("sc", marks, repeat=repeat)]
        (noise,) = draw_noise(items)
        assert noise.accuracies == (0.25, 0.5, 0.75) and noise.spread == pytest.approx(0.25)

    def test_questions_that_a_repeat_lacks_are_left_out(self) -> None:
        (noise,) = draw_noise([*arm("sc", "+-"), *arm("sc", "+ -", repeat=1)])
        assert noise.accuracies == (1.0, 1.0)

    def test_one_repeat_says_nothing_and_is_warned_of(self) -> None:
        items = [*arm("base", "+-"), *arm("new", "++")]
        noises = draw_noise(items)
        assert all(math.isnan(noise.spread) for noise in noises)
        arms = [summary(arm("base", "+-")), summary(arm("new", "++"))]
        assert warnings(arms, compare(items, "base"), noises)[0].startswith("One draw only of base, new")

    def test_a_difference_within_the_spread_of_one_arm_is_warned_of(self) -> None:
        base = [*arm("base", "-" * 40), *arm("base", "+" * 8 + "-" * 32, repeat=1)]
        new = [*arm("new", "+" * 10 + "-" * 30), *arm("new", "+" * 10 + "-" * 30, repeat=1)]
        pairs = compare([*base, *new], "base")
        assert only(pairs).claims
        said = warnings([summary(base), summary(new)], pairs, draw_noise([*base, *new]))
        assert len(said) == 1 and "smaller than twice the spread" in said[0]


class TestWords:
    def test_an_interval_that_holds_zero_claims_nothing(self) -> None:
        pair = only(compare([*arm("base", "+-+-"), *arm("new", "++--")], "base"))
        assert verdict(pair).endswith("the interval holds 0: no difference can be claimed.")

    def test_a_clear_interval_without_a_clear_test_claims_nothing(self) -> None:
        pair = only(compare([*arm("base", "---"), *arm("new", "+++")], "base"))
        assert pair.difference.low == 1.0 and pair.p == 0.25
        assert "p = 0.250, not below 0.05: no difference can be claimed" in verdict(pair)

    def test_a_claim_names_who_is_better_and_what_it_was_corrected_for(self) -> None:
        items = [*arm("base", "+" * 12), *arm("bad", "-" * 12), *arm("same", "+" * 12)]
        bad, same = compare(items, "base")
        assert bad.claims and "after Holm's correction over 2 comparisons: base does better" in verdict(bad, together=2)
        assert "no difference can be claimed" in verdict(same, together=2)
        assert "No question tells the two apart" in resolution(same)

    def test_what_the_sample_resolves_is_said(self) -> None:
        pair = only(compare([*arm("base", "+-" * 24), *arm("new", "-+" * 6 + "+-" * 18)], "base"))
        assert f"from {100 * pair.detectable:.0f} points on" in resolution(pair)
        few = only(compare([*arm("base", "+---"), *arm("new", "----")], "base"))
        assert math.isnan(few.detectable) and "too small to show any difference" in resolution(few)

    def test_bars_in_markdown_cells_are_escaped(self) -> None:
        assert markdown_table(["a"], [["x|y"]]).splitlines()[2] == "| x\\|y |"


def examples(count: int, gold: str = "1") -> tuple[Example, ...]:
    return tuple(Example(Task(messages="How many?", id=f"q{at}", answer_format="number"), gold) for at in range(count))  # type: ignore[arg-type]  # a plain string is one message


Writer = Callable[..., Path]


@pytest.fixture
def bench(tmp_path: Path) -> Writer:
    def write(name: str, arms: Mapping[str, str], *, gold: str = "1", limit: int | None = None, count: int = 4) -> Path:
        request = SetRequest(spec="sums", name="sums", limit=limit)
        plan = BenchPlan(sets=(request,), arms=tuple(arm_of(ArmEntry(recipe="direct", name=each), {}) for each in arms))
        with BenchFolder(tmp_path / name) as folder:
            folder.begin(plan, {"sums": DataSet("sums", examples(count, gold))})
            for each, marks in arms.items():
                for one in arm(each, marks):
                    folder.add(one)
        return tmp_path / name

    return write


def together(*paths: Path, only: str | None = None) -> Gathered:
    return gathered([read_side(path) for path in paths], only=only)


class TestFolders:
    def test_arms_of_the_same_data_stand_side_by_side(self, bench: Writer) -> None:
        found = together(bench("one", {"base": "+-+-"}), bench("two", {"new": "++++"}))
        assert found.arms == ("base", "new") and only(compare(found.items, "base")).difference.value == 0.5

    def test_a_name_that_stands_twice_gets_its_folders(self, bench: Writer) -> None:
        found = together(bench("one", {"base": "+-+-", "a": "++++"}), bench("two", {"base": "++++"}))
        assert found.arms == ("one/base", "a", "two/base")

    def test_folders_of_one_name_are_told_apart_by_their_paths(self, bench: Writer) -> None:
        first, second = bench("x/b", {"base": "+-"}), bench("y/b", {"base": "++"})
        assert together(first, second).arms == (f"{first}/base", f"{second}/base")

    def test_other_data_are_refused_with_the_difference(self, bench: Writer) -> None:
        one = bench("one", {"base": "+-+-"})
        with pytest.raises(ConfigurationError, match="the options are the same, the rows are not"):
            together(one, bench("two", {"new": "++"}, gold="2"))
        with pytest.raises(ConfigurationError, match=r"4 questions.*3 questions.*limit None and 3"):
            together(one, bench("three", {"new": "++"}, limit=3, count=3))

    def test_what_is_no_bench_or_empty_or_unknown_is_named(self, bench: Writer, tmp_path: Path) -> None:
        one = bench("one", {"base": "+-"})
        with pytest.raises(ConfigurationError, match="is no bench folder"):
            together(tmp_path)
        (tmp_path / "bench.json").write_text('{"schema":"phronesis/bench/1"}')
        with pytest.raises(ConfigurationError, match="is no bench's plan: 'plan' is missing"):
            together(tmp_path)
        with pytest.raises(ConfigurationError, match="is given twice"):
            together(one, one)
        with pytest.raises(ConfigurationError, match="nothing is graded in"):
            together(bench("empty", {"base": ""}))
        with pytest.raises(ConfigurationError, match="there is no set 'smus'"):
            together(one, only="smus")
