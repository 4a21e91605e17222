"""The first sections of a set: accuracy and cost of each arm, and each against the baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from phronesis.bench.analysis_cost import pass_cost, role_costs
from phronesis.bench.comparing import Comparison
from phronesis.bench.metrics.prices import Prices
from phronesis.bench.ranking import Interval
from phronesis.bench.reports.bars import Bar, bars, legend_height
from phronesis.bench.reports.blocks import Block, Cell, Chart, Charts, Column, Note, Section, Table, Tone
from phronesis.bench.reports.caveats import resolution
from phronesis.bench.reports.figures import NONE, amount, money, points, probability, seconds, share, shares
from phronesis.bench.reports.material import Material
from phronesis.bench.reports.svg import percents
from phronesis.bench.running.item import Item
from phronesis.bench.running.summary import CellSummary, summary


@dataclass(frozen=True, kw_only=True)
class SetView:
    """One set as its sections see it."""

    material: Material
    name: str
    anchor: str
    """Unique in the report; begins the names of its charts."""
    baseline: str
    prices: Prices | None
    items: Mapping[str, Sequence[Item]]
    """By arm, in the plan's order."""
    summaries: Mapping[str, CellSummary]
    costs: Mapping[str, Interval]
    """Cost of pass by arm."""
    comparisons: Sequence[Comparison]
    """Of the other arms with the baseline, in the plan's order."""

    @property
    def styles(self) -> dict[str, int]:
        """Arm -> the number that colours it in every chart of the report."""
        return {arm.name: index for index, arm in enumerate(self.material.plan.arms)}


def set_view(
    material: Material,
    name: str,
    *,
    anchor: str,
    baseline: str,
    prices: Prices | None,
    comparisons: Sequence[Comparison] = (),
) -> SetView:
    """What the sections of a set read; ``comparisons`` may hold other sets' too.

    Raises ConfigurationError for a model that the price file lacks."""
    items = {arm: material.of(name, arm) for arm in material.arms(name)}
    return SetView(
        material=material,
        name=name,
        anchor=anchor,
        baseline=baseline,
        prices=prices,
        items=items,
        summaries={arm: summary(mine) for arm, mine in items.items()},
        comparisons=[item for item in comparisons if item.set == name],
        costs={arm: pass_cost(mine, prices, material.models_of(arm)) for arm, mine in items.items()},
    )


def headline(view: SetView) -> Section:
    """Accuracy, what could not be read, and what it cost."""
    unit = f"{view.prices.currency} per pass" if view.prices else "Tokens per pass"
    columns = [
        Column("Arm", number=False),
        Column("Questions"),
        Column("Accuracy, %", number=False, hint="mean over questions, 95 % bootstrap interval over questions"),
        Column("Unread", hint="answers that could not be read"),
        Column("Calls", hint="completions per question"),
        Column("Tokens", hint="B_total: generated tokens per question"),
        Column("B_seq", hint="generated tokens along the critical path, per question"),
        Column("Seconds", hint="active seconds per question"),
        Column(unit, hint="mean cost of a question divided by the share answered right"),
        Column("", number=False),
    ]
    rows = [_row(view, arm, item) for arm, item in view.summaries.items()]
    caption = "Calls, tokens, B_seq (tokens along the critical path) and seconds are means per question."
    caption += (
        f" {unit} (cost of pass): mean cost of a question by the price file, divided by the share answered right."
        if view.prices
        else " Tokens per pass (cost of pass): generated tokens for each right answer; --prices FILE makes it money."
    )
    blocks: list[Block] = [Table(columns=columns, rows=rows, caption=caption), *_figures(view), Charts(_pictures(view))]
    return Section(anchor=f"{view.anchor}-results", title="Results", blocks=blocks)


def _figures(view: SetView) -> list[Block]:
    """What graders say beside right and wrong, where they do: a column per figure."""
    names = list(dict.fromkeys(name for item in view.summaries.values() for name in item.figures))
    if not names:
        return []
    shown = {name: [item.figures.get(name) for item in view.summaries.values()] for name in names}
    shares_of = {name: all(one is None or one.high <= 1.0 for one in known) for name, known in shown.items()}
    columns = [Column("Arm", number=False)]
    columns += [
        Column(f"{name}, %" if shares_of[name] else name, number=False, hint="mean over questions, 95 % interval")
        for name in names
    ]
    rows = [
        [Cell(arm), *(_figure(shown[name][place], share=shares_of[name]) for name in names)]
        for place, arm in enumerate(view.summaries)
    ]
    caption = (
        "Figures of the grader, means over questions with 95 % bootstrap intervals over questions. Failed tasks and answers "
        "that could not be read count 0."
    )
    return [Table(columns=columns, rows=rows, caption=caption)]


def _figure(value: Interval | None, *, share: bool) -> Cell:
    if value is None:
        return Cell(NONE)
    text = shares(value) if share else f"{amount(value.value)} [{amount(value.low)}, {amount(value.high)}]"
    return Cell(text, interval=value)


