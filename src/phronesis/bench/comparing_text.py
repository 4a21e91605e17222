"""A comparison in words and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from phronesis.bench.comparing import ALPHA, Comparison, DrawNoise
from phronesis.bench.ranking import Interval
from phronesis.bench.running.summary import CellSummary, percent

ARM_COLUMNS = ("arm", "questions", "accuracy %", "between repeats", "calls", "tokens", "B_seq", "seconds")
PAIR_COLUMNS = (
    "arm - baseline",
    "shared",
    "points",
    "arm better",
    "baseline better",
    "p",
    "p (Holm)",
    "tokens x",
    "seconds x",
)
LEGEND = (
    "Brackets: 95 % bootstrap over questions, whole clusters at a time. calls, tokens, B_seq (tokens along the critical "
    "path) and seconds are means per question; x: ratio to the baseline."
)


def arm_cells(item: CellSummary, noise: DrawNoise) -> list[str]:
    """A row of the table of arms."""
    return [
        item.arm,
        f"{item.questions}" + (f" x {item.repeats}" if item.repeats > 1 else ""),
        percent(item.accuracy),
        _between(noise),
        f"{item.calls:.1f}",
        f"{item.tokens:.0f}",
        f"{item.sequential_tokens:.0f}",
        f"{item.seconds:.1f}",
    ]


def _between(noise: DrawNoise) -> str:
    if math.isnan(noise.spread):
        return "unknown"
    least, most = (100 * figure for figure in (min(noise.accuracies), max(noise.accuracies)))
    return f"sd {100 * noise.spread:.1f}, {least:.1f} to {most:.1f}"


def pair_cells(item: Comparison) -> list[str]:
    """A row of the table of pairs."""
    return [
        f"{item.arm} - {item.baseline}",
        f"{item.questions}",
        percent(item.difference, sign=True),
        f"{item.arm_better}",
        f"{item.baseline_better}",
        _chance(item.p),
        _chance(item.corrected),
        _ratio(item.tokens),
        _ratio(item.seconds),
    ]


def verdict(item: Comparison, *, together: int = 1) -> str:
    """What can be claimed, in a sentence. ``together``: comparisons that p was corrected over."""
    head = f"{item.arm} against {item.baseline}"
    if not item.questions:
        return f"{head}: no question is graded in both: nothing can be compared."
    found = f"{head}: {percent(item.difference, sign=True)} points on {item.questions} shared questions"
    if item.difference.low <= 0 <= item.difference.high:
        return f"{found}; the interval holds 0: no difference can be claimed."
    corrected = f"p {'<' if item.corrected < 0.001 else '='} {max(item.corrected, 0.001):.3f}"
    if together > 1:
        corrected += f" after Holm's correction over {together} comparisons"
    if not item.claims:
        return f"{found}; the interval leaves 0 out, but {corrected}, not below {ALPHA}: no difference can be claimed."
    better = item.arm if item.difference.value > 0 else item.baseline
    return f"{found}; {corrected}: {better} does better on questions like these."


def resolution(item: Comparison) -> str:
    """What so many questions can tell apart, in a sentence; empty where nothing is shared."""
    if not item.questions:
        return ""
    sample = f"{_counted(item.questions, 'question')}, of which {item.discordant} tell the two apart"
    if item.clusters < item.questions:
        sample += f" and which come in {item.clusters} clusters"
    if not item.discordant:
        return f"No question tells the two apart: a sample of {_counted(item.questions, 'question')} says no more than that."
    if math.isnan(item.detectable):
        return f"This sample ({sample}) is too small to show any difference."
    least = "somewhat more than " if item.clusters < item.questions else ""
    return (
        f"This sample ({sample}) shows a true difference at 80 % power only from {least}{100 * item.detectable:.0f} points "
        "on; a smaller one may be there and not be seen."
    )


def warnings(arms: Sequence[CellSummary], pairs: Sequence[Comparison], noises: Sequence[DrawNoise]) -> list[str]:
    """What a reader of one set must be told besides: single draws, questions left out, replies from a bank."""
    found = []
    served = [item.arm for item in arms if item.paid_calls < item.calls]
    if served:
        found.append(
            f"Replies from a bank: {', '.join(served)}. Arms with one bank share its luck. Seconds are those of the recorded "
            "exchanges, which may have had more choices: a narrower arm by itself can be quicker."
        )
    single = [noise.arm for noise in noises if len(noise.accuracies) < 2]
    if single:
        found.append(
            f"One draw only of {', '.join(single)}: the intervals cover the choice of questions, not how much another draw "
            "of the same arm would change its figure, which can be many points on few questions; --repeats 3 would show it."
        )
    for item in pairs:
        if item.left_out:
            questions = _counted(item.left_out, "question")
            found.append(f"{item.arm} against {item.baseline}: {questions} graded in one of the two only and left out.")
    noisy = [noise for noise in noises if noise.spread > 0]
    for item in pairs:
        worst = max((noise.spread for noise in noisy if noise.arm in (item.arm, item.baseline)), default=0.0)
        if item.claims and abs(item.difference.value) < 2 * worst:
            found.append(
                f"{item.arm} against {item.baseline}: the difference is smaller than twice the spread between repeats of one "
                f"arm ({100 * worst:.1f} points)."
            )
    return found


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; bars in cells are escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def pair_to_json(item: Comparison) -> dict[str, Any]:
    """Plain values; an interval is [value, low, high], what is undefined null."""
    tested = item.mcnemar
    return {
        "arm": item.arm,
        "baseline": item.baseline,
        "questions": item.questions,
        "left_out": item.left_out,
        "clusters": item.clusters,
        "difference": _numbers(item.difference),
        "arm_better": item.arm_better,
        "baseline_better": item.baseline_better,
        "mcnemar_p": None if tested is None else tested.p,
        "p": _number(item.p),
        "p_holm": _number(item.corrected),
        "tokens_ratio": _numbers(item.tokens),
        "seconds_ratio": _numbers(item.seconds),
        "detectable": _number(item.detectable),
        "claims": item.claims,
        "resolution": resolution(item),
    }


def noise_to_json(item: DrawNoise) -> dict[str, Any]:
    """Plain values; the spread of a single repeat is null."""
    rounded = [round(value, 4) for value in item.accuracies]
    return {"arm": item.arm, "accuracies": rounded, "spread": _number(item.spread)}


def _counted(count: int, name: str) -> str:
    return f"{count} {name}" + ("" if count == 1 else "s")


def _chance(value: float) -> str:
    return "-" if math.isnan(value) else "<0.001" if value < 0.001 else f"{value:.3f}"


def _ratio(value: Interval) -> str:
    return "-" if math.isnan(value.value) else f"{value.value:.2f} [{value.low:.2f}, {value.high:.2f}]"


def _numbers(value: Interval) -> list[float | None]:
    return [_number(item) for item in (value.value, value.low, value.high)]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
