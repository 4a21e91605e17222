"""``phronesis bench report``: what a bench found, as one page, tables and plots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb to ``phronesis bench``."""
    app.command()(report)


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the bench: the --out of bench run.")],
    out: Annotated[
        Path | None, typer.Option(help="The page; default report.html in the folder. A .items.csv file goes beside it.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables as Markdown too.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Write every plot as an SVG file into this folder.")] = None,
    prices: Annotated[Path | None, typer.Option(help="Price file (TOML); without one, costs are in tokens.")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Arm that the others are compared with; default the first.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a bench's report: one self-contained HTML file, and Markdown and SVG files where asked for.

    \b
    Examples:
      phronesis bench report gsm --open
      phronesis bench report gsm --baseline direct --prices prices.toml --markdown gsm.md --plots gsm-plots
    """
    import orjson

    from phronesis.bench.metrics.prices import Prices
    from phronesis.bench.reports.material import read_material
    from phronesis.bench.reports.report import build_report, write_report

    known = Prices.load(prices) if prices is not None else None
    made = build_report(read_material(folder), baseline=baseline, prices=known)
    written = write_report(made, html=out or folder / "report.html", markdown_file=markdown, plots=plots)
    if json:
        files: dict[str, object] = {
            "html": str(written.html),
            "csv": str(written.csv),
            "plots": [str(path) for path in written.plots],
        }
        files |= {"markdown": str(markdown) if markdown is not None else None, "notes": list(made.caveats)}
        typer.echo(orjson.dumps(files).decode())
    else:
        for note in made.caveats:
            typer.echo(f"note: {note}")
        for path in filter(None, (written.html, written.csv, written.markdown, plots)):
            typer.echo(path)
    if open_:
        typer.launch(written.html.absolute().as_uri())
