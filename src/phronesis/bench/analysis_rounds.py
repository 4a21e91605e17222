"""The rounds of verified runs, read from their Results: which answer stood after each, and what the verdicts were."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phronesis.bench.dataset import DataSet, canonical_gold
from phronesis.bench.metrics.transitions import Transitions, Way, transitions
from phronesis.bench.ranking import Interval, mean_interval, paired
from phronesis.bench.reports.material import Material
from phronesis.bench.sets.row import nearest
from phronesis.core.errors import ConfigurationError
from phronesis.core.journal import FILE_NAME, read_events
from phronesis.core.result import Result
from phronesis.core.settings import Settings
from phronesis.graphs.run_folder import run_folder
from phronesis.tools.answers import answer_space

Right = Callable[[str | None], bool]
"""Whether the candidate of that id has the right answer; None = the Result's own answer."""
_ROUND = re.compile(r"v(\d+)/")
_LOWEST = float("-inf")


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """The rounds of one arm or run."""

    name: str
    found: Transitions
    accuracies: tuple[Interval, ...]
    """By round."""
    gain: Interval
    """Final answer less first attempt, paired."""


def way_of(result: Result, right: Right, *, fallback: str) -> Way:
    """The way of one Result of a verified run. ``fallback``: that of its section ``[verify]``."""
    loop = _outer(result.decisions)
    readable = {item.id for item in result.candidates if item.answer is not None}
    stands: list[bool] = []
    labels: list[Any] = []
    newest: list[bool] = []
    kept: str | None = None
    judged: list[tuple[float, str]] = []
    for assessment, verdict in loop:
        of = str(assessment["of"])
        labels.append(None if verdict is None else verdict["label"])
        newest.append(of in readable and right(of))
        if of in readable:
            judged.append((float(assessment.get("score", _LOWEST)), of))
            best = max(reversed(judged), key=lambda pair: pair[0])[1]
            kept = of if assessment["decision"] == "accept" or fallback == "last" else best
        stands.append(kept is not None and right(kept))
    begun = 1 + max((int(found[1]) for item in result.candidates if (found := _ROUND.match(item.id))), default=0)
    final = right(None)
    stands = [*stands, final] if len(stands) < begun else [*stands[:-1], final]
    return Way(tuple(stands), tuple(labels), tuple(newest))


def _outer(decisions: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
    """(assessment, verdict) of each round of the outermost loop. The first attempt of a strategy that has a loop of its own
    writes its assessments under the same keys, before those of the loop around it."""
    keys = [str(item["key"]) for item in decisions]
    if "assessment1" not in keys:
        return []
    first = len(keys) - 1 - keys[::-1].index("assessment1")
    found = []
    for number, at in enumerate(index for index in range(first, len(keys)) if keys[index].startswith("assessment")):
        before = [item for item in decisions[:at] if item["key"] == f"verdict{number}"]
        fits = bool(before) and before[-1].get("of") == decisions[at]["of"]
        found.append((decisions[at], before[-1] if fits else None))
    return found


def rounds_of_run(settings: Settings, run: str, gold: DataSet) -> Rounds:
    """The rounds of a run, graded by the answer format of its tasks. Raises ConfigurationError for a run without a loop of
    verdicts, and where no task of it is in the data set."""
    fallback, results = _read(run_folder(settings, run) / FILE_NAME)
    if fallback is None:
        raise ConfigurationError(
            f"run {run!r} verified nothing", mend="name a run of a recipe with [verify], or of deep_verifier"
        )
    examples = {example.task.id: example for example in gold.examples}
    ways = []
    for result in results:
        if result.task_id not in examples:
            continue
        example = examples[result.task_id]
        space, wanted = answer_space(example.task.answer_format or "text"), canonical_gold(example)
        answers: dict[str | None, str | None] = {None: result.answer}
        answers |= {item.id: item.answer for item in result.candidates}

        def right(id: str | None, answers: Any = answers, space: Any = space, wanted: str = wanted) -> bool:
            answer = answers.get(id)
            return answer is not None and bool(space.equal(answer, wanted))

        ways.append(way_of(result, right, fallback=fallback))
    if not ways:
        raise ConfigurationError(
            f"no finished task of run {run!r} is in the data set {gold.name!r}", mend="give the set it was asked of"
        )
    return _rounds(run, ways)


def rounds_of_bench(material: Material, arm: str | None = None) -> list[Rounds]:
    """The rounds of each arm on each set whose runs verified something, as the bench graded its attempts; repeats count as
    questions of their own. Raises ConfigurationError where there is none."""
    arms = sorted({item.arm for item in material.items})
    if arm is not None and arm not in arms:
        raise ConfigurationError(f"{str(material.folder)!r} has no arm {arm!r}", mend=nearest(arm, arms))
    grouped: dict[tuple[str, str], list[Way]] = {}
    read: dict[str, tuple[str | None, dict[str, Result]]] = {}
    for item in material.items:
        if not item.graded or not item.run_id or item.run_id in material.lost or arm not in (None, item.arm):
            continue
        if item.run_id not in read:
            kind, results = _read(material.folder / "runs" / item.run_id / FILE_NAME)
            read[item.run_id] = (kind, {result.task_id: result for result in results})
        fallback, known = read[item.run_id]
        if fallback is None or item.task not in known:
            continue
        grades: dict[str | None, bool] = {None: item.correct, **{one.id: one.correct for one in item.attempts}}
        way = way_of(known[item.task], lambda id, grades=grades: grades.get(id, False), fallback=fallback)  # type: ignore[misc]
        grouped.setdefault((item.set, item.arm), []).append(way)
    if not grouped:
        of = f"the arm {arm!r} of " if arm is not None else ""
        raise ConfigurationError(
            f"{of}{str(material.folder)!r} verified nothing", mend="bench a recipe with [verify], or deep_verifier"
        )
    several = len({set_ for set_, _ in grouped}) > 1
    return [_rounds(f"{set_}: {name}" if several else name, ways) for (set_, name), ways in grouped.items()]


def _rounds(name: str, ways: Sequence[Way]) -> Rounds:
    found = transitions(ways)
    by_round = [[float(way.at(item.round)) for way in ways] for item in found.rounds]
    return Rounds(
        name=name,
        found=found,
        accuracies=tuple(mean_interval(values) for values in by_round),
        gain=paired(by_round[0], by_round[-1]),
    )


def _read(journal: Path) -> tuple[str | None, list[Result]]:
    """(the loop's fallback, None = there is no loop; the latest Result of each task)."""
    fallback: str | None = None
    results: dict[str, Result] = {}
    for event in read_events(journal):
        if event.type == "run_started":
            recipe = event.data["recipe"]
            verify = recipe.get("verify") or {}
            if verify.get("strategy"):
                fallback = str(verify["fallback"])
            elif recipe["strategy"] == "deep_verifier":
                fallback = str(recipe["knobs"]["fallback"])
        elif event.type == "task_finished":
            results[event.task] = Result.model_validate(event.data["result"])
    return fallback, list(results.values())
