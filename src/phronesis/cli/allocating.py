"""``allocation fit`` and ``allocation choose`` as the command line carries them out."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import orjson
import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from phronesis.core.errors import ConfigurationError
from phronesis.graphs.policies import allocation
from phronesis.graphs.policies.allocation import AllocationModel, Informativeness, Lengths, Point, Theta


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True)

    task: str
    k: int = Field(ge=0)
    m: int = Field(ge=0)
    n: int = Field(ge=1)
    score: float = Field(ge=0, le=1)
    tokens: float | None = Field(default=None, gt=0)


def run_fit(points: Path, out: Path, *, json: bool) -> None:
    """Fits, writes the model and says how well it fits."""
    found = read_points(points)
    try:
        model = allocation.fit(found)
    except ValueError as error:
        raise ConfigurationError(f"{points}: {error}", mend="measure it, and add the line") from None
    try:
        out.write_text(model.to_toml(), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {str(out)!r}: {error.strerror}", mend="choose another --out") from None
    if json:
        data = {"out": str(out), "a": model.a, "b": model.b, "c": model.c, "r2": model.r2, "mse": model.mse}
        typer.echo(orjson.dumps({**data, "rank": model.rank, "points": model.points}).decode())
        return
    typer.echo(
        f"{out}: {model.points} points of {len(model.tasks)} tasks; R2 {model.r2:.3f}, MSE {model.mse:.3f} (logits)"
    )
    if model.rank < 6:
        typer.echo(f"  the points settle {model.rank} of 6 coefficients: add tasks, or values of k, m and n")
    for name, item in model.tasks.items():
        typer.echo(f"  {name}: one document {item.document:+.3f}, one demonstration {item.demonstration:+.3f}")
    if model.lengths is None:
        typer.echo("  lengths were not measured: allocation choose will need --tokens")


def run_choose(
    path: Path,
    budget: float,
    *,
    task: str | None,
    gains: str | None,
    tokens: str | None,
    grid: tuple[str, str, str],
    json: bool,
) -> None:
    """Prints the choice and the command that runs it."""
    model = read_model(path)
    known = _informativeness(model, task, gains)
    lengths = model.lengths if tokens is None else Lengths(*_numbers(tokens, 3, "--tokens"))
    if lengths is None:
        raise ConfigurationError(
            f"{str(path)!r} has no measured lengths", mend="--tokens DOCUMENT,DEMONSTRATION,QUESTION"
        )
    names = ("--k", "--m", "--n")
    ranges = [_knobs(text, name, least=int(name == "--n")) for text, name in zip(grid, names, strict=True)]
    thetas = [Theta(*item) for item in product(*ranges)]
    estimated = {theta: lengths.tokens(theta) for theta in thetas}
    try:
        found = allocation.choose(model, thetas, estimated, budget, known)
    except ValueError as error:
        least = min(estimated.values())
        raise ConfigurationError(f"{error}: the shortest takes {least:.0f}", mend="a larger --budget") from None
    strategy = "drag" if found.n == 1 else "iterdrag"
    knobs = {"k": found.k, "m": found.m, **({} if found.n == 1 else {"n": found.n - 1, "k_sub": found.k})}
    predicted = model.predicted(found, known)
    if json:
        data = {"strategy": strategy, "knobs": knobs, "predicted": predicted, "tokens": estimated[found]}
        typer.echo(orjson.dumps(data).decode())
        return
    settings = " ".join(f"--set knobs.{name}={value}" for name, value in knobs.items())
    demos = " --set knobs.demos=DEMOS.jsonl" if found.m else ""
    typer.echo(f"phronesis run {strategy} {settings}{demos}")
    typer.echo(f"  predicted score {predicted:.3f} with about {estimated[found]:.0f} of {budget:.0f} input tokens")


def read_points(path: Path) -> list[Point]:
    """The measurements of a JSONL file; other fields are passed over. Raises ConfigurationError naming the line."""
    try:
        whole = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {str(path)!r}: {error.strerror}", mend="check the path") from None
    found = []
    for number, line in enumerate(whole.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = _Row.model_validate(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            raise ConfigurationError(f"{path}:{number} is not JSON: {error}", mend="one JSON object a line") from None
        except ValidationError as error:
            first = error.errors()[0]
            named = ".".join(str(part) for part in first["loc"])
            raise ConfigurationError(f"{path}:{number}: {named}: {first['msg']}", mend="correct the line") from None
        found.append(Point(row.task, Theta(row.k, row.m, row.n), row.score, row.tokens))
    return found


def read_model(path: Path) -> AllocationModel:
    """Raises ConfigurationError."""
    mend = "make one: phronesis allocation fit POINTS.jsonl --out FILE"
    try:
        return AllocationModel.from_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read the model {str(path)!r}: {error.strerror}", mend=mend) from None
    except ValueError as error:
        raise ConfigurationError(f"{str(path)!r} is no allocation model: {error}", mend=mend) from None


def _informativeness(model: AllocationModel, task: str | None, gains: str | None) -> Informativeness:
    if gains is not None:
        return Informativeness(*_numbers(gains, 2, "--gains"))
    if task is None:
        raise ConfigurationError("for which task is not said", mend="--task NAME, or --gains DOCUMENT,DEMONSTRATION")
    if task not in model.tasks:
        raise ConfigurationError(f"the model knows no task {task!r}", mend=f"known: {', '.join(model.tasks)}")
    return model.tasks[task]


def _numbers(text: str, count: int, option: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) != count:
        raise ConfigurationError(f"{option} {text!r} is not {count} numbers", mend="separate them by commas")
    return found


def _knobs(text: str, option: str, *, least: int) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = [-1]
    if min(found) < least:
        raise ConfigurationError(f"{option} {text!r} is no list of numbers from {least} on", mend=f"{option} 1,2,5")
    return found
