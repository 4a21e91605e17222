"""What a reader of a bench must be told before its figures: gaps, small numbers, and what they can resolve."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from phronesis.bench.metrics.paired import least_detectable
from phronesis.bench.reports.material import Material
from phronesis.bench.running.item import Item
from phronesis.bench.running.summary import clusters

FEW = 100
"""Questions below which a set is called small."""


def caveats(material: Material) -> list[str]:
    """One sentence per thing that limits what the report says, the gravest first; empty when there is nothing."""
    found = []
    if not material.items:
        return ["Nothing has been graded yet: the folder holds a plan and no items."]
    for name in (item.title for item in material.plan.sets):
        found += _gaps(material, name)
    if material.lost:
        found.append(
            f"The journals of {len(material.lost)} {_runs(len(material.lost))} are gone or broken: their questions, models "
            "and seeds are missing here."
        )
    if any(call.served for item in material.items for call in item.calls):
        found.append(
            "Some replies came from a bank. Arms that share one answer with the same samples, so their differences are those "
            "of the method; calls, tokens and seconds are what the replies cost when they were made."
        )
    if material.plan.repeats == 1:
        found.append("Every arm ran once: nothing here says how much its figures change from one run to the next.")
    return found


def _runs(count: int) -> str:
    return "run" if count == 1 else "runs"


def _gaps(material: Material, name: str) -> list[str]:
    items, arms = material.of(name), material.arms(name)
    if not items:
        return [f"{name}: no items yet."]
    found = []
    counts = Counter(item.status for item in items)
    if counts["ungraded"]:
        found.append(f"{name}: {counts['ungraded']} of {len(items)} items could not be graded; they count as neither.")
    if counts["failed"]:
        found.append(f"{name}: {counts['failed']} of {len(items)} items failed; they count as wrong.")
    asked = {arm: {(item.task, item.repeat) for item in items if item.arm == arm} for arm in arms}
    if len({frozenset(tasks) for tasks in asked.values()}) > 1:
        sizes = ", ".join(f"{arm} {len(tasks)}" for arm, tasks in asked.items())
        found.append(
            f"{name}: the arms did not answer the same questions ({sizes}); comparisons use those that both have."
        )
    absent = [arm.name for arm in material.plan.arms if arm.name not in arms]
    if absent:
        found.append(f"{name}: no items of {', '.join(absent)}.")
    wanted = int(material.data.get(name, {}).get("examples", 0)) * material.plan.repeats
    short = [arm for arm, tasks in asked.items() if len(tasks) < wanted]
    if short:
        found.append(f"{name}: unfinished, {', '.join(short)} lack some of the {wanted} items.")
    questions = len({item.task for item in items})
    if questions < FEW:
        found.append(f"{name}: {questions} questions are few; read the intervals before the figures.")
    return found


def resolution(items: Sequence[Item]) -> str:
    """What a set of this size can and cannot tell apart, in a paragraph."""
    questions = len({item.task for item in items if item.graded})
    if not questions:
        return "No item is graded, so there is nothing to compare."
    half = 100 * 1.96 * math.sqrt(0.25 / questions)
    few, many = (_detectable(questions, share) for share in (0.1, 0.3))
    groups = len(clusters([item for item in items if item.graded]))
    alike = (
        f" The questions come in {groups} clusters, which makes all these figures larger." if groups < questions else ""
    )
    return (
        f"{questions} questions: a single accuracy near 50 % is known to about ± {half:.0f} points. Two arms that disagree "
        f"on 10 % of the questions can be told apart, at 80 % power and the 5 % level, if they truly differ by {few}; "
        f"if they disagree on 30 %, by {many}. A smaller difference may be real, but this sample cannot show it; "
        "one whose interval includes zero is no evidence of equality either. The intervals cover the choice of "
        f"questions, not other prompts, models or sets.{alike}"
    )


def _detectable(questions: int, share: float) -> str:
    found = least_detectable(questions, share)
    return "more than that share" if math.isnan(found) else f"about {100 * found:.0f} points"
