"""What more samples would give: pass@k, maj@k and best@k curves of an arm's own attempts, with intervals over questions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phronesis.bench.metrics.passk import best_at_k, maj_at_k, pass_at_k
from phronesis.bench.metrics.saturation import Saturation, fit_saturation
from phronesis.bench.ranking import Interval
from phronesis.bench.running.item import AttemptGrade, Item
from phronesis.bench.running.summary import clusters, honest

Measure = Literal["pass@k", "best@k", "maj@k"]
MEASURES: tuple[Measure, ...] = ("pass@k", "best@k", "maj@k")
_DRAWS, _ROUNDS = 40_000, 1000


@dataclass(frozen=True)
class Curve:
    """A share by number of samples."""

    measure: Measure
    ks: tuple[int, ...]
    values: tuple[Interval, ...]

    @property
    def saturation(self) -> Saturation | None:
        """The fit F(N) = top (1 - (1 - p)^N) of TTSPM; None with fewer than three points, which any curve fits."""
        if len(self.ks) < 3:
            return None
        return fit_saturation([(k, min(1.0, item.value)) for k, item in zip(self.ks, self.values, strict=True)])


def independent(items: Sequence[Item]) -> bool:
    """Whether the arm's attempts are draws that know nothing of each other: the same number, two or more, at every task that
    came out, all of round 0, without parents and of one kind. Strategies that stop early draw numbers that depend on the
    answers, so theirs are not."""
    drawn = [item.attempts for item in items if item.graded and item.attempts]
    sizes, kinds = {len(attempts) for attempts in drawn}, {one.kind for attempts in drawn for one in attempts}
    fresh = all(one.round == 0 and not one.parents for attempts in drawn for one in attempts)
    return len(sizes) == 1 and min(sizes) > 1 and len(kinds) == 1 and fresh


def sample_sizes(most: int) -> tuple[int, ...]:
    """Every number up to 8, then doublings, and the largest."""
    return tuple(sorted({*range(1, min(most, 8) + 1), *(2**power for power in range(4, 20) if 2**power < most), most}))


def curves(items: Sequence[Item], *, seed: int = 0) -> list[Curve]:
    """The curves of one arm on one set: pass@k always, maj@k where answers are read, best@k where attempts have rewards;
    nothing for an arm whose attempts are not ``independent``.

    A question with several repeats counts the mean of them: repeats may share a bank and are not pooled. Tasks without an
    attempt are left out of the curves; intervals draw clusters of questions."""
    if not independent(items):
        return []
    drawn = [item for item in items if item.graded and item.attempts]
    ks = sample_sizes(len(drawn[0].attempts))
    draws = min(400, max(16, _DRAWS // len(drawn)))
    known: dict[Measure, Callable[[Sequence[AttemptGrade], int], float]] = {"pass@k": _pass}
    if any(one.reward is not None for item in drawn for one in item.attempts):
        known["best@k"] = _best
    if all(_consistent(item.attempts) for item in drawn) and any(one.answer for item in drawn for one in item.attempts):
        known["maj@k"] = lambda attempts, k: _majority(attempts, k, draws=draws, seed=seed)
    found, groups = [], len(clusters(drawn))
    for measure in MEASURES:
        if measure in known:
            rows = [[known[measure](item.attempts, k) for k in ks] for item in drawn]
            means = (honest(item, groups) for item in mean_over_questions(drawn, rows, seed=seed))
            found.append(Curve(measure, ks, tuple(means)))
    return found


def _pass(attempts: Sequence[AttemptGrade], k: int) -> float:
    return pass_at_k(len(attempts), sum(one.correct for one in attempts), k)


def _best(attempts: Sequence[AttemptGrade], k: int) -> float:
    return best_at_k([one.reward for one in attempts], [one.correct for one in attempts], k)


def _majority(attempts: Sequence[AttemptGrade], k: int, *, draws: int, seed: int) -> float:
    right = {one.answer: one.correct for one in attempts if one.answer is not None}
    return maj_at_k([one.answer for one in attempts], right, k, draws=draws, seed=seed)


def _consistent(attempts: Sequence[AttemptGrade]) -> bool:
    """Whether equal answers have equal grades; graders of whole texts may judge otherwise, and then there is no vote."""
    pairs = {(one.answer, one.correct) for one in attempts if one.answer is not None}
    return len(pairs) == len({answer for answer, _ in pairs})


def mean_over_questions(
    items: Sequence[Item], rows: ArrayLike, *, seed: int = 0, rounds: int = _ROUNDS
) -> list[Interval]:
    """Per column of ``rows`` (a row per item) the mean over questions with its 95 % bootstrap interval over clusters.

    Repeats of a question are averaged first. The draws are those of ``ranking.bootstrap`` with the same seed."""
    if not items:
        return []
    table = np.asarray(rows, dtype=float)
    tasks = {name: index for index, name in enumerate(dict.fromkeys(item.task for item in items))}
    of = np.array([tasks[item.task] for item in items])
    per_question = _summed(of, table, len(tasks)) / np.bincount(of, minlength=len(tasks))[:, None]
    cluster_of = {item.task: f"cluster {item.cluster}" if item.cluster else f"task {item.task}" for item in items}
    names = {name: index for index, name in enumerate(dict.fromkeys(cluster_of.values()))}
    into = np.array([names[cluster_of[name]] for name in tasks])
    sums, sizes = _summed(into, per_question, len(names)), np.bincount(into, minlength=len(names))
    rng = np.random.default_rng(seed)
    drawn = np.empty((rounds, table.shape[1]))
    for index in range(rounds):
        weights = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
        drawn[index] = weights @ sums / (weights @ sizes)
    low, high = np.quantile(drawn, 0.025, axis=0), np.quantile(drawn, 0.975, axis=0)
    value = [math.fsum(column) / len(tasks) for column in per_question.T]
    return [Interval(*(float(figure) for figure in three)) for three in zip(value, low, high, strict=True)]


def _summed(index: NDArray[np.int64], table: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    found = np.zeros((count, table.shape[1]))
    np.add.at(found, index, table)
    return found
