"""``phronesis bench compare``: arms against a baseline, with what the sample can and cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from phronesis.bench.comparing import Comparison, DrawNoise
    from phronesis.bench.comparing_folders import Gathered
    from phronesis.bench.running.summary import CellSummary


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(compare)


def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of benches.")],
    baseline: Annotated[
        str | None, typer.Option(metavar="ARM", help="Arm that the others are compared with; default the first.")
    ] = None,
    set_: Annotated[str | None, typer.Option("--set", metavar="NAME", help="This set only.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the tables as Markdown too.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare arms on the questions that both answered: differences with intervals, exact tests, cost ratios.

    Several folders stand side by side where a set's data are the same; an arm whose name stands twice is FOLDER/ARM then.

    \b
    Examples:
      phronesis bench compare gsm --baseline direct
      phronesis bench compare gsm-1.5b gsm-7b --baseline gsm-1.5b/direct --markdown models.md
    """
    import orjson

    from phronesis.bench.comparing_folders import gathered, read_side

    found = gathered([read_side(path) for path in folders], only=set_)
    views = compared(found, baseline)
    if markdown is not None:
        write_markdown(markdown, views)
    if json:
        typer.echo(orjson.dumps({"sets": [view.to_json() for view in views]}).decode())
    else:
        show(views)
    if not any(pair.questions for view in views for pair in view.pairs):
        raise typer.Exit(1)


@dataclass(frozen=True, kw_only=True)
class SetView:
    """One set, compared."""

    set: str
    baseline: str
    arms: Sequence[CellSummary]
    noises: Sequence[DrawNoise]
    pairs: Sequence[Comparison]
    together: int
    """Comparisons that p was corrected over."""

    def sentences(self) -> list[str]:
        """Verdicts with what the sample resolves, then warnings."""
        from phronesis.bench.comparing_text import resolution, verdict, warnings

        said = [f"{verdict(item, together=self.together)} {resolution(item)}".strip() for item in self.pairs]
        if not self.pairs:
            said.append("The baseline or every other arm has no items on this set: nothing can be compared.")
        return [*said, *(f"Note: {line}" for line in warnings(self.arms, self.pairs, self.noises))]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        from phronesis.bench.comparing_text import noise_to_json, pair_to_json

        return {
            "set": self.set,
            "baseline": self.baseline,
            "arms": [item.to_json() for item in self.arms],
            "repeats": [noise_to_json(item) for item in self.noises],
            "pairs": [pair_to_json(item) for item in self.pairs],
            "said": self.sentences(),
        }


def compared(found: Gathered, baseline: str | None) -> list[SetView]:
    """A view per set. Raises ConfigurationError for an unknown baseline, and where there is only one arm."""
    from phronesis.bench.comparing import compare as compare_items
    from phronesis.bench.comparing import draw_noise
    from phronesis.bench.running.summary import summary
    from phronesis.core.errors import ConfigurationError

    if baseline is not None and baseline not in found.arms:
        raise ConfigurationError(
            f"there is no arm {baseline!r} with graded questions", mend=f"choose one of {', '.join(found.arms)}"
        )
    if len(found.arms) < 2:
        raise ConfigurationError(
            f"there is only the arm {found.arms[0]!r}",
            mend="add an arm to the bench, or name another bench's folder too",
        )
    first = baseline or found.arms[0]
    pairs, noises = compare_items(found.items, first), draw_noise(found.items)
    views = []
    for name in found.sets:
        arms = dict.fromkeys(item.arm for item in found.items if item.set == name)
        mine = [[item for item in found.items if item.set == name and item.arm == arm] for arm in arms]
        views.append(
            SetView(
                set=name,
                baseline=first,
                arms=[summary(items) for items in mine],
                noises=[noise for noise in noises if noise.set == name],
                pairs=[pair for pair in pairs if pair.set == name],
                together=sum(pair.questions > 0 for pair in pairs),
            )
        )
    return views


def show(views: Sequence[SetView]) -> None:
    """The tables and sentences for people."""
    from phronesis.bench.comparing_text import ARM_COLUMNS, LEGEND, PAIR_COLUMNS, arm_cells, pair_cells
    from phronesis.cli.bench_running import print_table

    for view in views:
        typer.echo(f"{view.set}, against {view.baseline}")
        rows = [arm_cells(item, noise) for item, noise in zip(view.arms, view.noises, strict=True)]
        print_table(ARM_COLUMNS, rows)
        if view.pairs:
            print_table(PAIR_COLUMNS, [pair_cells(item) for item in view.pairs])
        for line in view.sentences():
            typer.echo(line)
        typer.echo("")
    typer.echo(LEGEND)


def write_markdown(path: Path, views: Sequence[SetView]) -> None:
    """The same as a Markdown file. Raises ConfigurationError when it cannot be written."""
    from phronesis.bench.comparing_text import ARM_COLUMNS, LEGEND, PAIR_COLUMNS, arm_cells, markdown_table, pair_cells
    from phronesis.core.errors import ConfigurationError

    parts = []
    for view in views:
        rows = [arm_cells(item, noise) for item, noise in zip(view.arms, view.noises, strict=True)]
        parts += [f"## {view.set}", markdown_table(ARM_COLUMNS, rows)]
        if view.pairs:
            parts += [f"Against {view.baseline}:", markdown_table(PAIR_COLUMNS, [pair_cells(it) for it in view.pairs])]
        parts.append("\n".join(f"- {line}" for line in view.sentences()))
    try:
        path.write_text("\n\n".join([*parts, LEGEND]) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {str(path)!r}: {error.strerror}", mend="choose another --markdown"
        ) from None
