"""The computation allocation model: how good DRAG and IterDRAG are for documents, demonstrations and iterations.

Source: Yue et al. 2024, Inference Scaling for Long-Context Retrieval Augmented Generation (arXiv 2410.04343), section 5:

    logit P(theta) = (a + b * i)^T log theta + c,    theta = (k, m, n),    i = (i_doc, i_shot, 0)

for the mean metric P of a task, six coefficients fitted by least squares over all tasks together. i is the task's
informativeness: what one document, and one demonstration, gains over a closed book. It predicts means over a task, not single
questions. Pure: numbers in, numbers out.

Zeros: log theta is log(theta + EPSILON). Scores of 0 and 1 have no logit: P is clipped to [CLIP, 1 - CLIP].
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

SCHEMA = "phronesis/allocation/1"
EPSILON = 0.01
"""Added to every knob before its logarithm."""
CLIP = 0.01
"""Least distance of a score from 0 and from 1."""


class Theta(NamedTuple):
    """One way to spend tokens."""

    k: int
    """Documents."""
    m: int
    """Demonstrations."""
    n: int
    """Generations that may end in an answer: 1 is DRAG, more are IterDRAG with n - 1 iterations."""


class Informativeness(NamedTuple):
    """What a task gains over a closed book, as differences of scores in [-1, 1]."""

    document: float
    """By one document: P(1, 0, 1) - P(0, 0, 1)."""
    demonstration: float
    """By one demonstration: P(0, 1, 1) - P(0, 0, 1)."""


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement."""

    task: str
    theta: Theta
    score: float
    """Mean metric in [0, 1]."""
    tokens: float | None = None
    """Longest effective context length: input tokens of all calls of one question."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of the parts of a prompt."""

    document: float
    demonstration: float
    """Of a demonstration without its documents."""
    question: float
    """With the order around it."""

    def tokens(self, theta: Theta) -> float:
        """The effective context length: n times demonstrations with k documents each, k documents, the question."""
        k, m, n = theta
        return n * (m * (k * self.document + self.demonstration) + k * self.document + self.question)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationModel:
    """A fitted model."""

    a: tuple[float, float, float]
    b: tuple[float, float]
    """For documents and demonstrations; iterations have none."""
    c: float
    r2: float
    """Share of the variance of the clipped logits that is explained; NaN where they do not vary."""
    mse: float
    """Mean squared error of the logits."""
    rank: int
    """6 where the points settle every coefficient; below, the shortest of the coefficients that fit equally well."""
    points: int
    epsilon: float = EPSILON
    clip: float = CLIP
    tasks: Mapping[str, Informativeness] = field(default_factory=dict)
    lengths: Lengths | None = None
    """As measured with the points; None = they had no tokens."""

    def predicted(self, theta: Theta, informativeness: Informativeness) -> float:
        """The mean metric to be expected, in (0, 1)."""
        row = _row(theta, informativeness, self.epsilon)
        value = float(np.dot(row, [*self.a, *self.b, self.c]))
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, value))))

    def to_toml(self) -> str:
        """The file ``from_toml`` reads."""
        lines = [f'schema = "{SCHEMA}"', f"a = {list(self.a)!r}", f"b = {list(self.b)!r}", f"c = {self.c!r}"]
        lines += [f"{name} = {getattr(self, name)!r}" for name in ("r2", "mse", "rank", "points", "epsilon", "clip")]
        if self.lengths is not None:
            lines += ["", "[lengths]", *(f"{name} = {value!r}" for name, value in asdict(self.lengths).items())]
        for name, item in self.tasks.items():
            lines += ["", f"[tasks.{_quoted(name)}]", *(f"{key} = {value!r}" for key, value in item._asdict().items())]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_toml(cls, text: str) -> AllocationModel:
        """Raises ValueError for what is no such file."""
        try:
            data: dict[str, Any] = tomllib.loads(text)
            if data.get("schema") != SCHEMA:
                raise ValueError(f"schema is {data.get('schema')!r}, not {SCHEMA!r}")
            a, b = tuple(map(float, data["a"])), tuple(map(float, data["b"]))
            if (len(a), len(b)) != (3, 2):
                raise ValueError("a has three coefficients and b two")
            given = data.get("lengths")
            return cls(
                a=(a[0], a[1], a[2]),
                b=(b[0], b[1]),
                c=float(data["c"]),
                r2=float(data["r2"]),
                mse=float(data["mse"]),
                rank=int(data["rank"]),
                points=int(data["points"]),
                epsilon=float(data["epsilon"]),
                clip=float(data["clip"]),
                tasks={name: Informativeness(**item) for name, item in data.get("tasks", {}).items()},
                lengths=None if given is None else Lengths(**given),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"a key is missing or of the wrong kind: {error}") from None