def _pictures(view: SetView) -> list[Chart]:
    """What each arm gets and what it generates for it, row beside row."""
    by_arm = {arm: role_costs(items) for arm, items in view.items.items()}
    roles = list(dict.fromkeys(cost.role for costs in by_arm.values() for cost in costs))
    legend = [(role, index) for index, role in enumerate(roles)]
    right = [
        Bar(
            name=arm,
            parts=[(item.accuracy.value, 0)],
            low=item.accuracy.low,
            high=item.accuracy.high,
            text=share(item.accuracy.value),
        )
        for arm, item in view.summaries.items()
        if not math.isnan(item.accuracy.value)
    ]
    spent = [
        Bar(
            name=arm,
            parts=[(cost.tokens, place) for place, role in enumerate(roles) for cost in costs if cost.role == role],
            text=amount(sum(cost.tokens for cost in costs)),
        )
        for arm, costs in by_arm.items()
    ]
    drawn = []
    if right:
        name = f"{view.anchor}-accuracy"
        svg = bars(
            right,
            name=name,
            title=f"Accuracy on {view.name}",
            description=f"Per cent right with 95 % intervals: {_spoken(right)}.",
            x_label="right, %; lines: 95 % intervals",
            x_max=1.0,
            x_text=percents,
            least_top=legend_height(legend),
        )
        drawn.append(Chart(name=name, title="Accuracy", svg=svg))
    if roles:
        name = f"{view.anchor}-roles"
        svg = bars(
            spent,
            name=name,
            title=f"Generated tokens by role on {view.name}",
            description=f"Tokens per question: {_spoken(spent)}.",
            x_label="generated tokens per question",
            legend=legend,
        )
        drawn.append(Chart(name=name, title="Generated tokens by role", svg=svg))
    return drawn


def _spoken(rows: Sequence[Bar]) -> str:
    return "; ".join(f"{row.name} {row.text}" for row in rows)


def _row(view: SetView, arm: str, item: CellSummary) -> list[Cell]:
    counts = (("failed", item.failed), ("ungraded", item.ungraded), ("with lost calls", item.lost_calls))
    notes = [f"{count} {what}" for what, count in counts if count]
    if item.paid_calls < item.calls:
        notes.append("from a bank" if not item.paid_calls else f"{item.paid_calls:.1f} calls paid")
    cost = view.costs[arm]
    written = money(cost.value) if view.prices else amount(cost.value)
    return [
        Cell(arm),
        Cell(f"{item.questions:,}" + (f" × {item.repeats}" if item.repeats > 1 else "")),
        Cell(shares(item.accuracy), interval=item.accuracy),
        Cell(f"{item.unparsable}", tone="" if item.unparsable else "quiet"),
        Cell(amount(item.calls)),
        Cell(amount(item.tokens)),
        Cell(amount(item.sequential_tokens)),
        Cell(seconds(item.seconds)),
        Cell(written, hint=f"95 %: {_bound(cost.low, view)} to {_bound(cost.high, view)}"),
        Cell(", ".join(notes), tone="quiet"),
    ]


def _bound(value: float, view: SetView) -> str:
    return money(value) if view.prices else amount(value)


def paired_differences(view: SetView) -> Section:
    """Each arm against the baseline on the questions that both answered."""
    columns = [
        Column("Arm", number=False),
        Column("Questions", hint="graded in both arms"),
        Column(
            "Difference, points", number=False, zero=True, hint="of accuracies, with its 95 % paired bootstrap interval"
        ),
        Column("Better", hint="questions on which this arm does better"),
        Column("Worse", hint="questions on which the baseline does better"),
        Column(
            "p", hint="exact, two-sided: arms swapped cluster by cluster; McNemar's where each question stands alone"
        ),
        Column("p (Holm)", hint="corrected over all comparisons of this report"),
        Column("Tokens, ×", hint="generated tokens, this arm over the baseline"),
        Column("Resolves, points", hint="true difference that these questions would show at 80 % power"),
    ]
    anchor, title = f"{view.anchor}-paired", f"Against {view.baseline}"
    if len(view.items) < 2:
        return Section(anchor=anchor, title=title)
    if not view.comparisons:
        return Section(anchor=anchor, title=title, blocks=[Note(f"{view.baseline} has no items of this set.")])
    caption = (
        f"Difference: this arm less {view.baseline}, on the questions that both have graded. It is coloured where it can be "
        "claimed: the interval leaves zero out and the corrected p is below 0.05."
    )
    every = [item for items in view.items.values() for item in items]
    rows = [_compared(item) for item in view.comparisons]
    return Section(
        anchor=anchor, title=title, blocks=[Table(columns=columns, rows=rows, caption=caption), Note(resolution(every))]
    )


def _compared(item: Comparison) -> list[Cell]:
    tone: Tone = ("good" if item.difference.value > 0 else "bad") if item.claims else ""
    ratio = item.tokens.value
    return [
        Cell(item.arm),
        Cell(f"{item.questions:,}"),
        Cell(points(item.difference), tone=tone, interval=item.difference),
        Cell(f"{item.arm_better:,}"),
        Cell(f"{item.baseline_better:,}"),
        Cell(probability(item.p)),
        Cell(probability(item.corrected)),
        Cell(NONE if math.isnan(ratio) else f"{ratio:.2f}"),
        Cell(NONE if math.isnan(item.detectable) else f"{100 * item.detectable:.0f}"),
    ]
