"""``phronesis bench rounds``: what the rounds of verified runs did to their answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from phronesis.bench.analysis_rounds import Rounds


def register(app: typer.Typer) -> None:
    """Adds the verb to ``phronesis bench``."""
    app.command("rounds")(rounds)


def rounds(
    places: Annotated[list[str], typer.Argument(metavar="DIR|RUN...", help="Folders of benches, or runs.")],
    dataset: Annotated[
        str | None, typer.Option(help="Gold answers of runs: a known set or a file; benches know theirs.")
    ] = None,
    arm: Annotated[str | None, typer.Option(help="Only this arm of the benches.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write accuracy by round as an SVG file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show accuracy by round of verified runs, how often a round mends or spoils an answer, and when it stops paying.

    \b
    Examples:
      phronesis bench rounds gsm --arm verified
      phronesis bench rounds 20260101-120000-abcdef --dataset gsm8k --plot rounds.svg
    """
    import orjson

    found = _found(places, dataset, arm)
    if plot is not None:
        _write(plot, found)
    if json:
        typer.echo(orjson.dumps([rounds_data(item) for item in found]).decode())
        return
    for item in found:
        _show(item)
    if plot is not None:
        typer.echo(str(plot))


def _found(places: Sequence[str], dataset: str | None, arm: str | None) -> list[Rounds]:
    from phronesis.bench.analysis_rounds import rounds_of_bench, rounds_of_run
    from phronesis.bench.reports.material import read_material
    from phronesis.bench.scoring_runs import format_of
    from phronesis.bench.sets.load import load_set
    from phronesis.bench.sets.request import SetRequest
    from phronesis.core.errors import ConfigurationError
    from phronesis.core.settings import load_settings

    settings = load_settings()
    found: list[Rounds] = []
    for place in places:
        if Path(place).is_dir():
            found += rounds_of_bench(read_material(Path(place)), arm)
            continue
        format = format_of(settings, place)
        if dataset is None:
            raise ConfigurationError(f"run {place!r} holds no gold answers", mend="add --dataset GOLD")
        found.append(rounds_of_run(settings, place, load_set(SetRequest(spec=dataset, format=format), settings)))
    return found


def rounds_data(item: Rounds) -> dict[str, Any]:
    """Plain values: an interval is [value, low, high]."""
    found = item.found
    lines = [
        {
            "round": line.round,
            "accuracy": [accuracy.value, accuracy.low, accuracy.high],
            "corrected": line.corrected,
            "was_wrong": line.was_wrong,
            "to_right": line.to_right,
            "spoiled": line.spoiled,
            "was_right": line.was_right,
            "to_wrong": line.to_wrong,
            "judged": line.judged,
            "accepted": line.accepted,
            "accept_rate": line.accept_rate,
            "accepted_precision": line.accepted_precision,
            "unknown": line.unknown,
        }
        for line, accuracy in zip(found.rounds, item.accuracies, strict=True)
    ]
    return {
        "name": item.name,
        "questions": found.questions,
        "rounds": lines,
        "corrections": found.corrections,
        "over_corrections": found.over_corrections,
        "gain": [item.gain.value, item.gain.low, item.gain.high],
        "stops_paying": found.stops_paying,
    }


def _show(item: Rounds) -> None:
    import sys

    from rich import box
    from rich.console import Console
    from rich.table import Table

    from phronesis.cli.scorer_test_table import percent

    found = item.found
    typer.echo(f"{item.name}: {found.questions} question{'' if found.questions == 1 else 's'}")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("round", "accuracy", "wrong -> right", "right -> wrong", "accepted", "of these right", "unknown"):
        table.add_column(column)
    for line, accuracy in zip(found.rounds, item.accuracies, strict=True):
        table.add_row(
            str(line.round),
            percent(accuracy),
            _rate(line.corrected, line.was_wrong) if line.round else "",
            _rate(line.spoiled, line.was_right) if line.round else "",
            _rate(line.accepted, line.judged),
            _rate(line.accepted_right, line.accepted),
            str(line.unknown),
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    stops = found.stops_paying
    said = "no round spoils more than it corrects"
    if stops is not None:
        said = f"it stops paying in round {stops}, the first that spoils more than it corrects"
    typer.echo(
        f"  corrections {found.corrections}, over-corrections {found.over_corrections}; final answer less first attempt "
        f"{percent(item.gain, sign=True)}; {said}\n"
    )


def _rate(part: int, whole: int) -> str:
    return f"{part}/{whole} ({part / whole:.0%})" if whole else "-"


def _write(path: Path, found: Sequence[Rounds]) -> None:
    from phronesis.bench.reports.line_chart import Point, Series, line_chart
    from phronesis.bench.reports.svg import standalone
    from phronesis.core.errors import ConfigurationError

    series = [
        Series(
            name=item.name,
            points=[Point(number, one.value, one.low, one.high) for number, one in enumerate(item.accuracies)],
            style=style,
        )
        for style, item in enumerate(found)
    ]
    rounds = max(len(item.points) for item in series)
    drawn = line_chart(
        series,
        name="rounds",
        title="Accuracy by round",
        description="Share of right answers that stand after each round of verification.",
        x_label="round",
        y_label="accuracy",
        x_ticks=list(range(rounds)),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(standalone(drawn), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {str(path)!r}: {error.strerror}", mend="another --plot") from None
