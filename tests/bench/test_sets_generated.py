"""Generated sets: the same everywhere, solvable, with ids that say how they were made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phronesis.bench.dataset import DataSet, canonical_gold
from phronesis.bench.sets import balancer, chains, countdown
from phronesis.bench.sets.load import load_set
from phronesis.bench.sets.request import SetRequest
from phronesis.bench.sets.row import Row
from phronesis.bench.sets.writing import row_of
from phronesis.core.errors import ConfigurationError, SetupError
from phronesis.core.seeds import generator
from phronesis.core.settings import Settings

SPECS = ["chains(n=6, steps=2)", "countdown(n=6, numbers=[3, 4])", "balancer(n=6)", "gym(generator=leg_counting, n=4)"]


def loaded(spec: str, settings: Settings, **more: Any) -> DataSet:
    return load_set(SetRequest(spec=spec, **more), settings)


def ids(data: DataSet) -> list[str]:
    return [item.task.id for item in data.examples]


class TestEveryGenerator:
    @pytest.mark.parametrize("spec", SPECS)
    def test_another_process_makes_the_same(self, settings: Settings, spec: str) -> None:
        code = (
            "import sys; from phronesis.bench.sets.load import load_set; from phronesis.core.settings import load_settings;"
            "from phronesis.bench.sets.request import SetRequest;"
            "print(load_set(SetRequest(spec=sys.argv[1]), load_settings()).digest)"
        )
        env = {**os.environ, "PYTHONHASHSEED": "17"}
        done = subprocess.run([sys.executable, "-c", code, spec], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == loaded(spec, settings).digest

    @pytest.mark.parametrize("spec", SPECS)
    def test_seeds_differ_and_a_longer_set_begins_alike(self, settings: Settings, spec: str) -> None:
        data = loaded(spec, settings)
        longer = loaded(re.sub(r"n=\d", "n=9", spec), settings)
        assert longer.examples[: len(data.examples)] == data.examples
        other = loaded(spec.replace(")", ", seed=1)"), settings)
        assert {item.task.question for item in other.examples} != {item.task.question for item in data.examples}
        assert not set(ids(data)) & set(ids(other))

    def test_ids_say_how_a_problem_was_made(self, settings: Settings) -> None:
        assert ids(loaded("chains(n=2, steps=3, seed=4, kind=story)", settings)) == [
            "chains-story-3-seed4-0",
            "chains-story-3-seed4-1",
        ]
        assert ids(loaded("countdown(n=2, numbers=[3, 5], most=50)", settings)) == [
            "countdown-3-most50-seed0-0",
            "countdown-5-most50-seed0-1",
        ]
        assert ids(loaded("balancer(n=1, blanks=2)", settings)) == ["balancer-2-seed0-0"]

    def test_fields_of_the_rows_choose(self, settings: Settings) -> None:
        data = loaded("chains(n=12, steps=[1, 3])", settings, where={"steps": ("3",), "kind": ("story",)})
        assert {item.group for item in data.examples} == {"3 steps"} and len(data.examples) == 3

    def test_options_may_stand_beside_the_spec(self, settings: Settings) -> None:
        beside = loaded("countdown", settings, options={"n": 3, "numbers": 3})
        assert beside.digest == loaded("countdown(n=3, numbers=3)", settings).digest

    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            ("chains(stepz=2)", r"no option 'stepz'\n.*'steps'"),
            ("chains(steps=0)", "steps"),
            ("chains(n=0)", "n = 0"),
            ("chains(kind=poem)", "kind = 'poem'"),
            ("countdown(numbers=[])", "numbers"),
            ("balancer(blanks=99)", "blanks"),
            ("chain(n=3)", r"no data set 'chain\(n=3\)'.*\n.*'chains'"),
            ("chains(n=3", "is no data set"),
            ("gym", "needs the option 'generator'"),
            ("gym(generator=leg_count)", r"no generator 'leg_count'\n.*'leg_counting'"),
            ("gym(generator=list_functions, level=hard)", "has no levels"),
            ("gym(generator=leg_counting, level=harder)", "level = 'harder'"),
            ("gym(generator=tower_of_hanoi, n=40, level=easy)", r"gave only \d+ different problems"),
        ],
    )
    def test_wrong_options(self, settings: Settings, spec: str, said: str) -> None:
        with pytest.raises(ConfigurationError, match=said):
            loaded(spec, settings)


class TestChains:
    @given(st.integers(0, 10**6), st.integers(1, 12))
    def test_every_number_on_the_way_is_whole_small_and_changes(self, seed: int, count: int) -> None:
        value, steps = chains.draw(generator(seed), count)
        assert len(steps) == count
        for step in steps:
            assert step.sign != "/" or value % step.by == 0
            assert 1 <= step.of(value) <= 999 and step.of(value) != value
            value = step.of(value)

    def test_equations_give_the_gold_answer_and_stories_the_same_operations(self, settings: Settings) -> None:
        for item in loaded("chains(n=20, steps=[2, 5], kind=plain)", settings).examples:
            names: dict[str, int] = {}
            for left, right in re.findall(r"(x\d+) = (.*\d)$", item.task.question, re.MULTILINE):
                names[left] = int(eval(right.replace("/", "//"), {}, names))
            assert str(list(names.values())[-1]) == item.gold
        for item in loaded("chains(n=20, steps=4, kind=story)", settings).examples:
            assert len(re.findall(r"\d+", item.task.question)) == 5 and canonical_gold(item) == item.gold

    def test_a_story_with_known_steps(self) -> None:
        steps = [chains.Step("+", 4), chains.Step("/", 2)]
        assert chains.result(8, steps) == 6
        assert chains.equations(8, steps) == "x0 = 8\nx1 = x0 + 4\nx2 = x1 / 2\nx2 = ?"


class TestPuzzles:
    @given(st.integers(0, 10**6), st.integers(2, 6), st.integers(20, 200))
    def test_a_countdown_has_the_solution_it_was_made_from(self, seed: int, count: int, most: int) -> None:
        numbers, target, solution = countdown.draw(generator(seed), count, most)
        assert sorted(map(int, re.findall(r"\d+", solution))) == sorted(numbers) and len(numbers) == count
        assert eval(re.sub(r"(\d+)", r"Fraction(\1)", solution), {"Fraction": Fraction}) == target
        assert 10 <= target <= most and target not in numbers

    @given(st.integers(0, 10**6), st.integers(1, 6))
    def test_a_balancer_has_the_filling_it_was_made_from(self, seed: int, blanks: int) -> None:
        numbers, signs, target = balancer.draw(generator(seed), blanks)
        text = str(numbers[0]) + "".join(f" {s} {n}" for s, n in zip(signs, numbers[1:], strict=True))
        assert eval(re.sub(r"(\d+)", r"Fraction(\1)", text), {"Fraction": Fraction}) == target
        assert len(signs) == blanks and abs(target) <= 999

    def test_facts(self, settings: Settings) -> None:
        for item in loaded("balancer(n=5, blanks=3)", settings).examples:
            left, right = item.gold.split("=")
            assert item.facts["numbers"] == [int(n) for n in re.findall(r"\d+", left)] and item.facts["ordered"]
            assert item.facts["target"] == int(right) and item.group == "3 blanks"
        for item in loaded("countdown(n=5, numbers=3)", settings).examples:
            assert len(item.facts["numbers"]) == 3 and not item.facts["ordered"] and item.group == "3 numbers"


class TestGym:
    def test_levels_are_problems_of_their_own(self, settings: Settings) -> None:
        easy, hard = (loaded(f"gym(generator=chain_sum, n=3, level={level})", settings) for level in ("easy", "hard"))
        assert ids(easy)[0] == "gym-chain_sum-easy-seed0-0" and easy.examples[0].grader == "gym"
        assert len(easy.examples[0].task.question) < len(hard.examples[0].task.question)

    @pytest.mark.parametrize("name", ["list_functions", "graph_color", "knights_knaves"])
    def test_the_reference_answer_scores_one_after_a_round_trip(self, settings: Settings, name: str) -> None:
        from reasoning_gym import get_score_answer_fn

        for item in loaded(f"gym(generator={name}, n=3)", settings).examples:
            facts = item.facts
            assert facts["generator"] == name
            entry = {"question": item.task.question, "answer": facts["answer"], "metadata": facts["metadata"]}
            assert get_score_answer_fn(name)(answer=item.gold, entry=entry) == 1

    def test_without_the_package(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "reasoning_gym", None)
        with pytest.raises(SetupError, match=r"reasoning_gym is not installed\n.*phronesis\[bench\]"):
            loaded("gym(generator=leg_counting, n=77)", settings)


def test_a_written_row_is_read_as_the_same_example(settings: Settings) -> None:
    from phronesis.bench.sets.own_rows import own_example

    for spec in SPECS:
        for number, item in enumerate(loaded(spec, settings).examples, start=1):
            assert own_example(Row(row_of(item), number, "here"), {}) == item
