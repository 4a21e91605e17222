"""A report whole: built from a bench folder, written as HTML, Markdown, CSV and plots."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from phronesis.bench.comparing import compare
from phronesis.bench.metrics.prices import Prices
from phronesis.bench.reports.blocks import Section, charts_of
from phronesis.bench.reports.caveats import caveats
from phronesis.bench.reports.figures import cut
from phronesis.bench.reports.html import section, text
from phronesis.bench.reports.item_table import item_table
from phronesis.bench.reports.items_csv import items_csv
from phronesis.bench.reports.markdown import markdown
from phronesis.bench.reports.material import Material
from phronesis.bench.reports.palette import CHART_STYLE, variables
from phronesis.bench.reports.provenance import provenance
from phronesis.bench.reports.quality import by_group, calibration, failures, revision
from phronesis.bench.reports.results import headline, paired_differences, set_view
from phronesis.bench.reports.scaling import over_time, pareto, samples, sweeps_of
from phronesis.bench.reports.spending import spending
from phronesis.bench.reports.svg import escaped, standalone
from phronesis.core.errors import ConfigurationError

_TOPICS = (
    headline, paired_differences, pareto, samples, over_time, sweeps_of, calibration, revision, by_group, spending, failures,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a bench found, ready to be written."""

    material: Material
    title: str
    lead: Sequence[str]
    """How much of what was run, with which models and version."""
    caveats: Sequence[str]
    sections: Sequence[Section]
    """One per set, then what was run."""


def build_report(material: Material, *, baseline: str | None = None, prices: Prices | None = None) -> Report:
    """The report; the same for the same folder. ``baseline`` None = the plan's first arm.

    Raises ConfigurationError for a baseline that is no arm and for a model that the price file lacks."""
    names = [arm.name for arm in material.plan.arms]
    if baseline is not None and baseline not in names:
        raise ConfigurationError(f"there is no arm {baseline!r}", mend=f"choose one of {', '.join(names)}")
    first = baseline or names[0]
    comparisons = compare(material.items, first)
    sections = []
    for number, name in enumerate(item.title for item in material.plan.sets):
        if not material.of(name):
            continue
        view = set_view(material, name, anchor=f"set{number}", baseline=first, prices=prices, comparisons=comparisons)
        sections.append(Section(anchor=view.anchor, title=name, parts=[topic(view) for topic in _TOPICS]))
    return Report(
        material=material,
        title=material.plan.name,
        lead=_lead(material),
        caveats=caveats(material),
        sections=[*sections, provenance(material)],
    )


def _lead(material: Material) -> list[str]:
    plan = material.plan
    models = dict.fromkeys(model for head in material.heads.values() for model in head.models.values())
    questions = len({(item.set, item.task) for item in material.items})
    return [
        _counted(len(plan.arms), "arm"),
        _counted(len(plan.sets), "set"),
        _counted(questions, "question"),
        *([_counted(plan.repeats, "repeat")] if plan.repeats > 1 else []),
        ", ".join(models) or "model unknown",
        f"phronesis {material.versions.get('phronesis', '')}".strip(),
    ]


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}" + ("" if count == 1 else "s")


def html_page(report: Report, *, page: Path, csv: str) -> str:
    """The whole page, self-contained. ``page`` is where it will lie, ``csv`` the relative name of the file of all items."""
    files = resources.files("phronesis.bench.reports")
    style, script = (files.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    items = item_table(report.material, page=page, csv=csv)
    sets = report.sections[:-1]
    links = [
        (part.anchor, part.title)
        for part in (sets if len(sets) > 1 else sets[0].parts if sets else ())
        if not part.empty
    ]
    links += [("item-list", "Items")] if items else []
    links += [("provenance", "What was run")]
    warnings = "".join(f"<li>{text(note)}</li>" for note in report.caveats)
    lead = " · ".join(text(cut(part)) for part in report.lead)
    described = report.material.plan.description
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(report.title)}: bench report</title>\n"
        f"<style>{variables()}{CHART_STYLE}\n{style}</style>\n</head>\n<body>\n"
        f'<header><h1>{text(report.title)}</h1><p class="lead">{lead}</p>'
        + (f"<p>{text(described)}</p>" if described else "")
        + '<button id="theme" type="button" title="Change between light and dark" hidden>Dark</button></header>\n'
        "<nav>"
        + "".join(f'<a href="#{anchor}">{escaped(name)}</a>' for anchor, name in links)
        + "</nav>\n<main>\n"
        + (f'<ul class="warnings">{warnings}</ul>\n' if warnings else "")
        + "".join(section(part) for part in report.sections[:-1])
        + items
        + section(report.sections[-1])
        + "</main>\n<footer>Made by <code>phronesis bench report</code> from the folder’s items.jsonl; the same folder gives "
        f"the same page.</footer>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


@dataclass(frozen=True, kw_only=True)
class Written:
    """Files that a report is now in."""

    html: Path
    csv: Path
    markdown: Path | None
    plots: Sequence[Path]


def write_report(
    report: Report, *, html: Path, markdown_file: Path | None = None, plots: Path | None = None
) -> Written:
    """Writes the page, beside it the CSV file of all items, and what else is asked for.

    Raises ConfigurationError when a file cannot be written."""
    csv = html.with_suffix(".items.csv")
    _write(csv, items_csv(report.material.items))
    drawn = {}
    if plots is not None:
        for chart in charts_of(report.sections):
            file = plots / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', chart.name)}.svg"
            _write(file, standalone(chart.svg), "another folder with --plots")
            drawn[chart.name] = file
    if markdown_file is not None:
        links = {name: _relative(file, markdown_file.parent) for name, file in drawn.items()}
        text = markdown(report.title, report.lead, report.caveats, report.sections, plots=links)
        _write(markdown_file, text, "another file with --markdown")
    _write(html, html_page(report, page=html, csv=csv.name))
    return Written(html=html, csv=csv, markdown=markdown_file, plots=tuple(drawn.values()))


def _relative(file: Path, folder: Path) -> str:
    return Path(os.path.relpath(file.absolute(), folder.absolute())).as_posix().replace(" ", "%20")


def _write(path: Path, content: str, mend: str = "another file with --out") -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigurationError(f"cannot write {str(path)!r}: {error.strerror}", mend=f"choose {mend}") from None
