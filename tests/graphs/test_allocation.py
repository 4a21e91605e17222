"""The allocation model: known coefficients come back, extrapolation, choices within the budget, its file, its commands."""

from __future__ import annotations

import math
import random
from itertools import product
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from phronesis.cli.main import app
from phronesis.core.errors import ConfigurationError
from phronesis.graphs.policies.allocation import (
    EPSILON,
    AllocationModel,
    Informativeness,
    Lengths,
    Point,
    Theta,
    choose,
    fit,
    informativeness_of,
)

TASKS = {"x": Informativeness(0.3, 0.0), "y": Informativeness(0.05, 0.2), "z": Informativeness(0.15, 0.1)}
GRID = [Theta(*item) for item in product((0, 1, 2, 5, 10), (0, 1, 2, 4), (1, 2, 3, 5))]


def logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def score(a: tuple[float, ...], b: tuple[float, ...], c: float, known: Informativeness, theta: Theta) -> float:
    logs = [math.log(knob + EPSILON) for knob in theta]
    part = known.document * b[0] * logs[0] + known.demonstration * b[1] * logs[1]
    return logistic(sum(x * y for x, y in zip(a, logs, strict=True)) + part + c)


def world(
    a: tuple[float, ...], b: tuple[float, ...], tasks: dict[str, Informativeness], *, noise: float = 0.0, seed: int = 0
) -> list[Point]:
    """Points whose logits are the model's, plus noise, with measured lengths."""
    dice = random.Random(seed)
    found = []
    for name, known in tasks.items():
        for theta in GRID:
            clean = score(a, b, -0.4, known, theta)
            shaken = math.log(clean / (1 - clean)) + (dice.gauss(0, noise) if noise else 0.0)
            found.append(Point(name, theta, logistic(shaken), tokens=Lengths(200, 90, 70).tokens(theta)))
    return found


@given(
    st.tuples(st.floats(0.02, 0.25), st.floats(0.01, 0.15), st.floats(0.05, 0.4)),
    st.tuples(st.floats(-0.2, 0.4), st.floats(-0.2, 0.4)),
)
def test_known_coefficients_come_back(a: tuple[float, float, float], b: tuple[float, float]) -> None:
    model = fit(world(a, b, TASKS), tasks=TASKS)
    assert model.rank == 6
    assert model.a == pytest.approx(a, abs=1e-6)
    assert model.b == pytest.approx(b, abs=1e-4)
    assert model.c == pytest.approx(-0.4, abs=1e-6)
    assert model.r2 == pytest.approx(1.0) and model.mse < 1e-9


def test_informativeness_is_what_one_more_gains_over_a_closed_book() -> None:
    points = [Point("t", Theta(0, 0, 1), 0.2), Point("t", Theta(1, 0, 1), 0.5), Point("t", Theta(0, 1, 1), 0.25)]
    points += [Point("t", Theta(0, 0, 1), 0.3), Point("other", Theta(0, 0, 1), 0.9)]
    assert informativeness_of(points, "t") == pytest.approx((0.25, 0.0))


@pytest.mark.parametrize("seed", range(5))
def test_noise_moves_the_coefficients_a_little(seed: int) -> None:
    a, b = (0.12, 0.05, 0.3), (0.3, 0.1)
    model = fit(world(a, b, TASKS, noise=0.1, seed=seed), tasks=TASKS)
    assert model.a == pytest.approx(a, abs=0.05)
    assert model.b == pytest.approx(b, abs=0.25)
    assert model.c == pytest.approx(-0.4, abs=0.05)
    assert 0.85 < model.r2 < 1 and model.mse == pytest.approx(0.01, rel=0.4)


def test_a_fit_on_small_budgets_ranks_larger_ones() -> None:
    a, b = (0.12, 0.05, 0.3), (0.3, 0.1)
    points = world(a, b, TASKS, noise=0.05)
    model = fit([point for point in points if point.tokens is not None and point.tokens < 3000], tasks=TASKS)
    large = [point for point in points if point.tokens is not None and point.tokens >= 3000]
    errors = [abs(model.predicted(point.theta, TASKS[point.task]) - point.score) for point in large]
    assert sum(errors) / len(errors) < 0.05
    for known in TASKS.values():
        assert model.predicted(Theta(1000, 256, 5), known) > model.predicted(Theta(5, 1, 2), known)
        assert 0 < model.predicted(Theta(10**9, 10**9, 10**9), known) < 1


def test_scores_of_nought_and_one_are_clipped() -> None:
    points = [Point("t", theta, float(theta.k > 1)) for theta in GRID]
    model = fit(points)
    assert all(math.isfinite(value) for value in (*model.a, *model.b, model.c, model.mse))
    assert 0 < model.predicted(GRID[0], model.tasks["t"]) < 1


def test_one_task_settles_fewer_coefficients_and_says_so() -> None:
    known = Informativeness(0.2, 0.1)
    points = world((0.1, 0.05, 0.2), (0.0, 0.0), {"only": known})
    model = fit(points)
    assert model.rank == 4, "documents and their informativeness cannot be told apart in one task"
    assert model.r2 == pytest.approx(1.0)


def test_what_cannot_be_fitted() -> None:
    points = [Point("t", theta, 0.5) for theta in GRID]
    with pytest.raises(ValueError, match="six coefficients"):
        fit(points[:5])
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        fit([*points, Point("t", GRID[0], 1.5)])
    with pytest.raises(ValueError, match="k=1, m=0, n=1"):
        fit([point for point in points if point.theta != Theta(1, 0, 1)])
    assert math.isnan(fit(points).r2), "nothing varies"


