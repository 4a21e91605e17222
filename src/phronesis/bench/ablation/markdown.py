"""An ablation's report as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from phronesis.bench.ablation.report import MOST_USED, AblationReport, ArmReport, ConceptReport
from phronesis.bench.reports.markdown import plain
from phronesis.bench.running.summary import percent

FILE_NAME = "memory.md"
ARM_COLUMNS = (
    "arm",
    "tasks",
    "accuracy %",
    "off %",
    "difference",
    "p",
    "with a concept",
    "difference there",
    "difference elsewhere",
    "help %",
    "harm %",
    "precision %",
)
COST_COLUMNS = (
    "arm",
    "calls",
    "paid",
    "learning",
    "choosing",
    "prompt tokens",
    "tokens",
    "of learning",
    "seconds",
    "concepts",
)


def arm_rows(report: AblationReport) -> list[list[str]]:
    """A row per arm, ``off`` first, as in ``ARM_COLUMNS``."""
    first = ["off", f"{len(report.plan.tasks)}", percent(report.off), *[""] * (len(ARM_COLUMNS) - 3)]
    return [first, *(_arm(item) for item in report.arms)]


def _arm(item: ArmReport) -> list[str]:
    times = item.readings / item.tasks
    return [
        item.kind,
        f"{item.tasks}" + (f" x {times:.1f}" if item.readings > item.tasks else ""),
        percent(item.accuracy),
        f"{100 * item.off:.1f}",
        percent(item.difference, sign=True),
        "<0.001" if item.p < 0.001 else f"{item.p:.3f}",
        f"{item.shown} of {item.readings}",
        percent(item.difference_shown, sign=True),
        percent(item.difference_unshown, sign=True),
        percent(item.help_rate),
        percent(item.harm_rate),
        percent(item.precision),
    ]


def cost_rows(report: AblationReport) -> list[list[str]]:
    """A row per arm, ``off`` first, as in ``COST_COLUMNS``; means per task."""
    costs = [("off", report.off_cost, 0.0), *((item.kind, item.cost, item.concepts) for item in report.arms)]
    return [
        [
            name,
            *(f"{value:.1f}" for value in (cost.calls, cost.paid_calls, cost.learning_calls, cost.choosing_calls)),
            *(f"{value:.0f}" for value in (cost.prompt_tokens, cost.tokens, cost.learning_tokens)),
            f"{cost.seconds:.1f}",
            f"{concepts:.2f}",
        ]
        for name, cost, concepts in costs
        if cost is not None
    ]


def alarm_lines(report: AblationReport) -> list[str]:
    """The alarms in words; empty when there is nothing to warn of."""
    lines = []
    alarm, frozen = report.alarm, report.arm("frozen")
    if alarm is not None and alarm.harmful and frozen is not None:
        lines.append(
            f"ALARM: the memory lowers success: {percent(frozen.difference_shown, sign=True)} points on the tasks it "
            f"speaks to ({alarm.tasks} tasks, exact one-sided p = {alarm.p:.3g})."
        )
    lines += [
        f"ALARM: concept {item.id} of {item.memory} lowers success: {item.judgement.words()}."
        for item in report.harmful
    ]
    return lines


def notes(report: AblationReport) -> list[str]:
    """How the figures are to be read, and what they cannot tell."""
    plan = report.plan
    found = [
        "Brackets: 95 % bootstrap over clusters of questions and orders. Differences are arm less off in points, over the "
        "same tasks. p: exact conditional test over tasks, two-sided.",
    ]
    if plan.orders * plan.repeats > 1:
        found.append(
            "p, the alarm and the judgement of concepts take the draws of a task in several orders and repeats as "
            "independent: near-equal prompts, or a temperature of 0, make p too small."
        )
    if plan.orders < 5:
        found.append(f"{_many(plan.orders, 'order')}: what another order would bring is hardly sampled.")
    if not plan.fresh:
        found.append(
            "Equal prompts share the replies of off, so a task without a concept differs from off by nothing but what it "
            "asked otherwise; --fresh, or the arm again, shows what chance alone does."
        )
    for item in report.arms:
        if not math.isnan(item.detectable):
            found.append(
                f"{item.kind}: {item.tasks} tasks with so many changes show a true difference of "
                f"{100 * item.detectable:.1f} points or more in 4 of 5 such benches; a smaller one may well be missed."
            )
        elif item.kind != "again":
            found.append(f"{item.kind}: {item.tasks} tasks with so few changes cannot show any difference.")
        if item.same_retrieval is not None:
            found.append(f"{item.kind}: shown as in frozen (the same places) in {100 * item.same_retrieval:.0f} %.")
    if report.missing or report.ungraded:
        found.append(f"{report.missing} readings are missing or not graded ({report.ungraded} ungraded tasks).")
    return found


def concept_lines(report: AblationReport, count: int = MOST_USED) -> list[str]:
    """The most used concepts in full, a paragraph each."""
    return [_concept(item) for item in report.concepts[:count]]


def _concept(item: ConceptReport) -> str:
    said = item.concept
    name = f"{said.name}: " if said.name else ""
    when = f"when {said.situation}: " if said.situation else ""
    source = f" (from {said.source})" if said.source else ""
    mark = " ACCUSED," if item.judgement.harmful else ""
    return (
        f"{item.id} of {item.memory}{source}, in {_many(item.uses, 'prompt')};{mark} {item.judgement.words()}. "
        f"{name}{when}{said.suggestion}"
    )


def _many(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, a line each."""
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def markdown(report: AblationReport) -> str:
    """The whole report."""
    plan = report.plan
    begun = f"beginning with a copy of `{plan.session}`" if plan.session else "beginning with nothing"
    repeats = f", {plan.repeats} repeats" if plan.repeats > 1 else ""
    head = (
        f"Recipe `{plan.recipe.get('name', '')}` on `{plan.title}`: {_many(len(plan.tasks), 'task')}, "
        f"{_many(plan.orders, 'order')}{repeats}, {plan.learn} learned from in each, {begun}."
    )
    parts = [f"# What the memory is worth: {plan.title}", "", head, ""]
    for line in alarm_lines(report):
        parts += [f"**{line}**", ""]
    parts += [*table(ARM_COLUMNS, arm_rows(report)), "", *(f"- {line}" for line in notes(report)), ""]
    parts += ["## Cost per task", "", *table(COST_COLUMNS, cost_rows(report)), ""]
    if report.curve:
        rows = [
            [f"{item.first}-{item.last}", *(f"{100 * value:.1f}" for value in (item.off, item.write)), f"{item.tasks}"]
            for item in report.curve
        ]
        parts += ["## Along the stream", "", *table(("tasks", "off %", "write %", "readings"), rows), ""]
    if report.concepts:
        parts += ["## Most used concepts", "", *(f"- {plain(line)}" for line in concept_lines(report)), ""]
    return "\n".join(parts)
