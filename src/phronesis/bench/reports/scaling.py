"""Sections on what more compute buys: the Pareto front, curves over samples, anytime curves, sweeps."""

from __future__ import annotations

import math
from collections.abc import Sequence

from phronesis.bench.analysis import Curve, curves, mean_over_questions
from phronesis.bench.analysis_anytime import Event, budgets, reach, timelines
from phronesis.bench.analysis_cost import sweep_arise, sweeps
from phronesis.bench.metrics.anytime import held
from phronesis.bench.metrics.saturation import saturation_point
from phronesis.bench.pareto import pareto_front
from phronesis.bench.reports.blocks import Block, Cell, Chart, Charts, Column, Section, Table
from phronesis.bench.reports.figures import NONE, amount, share, shares
from phronesis.bench.reports.line_chart import Point, Series, line_chart
from phronesis.bench.reports.results import SetView
from phronesis.bench.reports.scatter import Spot, scatter
from phronesis.bench.running.item import Item

_LEAST = 0.01
"""Accuracy that one more sample must add to be called worth it."""
_CURVES = 6
"""Charts of curves over samples, those with the most samples; the table has all."""
_MEASURE_STYLES = {"pass@k": 0, "best@k": 1, "maj@k": 2}
_MEASURE_NAMES = {"pass@k": "pass@k (oracle)", "best@k": "best@k (by reward)", "maj@k": "maj@k (vote)"}


def pareto(view: SetView) -> Section:
    """Accuracy against generated tokens and against seconds."""
    drawn: list[Chart] = []
    for key, what, unit in (("tokens", "generated tokens", "tokens"), ("seconds", "seconds", "s")):
        known = {arm: item for arm, item in view.summaries.items() if not math.isnan(item.accuracy.value)}
        costs = {arm: float(getattr(item, key)) for arm, item in known.items()}
        if len(known) < 2 or not any(costs.values()):
            continue
        best = pareto_front([(costs[arm], item.accuracy.value) for arm, item in known.items()])
        spots = [
            Spot(
                name=arm,
                x=costs[arm],
                y=item.accuracy.value,
                low=item.accuracy.low,
                high=item.accuracy.high,
                style=view.styles.get(arm, 0),
                front=index in best,
            )
            for index, (arm, item) in enumerate(known.items())
        ]
        name = f"{view.anchor}-pareto-{key}"
        front = ", ".join(spot.name for spot in sorted(spots, key=lambda spot: spot.x) if spot.front)
        drawn.append(
            Chart(
                name=name,
                title=f"Accuracy against {what}",
                svg=scatter(
                    spots,
                    name=name,
                    title=f"Accuracy on {view.name} against {what} per question",
                    description=f"Pareto front from cheap to dear: {front}.",
                    x_label=f"{what} per question" if unit == "tokens" else "seconds per question",
                    y_label="right, %",
                ),
                caption=""
                if drawn
                else "Dashed: the Pareto front; hollow: others are cheaper and no worse. Lines: 95 % intervals.",
            )
        )
    return Section(
        anchor=f"{view.anchor}-pareto", title="Accuracy against cost", blocks=[Charts(drawn)] if drawn else []
    )


def samples(view: SetView) -> Section:
    """pass@k, best@k and maj@k of every arm with independent attempts; arms with the same attempts share a chart."""
    groups = _same_attempts(view)
    drawn: list[Chart] = []
    rows: list[list[Cell]] = []
    pictured = sorted((found[0].ks[-1] for _, found in groups if len(found[0].ks) > 2), reverse=True)[:_CURVES]
    for number, (arms, found) in enumerate(groups):
        name = f"{view.anchor}-samples-{number}"
        label = ", ".join(arms)
        rows += [_curve_row(label, curve) for curve in found]
        if found[0].ks[-1] not in pictured or len(drawn) == _CURVES:
            continue
        series = [
            Series(
                name=_MEASURE_NAMES[curve.measure],
                style=_MEASURE_STYLES[curve.measure],
                points=[
                    Point(float(k), item.value, item.low, item.high)
                    for k, item in zip(curve.ks, curve.values, strict=True)
                ],
            )
            for curve in found
        ]
        ks = found[0].ks
        drawn.append(
            Chart(
                name=name,
                title=label,
                svg=line_chart(
                    series,
                    name=name,
                    title=f"{label} on {view.name}: accuracy by number of samples",
                    description="; ".join(f"{item.name} ends at {share(item.points[-1].y)} %" for item in series) + ".",
                    x_label="samples k",
                    y_label="right, %",
                    log=ks[-1] > 8,
                    x_ticks=[float(k) for k in ks if ks[-1] <= 8 or k & (k - 1) == 0],
                ),
            )
        )
    columns = [
        Column("Arm", number=False),
        Column("Measure", number=False),
        Column("1 sample, %"),
        Column("Samples"),
        Column("With all, %"),
        Column("Ceiling, %", hint="F_max of the fit F(N) = F_max (1 - (1 - p)^N)"),
        Column("p", hint="chance that one more sample brings the gain"),
        Column("Saturates at N", hint="first N whose next sample adds less than one point"),
    ]
    caption = (
        "pass@k: some attempt of k is right, which only an oracle could pick. best@k: the highest reward of k. maj@k: the "
        "most frequent answer of k. All from each arm’s own attempts, without further calls; bands are 95 % intervals over "
        "questions. Ceiling, p and N fit F(N) = F_max (1 − (1 − p)^N); vote and reward curves need not follow it."
    )
    blocks: list[Block] = (
        [*([Charts(drawn)] if drawn else []), Table(columns=columns, rows=rows, caption=caption)] if rows else []
    )
    return Section(anchor=f"{view.anchor}-samples", title="More samples", blocks=blocks)