@given(
    st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1)),
    st.floats(100, 40_000),
    st.permutations(GRID),
)
def test_the_choice_fits_and_is_the_best_that_does(
    a: tuple[float, float, float], budget: float, thetas: list[Theta]
) -> None:
    model = AllocationModel(a=a, b=(0.2, -0.1), c=0.0, r2=1, mse=0, rank=6, points=9)
    known, lengths = Informativeness(0.1, 0.1), {theta: Lengths(200, 90, 70).tokens(theta) for theta in GRID}
    found = choose(model, thetas, lengths, budget, known)
    assert lengths[found] <= budget
    best = max(model.predicted(theta, known) for theta in GRID if lengths[theta] <= budget)
    assert model.predicted(found, known) == pytest.approx(best, abs=1e-9)
    assert found == choose(model, GRID, lengths, budget, known), "whatever the order"


def test_equal_predictions_go_to_the_shorter() -> None:
    model = AllocationModel(a=(0, 0, 0), b=(0, 0), c=0.0, r2=1, mse=0, rank=6, points=9)
    lengths = {theta: 1000.0 - theta.k for theta in GRID}
    assert choose(model, GRID, lengths, 2000, Informativeness(0, 0)) == Theta(10, 0, 1)


def test_nothing_fits() -> None:
    model = AllocationModel(a=(0, 0, 0), b=(0, 0), c=0.0, r2=1, mse=0, rank=6, points=9)
    with pytest.raises(ValueError, match="nothing fits"):
        choose(model, GRID, dict.fromkeys(GRID, 100.0), 99, Informativeness(0, 0))


def test_lengths_are_measured_from_the_points() -> None:
    tasks = {"x": Informativeness(0.3, 0.0), "y": Informativeness(0.05, 0.2)}
    model = fit(world((0.1, 0.1, 0.1), (0, 0), tasks))
    assert model.lengths is not None
    assert model.lengths.document == pytest.approx(200)
    assert model.lengths.demonstration == pytest.approx(90)
    assert model.lengths.question == pytest.approx(70)
    assert model.lengths.tokens(Theta(5, 2, 3)) == pytest.approx(3 * (2 * (5 * 200 + 90) + 5 * 200 + 70))


def test_the_file_reads_back() -> None:
    tasks = {'a "task"\\ with\nsigns': Informativeness(0.3, 0.0), "y": Informativeness(0.05, 0.2)}
    model = fit(world((0.1, 0.1, 0.1), (0, 0), tasks))
    assert AllocationModel.from_toml(model.to_toml()) == model
    for text in ("", "schema = 1", 'schema = "phronesis/allocation/1"', "= no toml"):
        with pytest.raises(ValueError):
            AllocationModel.from_toml(text)


def written(path: Path, points: list[Point]) -> Path:
    rows = [{"task": p.task, **p.theta._asdict(), "score": p.score, "tokens": p.tokens} for p in points]
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def test_fit_and_choose_from_the_command_line(tmp_path: Path) -> None:
    points = written(tmp_path / "points.jsonl", world((0.12, 0.05, 0.3), (0.3, 0.1), TASKS))
    out = tmp_path / "model.toml"
    runner = CliRunner()
    fitted = runner.invoke(app, ["allocation", "fit", str(points), "--out", str(out)], catch_exceptions=False)
    assert fitted.exit_code == 0 and "R2" in fitted.output
    line = runner.invoke(
        app, ["allocation", "choose", str(out), "--budget", "8000", "--task", "x"], catch_exceptions=False
    )
    assert "phronesis run iterdrag --set knobs.k=" in line.output
    found = runner.invoke(
        app, ["allocation", "choose", str(out), "--budget", "900", "--task", "x", "--n", "1", "--json"]
    )
    data = orjson.loads(found.output)
    assert data["strategy"] == "drag" and data["tokens"] <= 900 and data["knobs"]["k"] + data["knobs"]["m"] >= 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget", "10", "--task", "x"], "nothing fits into 10 tokens"),
        (["--budget", "8000", "--task", "w"], "no task 'w'"),
        (["--budget", "8000"], "--task"),
        (["--budget", "8000", "--task", "x", "--k", "a,b"], "'a,b'"),
        (["--budget", "8000", "--task", "x", "--n", "0"], "'0'"),
    ],
)
def test_wrong_choices_are_named(tmp_path: Path, arguments: list[str], said: str) -> None:
    out = tmp_path / "model.toml"
    out.write_text(fit(world((0.12, 0.05, 0.3), (0.3, 0.1), TASKS)).to_toml())
    with pytest.raises(ConfigurationError) as caught:
        CliRunner().invoke(app, ["allocation", "choose", str(out), *arguments], catch_exceptions=False)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "points.jsonl:1 is not JSON"),
        (b'{"task": "t", "k": 1, "m": 0, "n": 1}', "points.jsonl:1: score"),
        (b'{"task": "t", "k": 1, "m": 0, "n": 0, "score": 0.1}', "points.jsonl:1: n"),
        (b'{"task": "t", "k": 1, "m": 0, "n": 1, "score": 0.1}', "six coefficients"),
        (b"", "six coefficients"),
    ],
)
def test_wrong_points_are_named(tmp_path: Path, line: bytes, said: str) -> None:
    points = tmp_path / "points.jsonl"
    points.write_bytes(line)
    with pytest.raises(ConfigurationError) as caught:
        CliRunner().invoke(
            app, ["allocation", "fit", str(points), "--out", str(tmp_path / "m.toml")], catch_exceptions=False
        )
    assert said in str(caught.value)
