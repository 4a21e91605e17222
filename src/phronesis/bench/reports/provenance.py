"""Section on what was run: sets and their data, arms and their recipes, models, seeds, versions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from phronesis.bench.reports.blocks import Cell, Column, Note, Section, Table
from phronesis.bench.reports.material import Material


def provenance(material: Material) -> Section:
    """Everything that is needed to run the bench again."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(material.versions.items()))
    repeats = "once" if material.plan.repeats == 1 else f"{material.plan.repeats} times"
    return Section(
        anchor="provenance",
        title="What was run",
        blocks=[
            Note(
                f"Each arm was run {repeats} on each set, with {versions}. bench.json in the folder holds every recipe whole."
            ),
            _sets(material),
            _arms(material),
        ],
    )


def _sets(material: Material) -> Table:
    rows = []
    for item in material.plan.sets:
        known = material.data.get(item.title, {})
        chosen = {
            key: value for key, value in item.model_dump(mode="json").items() if key not in ("spec", "name") and value
        }
        rows.append(
            [
                Cell(item.title),
                Cell(str(known.get("examples", ""))),
                Cell(str(known.get("digest", ""))),
                Cell(_source(item.spec)),
                Cell(", ".join(f"{key} {_short(value)}" for key, value in chosen.items()), tone="quiet"),
            ]
        )
    columns = [
        Column("Set", number=False),
        Column("Questions"),
        Column("Digest of the data", number=False),
        Column("Source", number=False),
        Column("Chosen", number=False),
    ]
    return Table(columns=columns, rows=rows, fit=True)


def _source(spec: str) -> str:
    """The set as it was asked for; of a path from the root the last two parts, so that a page tells nothing of a machine."""
    path = PurePath(spec)
    return "/".join(path.parts[-2:]) if path.is_absolute() else spec


def _arms(material: Material) -> Table:
    rows = []
    for arm in material.plan.arms:
        recipe = arm.recipe
        runs = list(dict.fromkeys(item.run_id for item in material.items if item.arm == arm.name and item.run_id))
        heads = [material.heads[run] for run in runs if run in material.heads]
        models = ", ".join(dict.fromkeys(material.models_of(arm.name).values()))
        served = list(dict.fromkeys(head.replayed_from for head in heads if head.replayed_from))
        rows.append(
            [
                Cell(arm.name),
                Cell(str(recipe.get("strategy", ""))),
                Cell(_knobs(recipe)),
                Cell(models or "–"),
                Cell(", ".join(str(head.seed) for head in _distinct_seeds(heads)) or str(recipe.get("seed", ""))),
                Cell(", ".join(served) or arm.bank or "–", tone="quiet"),
                Cell(", ".join(runs[:4]) + (f" and {len(runs) - 4} more" if len(runs) > 4 else ""), tone="quiet"),
            ]
        )
    columns = [
        Column("Arm", number=False),
        Column("Strategy", number=False),
        Column("Knobs", number=False),
        Column("Models", number=False),
        Column("Seed", number=False),
        Column("Bank", number=False, hint="run whose recorded replies were used first"),
        Column("Runs", number=False),
    ]
    return Table(columns=columns, rows=rows, fit=True)


def _distinct_seeds(heads: list[Any]) -> list[Any]:
    return list({head.seed: head for head in heads}.values())[:8]


def _knobs(recipe: Mapping[str, Any]) -> str:
    knobs = recipe.get("knobs", {})
    return ", ".join(f"{key} {_short(value)}" for key, value in knobs.items()) if isinstance(knobs, Mapping) else ""


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key} = {_short(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return " ".join(_short(item) for item in value)
    text = str(value)
    return text if len(text) <= 80 else text[:79] + "…"
