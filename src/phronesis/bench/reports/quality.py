"""Sections on the answers themselves: calibration, revisions, groups, failures."""

from __future__ import annotations

from collections import Counter

from phronesis.bench.analysis_calibration import Calibration, calibrations
from phronesis.bench.analysis_revision import revised
from phronesis.bench.reports.blocks import Block, Cell, Chart, Charts, Column, Section, Table
from phronesis.bench.reports.figures import NONE, share, shares
from phronesis.bench.reports.reliability_diagram import Bin, reliability_diagram
from phronesis.bench.reports.results import SetView
from phronesis.bench.running.summary import accuracy

_GROUPS, _DIAGRAMS = 40, 9


def calibration(view: SetView) -> Section:
    """How far each arm's confidence can be believed."""
    found = [(arm, item) for arm, items in view.items.items() for item in calibrations(items)]
    distinct: dict[tuple[object, ...], tuple[list[str], Calibration]] = {}
    for arm, item in found:
        key = (item.source, item.count, item.ece, item.brier, item.balance)
        distinct.setdefault(key, ([], item))[0].append(arm)
    drawn, rows = [], []
    for number, (arms, item) in enumerate(distinct.values()):
        label = ", ".join(arms)
        name = f"{view.anchor}-reliability-{number}"
        if number < _DIAGRAMS:
            svg = reliability_diagram(
                [
                    Bin(confidence=row.confidence, accuracy=row.accuracy, count=row.count)
                    for row in item.bins
                    if row.count
                ],
                style=view.styles.get(arms[0], 0),
                name=name,
                title=f"{label} on {view.name}: reliability of the {item.source}",
                description=f"Expected calibration error {item.ece:.3f} over {item.count} answers.",
            )
            drawn.append(Chart(name=name, title=f"{label}: {item.source}", svg=svg))
        figures = [f"{item.ece:.3f}", f"{item.brier:.3f}", f"{item.balance:+.3f}".replace("-", "−")]
        rows.append(
            [Cell(label), Cell(item.source), Cell(f"{item.count:,}"), Cell(share(item.confidence)),
             Cell(share(item.accuracy)), *(Cell(figure) for figure in figures)]
        )  # fmt: skip
    columns = [
        Column("Arm", number=False),
        Column("Confidence", number=False),
        Column("Answers"),
        Column("Mean, %", hint="mean confidence"),
        Column("Right, %"),
        Column("ECE", hint="expected calibration error, ten bins of equal width; 0 is best"),
        Column("Brier", hint="mean squared error of the confidence; 0 is best"),
        Column("Balance", hint="above 0: less sure than right; below: too sure"),
    ]
    caption = (
        "Vote share: how many of the readable attempts agree with the answer given. Token probability: geometric mean over "
        "an attempt’s tokens; reward: what the arm ranks attempts by; both over single attempts. In the diagrams a point on "
        "the dashed line is calibrated, below it too sure; the strip below shows how many answers stand behind it."
    )
    blocks: list[Block] = (
        [Table(columns=columns, rows=rows, caption=caption), Charts(drawn, narrow=True)] if rows else []
    )
    return Section(anchor=f"{view.anchor}-calibration", title="Calibration", blocks=blocks)


def revision(view: SetView) -> Section:
    """What refining mended and what it broke."""
    rows = []
    for arm, items in view.items.items():
        found = revised(items)
        if found is None:
            continue
        report = found.report
        net = f"{report.fixes} − {report.breaks} = {report.net_gain:+d}".replace("-", "−")
        rows.append(
            [Cell(arm), Cell(f"{found.chains:,}"), Cell(share(found.before)), Cell(share(found.after)),
             Cell(share(report.change_rate)), Cell(share(report.fix_rate)), Cell(share(report.break_rate)), Cell(net),
             Cell(share(found.over_budget))]
        )  # fmt: skip
    columns = [
        Column("Arm", number=False),
        Column("Chains", hint="last attempts with at least one revision behind them"),
        Column("First, %", hint="chains whose first attempt is right"),
        Column("Last, %", hint="chains whose last attempt is right"),
        Column("Changed, %", hint="revisions that gave another answer"),
        Column("Fix rate, %", hint="of the changes made to a wrong answer, those that made it right"),
        Column("Break rate, %", hint="of the changes made to a right answer, those that made it wrong"),
        Column("Fixes − breaks"),
        Column("Over budget, %", hint="tasks that a budget stopped"),
    ]
    caption = (
        "A chain leads from an attempt of round 0 to the last one made from it. Only attempts that were refined are here, so "
        "First and Last say what refining did to them, not how accurate the arm is."
    )
    blocks = [Table(columns=columns, rows=rows, caption=caption)] if rows else []
    return Section(anchor=f"{view.anchor}-revisions", title="Revisions", blocks=blocks)


def by_group(view: SetView) -> Section:
    """Accuracy of each arm in each group of questions."""
    groups = Counter(
        group for items in view.items.values() for group in {item.task: item.group for item in items}.values()
    )
    groups.pop("", None)
    if len(groups) < 2:
        return Section(anchor=f"{view.anchor}-groups", title="By group")
    shown = sorted(groups)[:_GROUPS]
    rows = []
    for group in shown:
        mine = {
            arm: [item for item in items if item.group == group and item.graded] for arm, items in view.items.items()
        }
        questions = len({item.task for items in mine.values() for item in items})
        cells = [Cell(shares(accuracy(items))) if items else Cell(NONE) for items in mine.values()]
        rows.append([Cell(group), Cell(f"{questions:,}"), *cells])
    columns = [
        Column("Group", number=False),
        Column("Questions"),
        *(Column(_short(arm), hint=arm) for arm in view.items),
    ]
    more = f" The first {_GROUPS} of {len(groups)} groups." if len(groups) > _GROUPS else ""
    caption = (
        f"Per cent right with 95 % intervals. Small groups say little, and the best of many looks good by chance.{more}"
    )
    return Section(
        anchor=f"{view.anchor}-groups",
        title="By group",
        blocks=[Table(columns=columns, rows=rows, caption=caption)],
    )


def _short(name: str) -> str:
    """A name that fits the head of a narrow column."""
    return name if len(name) <= 28 else f"{name[:14]}…{name[-12:]}"


def failures(view: SetView) -> Section:
    """Why runs stopped and what failed, by kind."""
    rows = []
    for arm, items in view.items.items():
        stops = Counter(item.stop for item in items if item.stop not in ("", "finished"))
        kinds = Counter(failure.error for item in items for failure in item.failures)
        degraded = Counter(what for item in items for what in item.degraded)
        for what, counts in (("stopped", stops), ("failure", kinds), ("degraded", degraded)):
            rows += [
                [Cell(arm), Cell(what), Cell(name), Cell(f"{count:,}"), Cell(share(count / len(items)))]
                for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
            ]
    columns = [
        Column("Arm", number=False),
        Column("What", number=False),
        Column("Kind", number=False),
        Column("Count"),
        Column("Per 100 items"),
    ]
    caption = (
        "Stop reasons other than an ordinary end; failures of calls, tools and graders, the first few of each item; "
        "parts that worked in a lesser way."
    )
    blocks = [Table(columns=columns, rows=rows, caption=caption)] if rows else []
    return Section(anchor=f"{view.anchor}-failures", title="Stops and failures", blocks=blocks)