def _same_attempts(view: SetView) -> list[tuple[list[str], list[Curve]]]:
    """Arms with equal attempts together, with the curves of the one that has most of them."""
    found: dict[object, tuple[list[str], list[Curve]]] = {}
    for arm, items in view.items.items():
        mine = curves(items)
        if not mine:
            continue
        key = frozenset(
            (item.task, item.repeat, tuple((one.answer, one.correct) for one in item.attempts))
            for item in items
            if item.graded and item.attempts
        )
        arms, known = found.get(key, ([], []))
        found[key] = [*arms, arm], mine if len(mine) > len(known) else known
    return list(found.values())


def _curve_row(label: str, curve: Curve) -> list[Cell]:
    fit = curve.saturation
    reached = saturation_point(fit.p, fit.top, _LEAST) if fit is not None else None
    return [
        Cell(label),
        Cell(curve.measure),
        Cell(share(curve.values[0].value)),
        Cell(str(curve.ks[-1])),
        Cell(shares(curve.values[-1])),
        Cell(share(fit.top) if fit else NONE),
        Cell(f"{fit.p:.2f}" if fit else NONE),
        Cell(amount(float(reached)) if reached is not None else NONE),
    ]


def over_time(view: SetView) -> Section:
    """Accuracy of the answer at hand after so many tokens, in total and along the critical path."""
    lines = {arm: timelines(items) for arm, items in view.items.items() if any(item.graded for item in items)}
    graded = {arm: [item for item in view.items[arm] if item.graded] for arm in lines}
    drawn = []
    for key, title, label in (
        ("total", "By all tokens", "generated tokens per question, B_total"),
        ("sequential", "By tokens in a row", "tokens along the critical path, B_seq"),
    ):
        events = {arm: getattr(found, key) for arm, found in lines.items()}
        grid = budgets(events)
        if len(grid) < 2:
            continue
        series = [
            Series(name=arm, style=view.styles.get(arm, 0), points=_steps(graded[arm], events[arm], grid), step=True)
            for arm in lines
        ]
        name = f"{view.anchor}-anytime-{key}"
        drawn.append(
            Chart(
                name=name,
                title=title,
                svg=line_chart(
                    series,
                    name=name,
                    title=f"{view.name}: accuracy of the answer at hand, {title.lower()}",
                    description="; ".join(f"{item.name} ends at {share(item.points[-1].y)} %" for item in series) + ".",
                    x_label=label,
                    y_label="right, %",
                    log=True,
                ),
            )
        )
    rules = {"vote": "the vote so far", "best": "the highest reward so far", "last": "the latest attempt"}
    by_rule = {
        text: [arm for arm, found in lines.items() if found.rule == rule and _grows(view.items[arm])]
        for rule, text in rules.items()
    }
    named = "; ".join(f"{text}: {', '.join(arms)}" for text, arms in by_rule.items() if arms)
    caption = (
        "Before an arm’s end the answer at hand is taken from the attempts finished by then"
        + (f" ({named})" if named else "")
        + "; with none finished it counts as wrong. Tokens of reviewers and judges are spread over the attempts."
    )
    shown = [Charts([Chart(name=item.name, title=item.title, svg=item.svg, caption="" if index else caption)
                     for index, item in enumerate(drawn)])]  # fmt: skip
    return Section(anchor=f"{view.anchor}-anytime", title="Answer at hand", blocks=shown if drawn else [])


def _grows(items: Sequence[Item]) -> bool:
    return any(len(item.attempts) > 1 for item in items)


def _steps(items: Sequence[Item], lines: Sequence[Sequence[Event]], grid: Sequence[float]) -> list[Point]:
    """The curve up to where the arm has spent everything."""
    last = reach(lines)
    cut = next((index for index, budget in enumerate(grid) if budget >= last * 0.999), len(grid) - 1)
    found = mean_over_questions(items, held(lines, grid[: cut + 1]))
    return [Point(budget, item.value, item.low, item.high) for budget, item in zip(grid, found, strict=False)]


def sweeps_of(view: SetView) -> Section:
    """ARISE of arms that are settings of one knob."""
    rows = []
    everything = [item for items in view.items.values() for item in items]
    for sweep in sweeps([arm for arm in view.material.plan.arms if arm.name in view.items]):
        levels = ", ".join(f"{value:g}" for value, _ in sweep.levels)
        found = sweep_arise(sweep, everything)
        text = NONE if math.isnan(found.value) else f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
        ends = [view.summaries[arm].accuracy.value for _, arm in (sweep.levels[0], sweep.levels[-1])]
        rows.append(
            [
                Cell(sweep.key),
                Cell(levels),
                Cell(share(ends[0])),
                Cell(share(ends[1])),
                Cell(text.replace("-", "−"), interval=found),
            ]
        )
    columns = [
        Column("Knob", number=False),
        Column("Levels", number=False),
        Column("First, %"),
        Column("Last, %"),
        Column("ARISE", number=False, zero=True, hint="gains weigh less the more tokens they took, losses more"),
    ]
    caption = (
        "ARISE over the levels of one knob, a mean over questions: each gain is weighed by the token ratio before to after, "
        "each loss by its inverse; 0 = nothing gained. A dash: the last level generates no more than the first."
    )
    blocks = [Table(columns=columns, rows=rows, caption=caption)] if rows else []
    return Section(anchor=f"{view.anchor}-sweeps", title="Sweeps", blocks=blocks)