def informativeness_of(points: Iterable[Point], task: str) -> Informativeness:
    """What the task gains by one document and by one demonstration; scores of one theta are averaged. Raises ValueError
    that names the point it lacks."""
    found: dict[Theta, list[float]] = {}
    for point in points:
        if point.task == task:
            found.setdefault(point.theta, []).append(point.score)

    def mean(theta: Theta, what: str) -> float:
        if theta not in found:
            raise ValueError(f"task {task!r} has no point k={theta.k}, m={theta.m}, n={theta.n} ({what})")
        return math.fsum(found[theta]) / len(found[theta])

    closed = mean(Theta(0, 0, 1), "the closed book")
    document = mean(Theta(1, 0, 1), "one document")
    demonstration = mean(Theta(0, 1, 1), "one demonstration")
    return Informativeness(document - closed, demonstration - closed)


def fit(
    points: Sequence[Point],
    *,
    tasks: Mapping[str, Informativeness] | None = None,
    epsilon: float = EPSILON,
    clip: float = CLIP,
) -> AllocationModel:
    """The model of least squared error over the logits of all points. ``tasks``: informativeness that is known otherwise;
    None = it is measured from the points.

    Raises ValueError for fewer than six points, a score outside [0, 1], and a task whose informativeness is not known."""
    if len(points) < 6:
        raise ValueError(f"{len(points)} points cannot settle six coefficients")
    wrong = next((point for point in points if not 0 <= point.score <= 1), None)
    if wrong is not None:
        raise ValueError(f"the score {wrong.score} of {wrong.task!r} at {tuple(wrong.theta)} is outside [0, 1]")
    if tasks is None:
        tasks = {name: informativeness_of(points, name) for name in dict.fromkeys(point.task for point in points)}
    rows = np.array([_row(point.theta, tasks[point.task], epsilon) for point in points])
    scores = np.clip([point.score for point in points], clip, 1 - clip)
    logits = np.log(scores / (1 - scores))
    found, _, rank, _ = np.linalg.lstsq(rows, logits, rcond=None)
    errors = logits - rows @ found
    spread = float(np.sum((logits - logits.mean()) ** 2))
    a1, a2, a3, b1, b2, c = (float(value) for value in found)
    return AllocationModel(
        a=(a1, a2, a3),
        b=(b1, b2),
        c=c,
        r2=1.0 - float(np.sum(errors**2)) / spread if spread > 1e-12 else math.nan,
        mse=float(np.mean(errors**2)),
        rank=int(rank),
        points=len(points),
        epsilon=epsilon,
        clip=clip,
        tasks=dict(tasks),
        lengths=_lengths(points),
    )


def choose(
    model: AllocationModel,
    thetas: Iterable[Theta],
    lengths: Mapping[Theta, float],
    budget: float,
    informativeness: Informativeness,
) -> Theta:
    """Of the thetas whose length is within the budget the one with the highest prediction; of equal ones the shorter, then
    the smaller. Raises ValueError when none is."""
    feasible = [theta for theta in thetas if lengths[theta] <= budget]
    if not feasible:
        raise ValueError(f"nothing fits into {budget:g} tokens")
    return min(
        feasible, key=lambda theta: (-round(model.predicted(theta, informativeness), 12), lengths[theta], tuple(theta))
    )


def _row(theta: Theta, informativeness: Informativeness, epsilon: float) -> list[float]:
    logs = [math.log(knob + epsilon) for knob in theta]
    return [*logs, informativeness.document * logs[0], informativeness.demonstration * logs[1], 1.0]


def _lengths(points: Sequence[Point]) -> Lengths | None:
    """Tokens of the parts by least squares over the points that were measured; None where they settle less than three."""
    known = [(point.theta, point.tokens) for point in points if point.tokens is not None]
    rows = np.array([[n * k * (m + 1), n * m, n] for (k, m, n), _ in known], dtype=float).reshape(-1, 3)
    if not known or np.linalg.matrix_rank(rows) < 3:
        return None
    found, *_ = np.linalg.lstsq(rows, np.array([tokens for _, tokens in known]), rcond=None)
    document, demonstration, question = (max(0.0, float(value)) for value in found)
    return Lengths(document, demonstration, question)


def _quoted(text: str) -> str:
    escaped = "".join(f"\\u{ord(sign):04x}" if ord(sign) < 32 or sign in '"\\\x7f' else sign for sign in text)
    return f'"{escaped}"'
