"""Which concepts lower the success of the tasks they are shown to, and whether the memory as a whole does. Pure.

Every concept that was shown to ``LEAST_TASKS`` tasks or more is tested once, by the exact one-sided test of exact.py, and the
step-up procedure of Benjamini and Hochberg (1995) over these tests keeps the expected share of wrongly accused concepts
among the accused at most ``rate``, when tests are independent or depend positively (concepts that share prompts do). With no
harmful concept at all, that is the chance of any accusation. A concept that keeps standing beside a harmful one is accused
with it: outcomes cannot tell them apart. Looking again after every added order is a further look, which is not paid for.

All this holds where the draws of one task are independent given the task, as the exact test takes them: with one order and
one repeat always. Several draws that were shown nearly the same, or that a temperature of 0 makes equal, count as more
evidence than they are: simulated with draws that copy the task's first one 4 times of 5, the alarm of 5 % was false in 6 to
19 % of cases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from phronesis.bench.ablation.exact import Stratum, lower_p

RATE = 0.1
"""Expected share of wrong accusations among the accused."""
LEAST_TASKS = 5
"""Tasks that must have been shown a concept; five losses without a win are the least that can reach p = 0.03."""
LEVEL = 0.05
"""Of the test of the whole memory, which is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is known against a concept."""

    tasks: int
    """That were shown it."""
    helped: int
    """Tasks with a larger share right with it than without."""
    harmed: int
    """Tasks with a smaller one."""
    p: float | None
    """Of the exact test; None = shown to too few tasks to be tested."""
    adjusted: float | None
    """The least rate at which it would be accused."""
    harmful: bool

    def words(self) -> str:
        """For people, and for the history of a memory."""
        test = "" if self.p is None else f", p = {self.p:.3g}, adjusted {self.adjusted:.3g}"
        return f"shown to {self.tasks} tasks: {self.harmed} fared worse with it, {self.helped} better{test}"


def judge(
    concepts: Mapping[str, Sequence[Stratum]], *, rate: float = RATE, least: int = LEAST_TASKS
) -> dict[str, Judgement]:
    """A judgement per concept, in the order given."""
    told = {name: [item for item in strata if item.shown and item.without] for name, strata in concepts.items()}
    found = {name: lower_p(strata) for name, strata in told.items() if len(strata) >= least}
    adjusted = dict(zip(found, benjamini_hochberg(list(found.values())), strict=True))
    return {
        name: Judgement(
            tasks=len(strata),
            helped=sum(item.difference > 0 for item in strata),
            harmed=sum(item.difference < 0 for item in strata),
            p=found.get(name),
            adjusted=adjusted.get(name),
            harmful=name in adjusted and adjusted[name] <= rate,
        )
        for name, strata in told.items()
    }


def benjamini_hochberg(values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: a test is rejected at a rate when its own is at most the rate."""
    order = sorted(range(len(values)), key=lambda place: values[place], reverse=True)
    least, found = 1.0, [1.0] * len(values)
    for taken, place in enumerate(order):
        least = min(least, values[place] * len(values) / (len(values) - taken))
        found[place] = least
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryAlarm:
    """Whether the memory as a whole lowers success."""

    tasks: int
    """That were shown anything."""
    p: float
    """Of the exact one-sided test over them."""
    harmful: bool


def whole_memory(strata: Sequence[Stratum], *, level: float = LEVEL) -> MemoryAlarm:
    """The alarm over every task that was shown something: false with a chance of at most ``level``, if the
    draws of a task are independent."""
    told = [item for item in strata if item.shown and item.without]
    p = lower_p(told)
    return MemoryAlarm(tasks=len(told), p=p, harmful=bool(told) and p <= level)
