"""The alarms: exact figures, and how often they accuse the innocent."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from phronesis.bench.ablation.alarm import LEAST_TASKS, LEVEL, RATE, benjamini_hochberg, judge, whole_memory
from phronesis.bench.ablation.exact import Stratum, either_p, lower_p
from phronesis.bench.metrics.paired import mcnemar

LOST, WON, SAME = Stratum((True,), (False,)), Stratum((False,), (True,)), Stratum((True,), (True,))


def drawn(rng: random.Random, tasks: int, *, effect: float = 0.0, shown: int = 1) -> list[Stratum]:
    """Tasks of different difficulty; showing the concept takes ``effect`` of the chance away."""
    chances = [rng.choice([0.1, 0.5, 0.9]) for _ in range(tasks)]
    return [Stratum((rng.random() < p,), tuple(rng.random() < p * (1 - effect) for _ in range(shown))) for p in chances]


class TestExactly:
    def test_one_draw_of_each_kind_is_the_sign_test(self) -> None:
        assert lower_p([LOST] * 5) == pytest.approx(0.5**5)
        assert lower_p([LOST] * 4 + [WON] + [SAME] * 9) == pytest.approx(6 / 32)
        first = {str(n): n < 8 for n in range(9)}
        second = {str(n): n in (0, 8) for n in range(9)}
        strata = [Stratum((first[name],), (second[name],)) for name in first]
        assert either_p(strata) == pytest.approx(mcnemar(first, second).p)

    def test_several_draws_are_permuted_within_their_task(self) -> None:
        strata = [Stratum((True,), (False, True)), Stratum((True, False), (False,))]
        seen = sum(sum(item.shown) for item in strata)
        sums = []
        for places in itertools.product(itertools.combinations(range(3), 2), itertools.combinations(range(3), 1)):
            rows = [(*item.without, *item.shown) for item in strata]
            sums.append(sum(sum(row[at] for at in chosen) for row, chosen in zip(rows, places, strict=True)))
        assert lower_p(strata) == pytest.approx(sum(value <= seen for value in sums) / len(sums))

    def test_what_tells_nothing_changes_nothing(self) -> None:
        assert lower_p([]) == lower_p([SAME] * 20) == either_p([]) == 1
        assert lower_p([LOST] * 3 + [SAME, Stratum((), (True,)), Stratum((True,), ())]) == pytest.approx(1 / 8)

    def test_adjusted_values_are_those_of_the_step_up_procedure(self) -> None:
        assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
        assert benjamini_hochberg([0.9, 0.6]) == pytest.approx([0.9, 0.9])
        assert benjamini_hochberg([]) == []


class TestJudging:
    def test_few_tasks_are_never_enough(self) -> None:
        found = judge({"few": [LOST] * (LEAST_TASKS - 1), "enough": [LOST] * LEAST_TASKS})
        assert found["few"].p is None and not found["few"].harmful and found["few"].harmed == LEAST_TASKS - 1
        assert found["enough"].harmful and found["enough"].adjusted == pytest.approx(0.5**LEAST_TASKS)
        assert "5 fared worse with it, 0 better, p = 0.0312" in found["enough"].words()

    def test_among_many_more_is_asked_for(self) -> None:
        harmless = {f"c{n}": [LOST, WON] * 4 for n in range(40)}
        assert not judge({**harmless, "bad": [LOST] * 5})["bad"].harmful
        assert judge({**harmless, "bad": [LOST] * 12})["bad"].harmful

    @pytest.mark.parametrize("shown", [1, 3], ids=["one order", "three orders against one draw without"])
    def test_the_innocent_are_accused_no_more_often_than_stated(self, shown: int) -> None:
        rng, rounds = random.Random(7), 400
        alarms = sum(
            any(item.harmful for item in judge({f"c{n}": drawn(rng, 12, shown=shown) for n in range(8)}).values())
            for _ in range(rounds)
        )
        assert alarms / rounds <= RATE + 4 * math.sqrt(RATE * (1 - RATE) / rounds)

    def test_wrong_accusations_stay_a_small_share_when_some_are_guilty(self) -> None:
        rng, shares, caught = random.Random(8), [], 0
        for _ in range(200):
            guilty = {f"bad{n}": drawn(rng, 40, effect=0.9) for n in range(3)}
            innocent = {f"c{n}": drawn(rng, 40) for n in range(9)}
            accused = [name for name, item in judge({**guilty, **innocent}).items() if item.harmful]
            caught += sum(name.startswith("bad") for name in accused)
            shares.append(sum(name.startswith("c") for name in accused) / len(accused) if accused else 0.0)
        assert sum(shares) / len(shares) <= RATE and caught > 0.9 * 600

    @pytest.mark.parametrize("shown", [1, 3])
    def test_the_alarm_of_the_whole_memory_is_false_no_more_often_than_stated(self, shown: int) -> None:
        rng, rounds = random.Random(9), 1000
        alarms = sum(whole_memory(drawn(rng, 40, shown=shown)).harmful for _ in range(rounds))
        assert alarms / rounds <= LEVEL + 4 * math.sqrt(LEVEL * (1 - LEVEL) / rounds)
        assert whole_memory(drawn(rng, 60, effect=0.6, shown=shown)).harmful
        assert not whole_memory([]).harmful and whole_memory([]).p == 1
