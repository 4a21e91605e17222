"""Verdicts of runs as data: what the verifier said of each attempt, and what a person said of that."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from phronesis.bench.metrics.agreement import FEW, Threshold, best_threshold, cohens_kappa
from phronesis.core.events import FILE_NAME, Event, EventIndex


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """One verdict of a run under ``[verify]``."""

    run: str
    task: str
    attempt: str
    """Id of the candidate."""
    question: str
    solution: str
    """What the verifier was shown of the attempt; empty in a run without texts."""
    answer: str | None
    answer_format: str
    verifier: str
    """As the recipe names it."""
    label: str
    """The verifier's own: accept, reject or unknown."""
    score: float | None
    reason: str
    counted: str
    """The label that counted, after the person."""
    person: str | None = None
    """approve, overrule or reject; None = nobody was asked."""
    person_reason: str = ""

    @property
    def right(self) -> bool | None:
        """Whether the attempt is right in the person's eyes; None = nobody was asked, or they could not tell either."""
        if self.person is None or self.counted == "unknown":
            return None
        return self.counted == "accept"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "right": self.right}

    def labelled(self, id: str) -> dict[str, Any]:
        """A row of a labelled data set: what ``phronesis scorers test --attempts`` reads."""
        answer = {} if self.answer is None else {"answer": self.answer}
        row = {"id": id, "question": self.question, "solution": self.solution, **answer, "right": self.right}
        told = {"verifier": self.verifier, "verdict": self.label, "score": self.score, "reason": self.person_reason}
        return {**row, "answer_format": self.answer_format, "run": self.run, "attempt": self.attempt, **told}


def verdicts_of(folder: Path) -> list[RunVerdict]:
    """The verdicts of the run in a folder, task by task in the order they were given."""
    index = EventIndex(folder / FILE_NAME)
    started = next(index.of("", "run_started"), None)
    if started is None:
        return []
    recipe = started.data["recipe"]
    found = []
    for task in index.tasks_with.get("task_started", ()):
        given = {event.key: event for event in index.of(task, "decision") if event.data.get("rule") == "verdict"}
        if given:
            told = _Told(list(index.of(task, "task_started", "task_finished", "question", "node")), recipe)
            found += [told.verdict(folder.name, event) for event in given.values()]
    return found


class _Told:
    """What the events of a task tell beside the verdicts."""

    def __init__(self, events: Sequence[Event], recipe: Mapping[str, Any]) -> None:
        self._verifier = str(recipe.get("verify", {}).get("strategy", "") or recipe.get("strategy", ""))
        asked = next((event.data.get("asked") or {} for event in events if event.type == "task_started"), {})
        messages = asked.get("messages") or [{"content": ""}]
        parts = (str(asked.get("context") or "").strip(), str(messages[-1].get("content", "")).strip())
        self._question = "\n\n".join(part for part in parts if part)
        self._format = str(asked.get("answer_format") or recipe.get("answer", {}).get("format", "text"))
        self._texts: dict[str, str] = {}
        for event in events:
            rows = event.data.get("candidates") or event.data.get("result", {}).get("candidates") or ()
            self._texts |= {item["id"]: item["text"] for item in rows if item.get("text")}
        self._asked = {
            event.key.partition("#")[0]: event.data.get("request") or {} for event in events if event.type == "question"
        }

    def verdict(self, run: str, event: Event) -> RunVerdict:
        data = event.data
        person = (data.get("details") or {}).get("person") or {}
        own = person.get("verifier") or data
        shown = self._asked.get(event.key.replace("verdict", "verify", 1), {}) if person else {}
        return RunVerdict(
            run=run,
            task=event.task,
            attempt=str(data["of"]),
            question=self._question,
            solution=str(shown.get("attempt") or self._texts.get(str(data["of"]), "")),
            answer=data.get("answer"),
            answer_format=self._format,
            verifier=self._verifier,
            label=str(own["label"]),
            score=own.get("score"),
            reason=str(own.get("reason", "")),
            counted=str(data["label"]),
            person=person.get("choice"),
            person_reason=str(person.get("reason", "")),
        )


@dataclass(frozen=True, slots=True)
class Agreement:
    """A verifier against people, over the attempts that people judged."""

    verifier: str
    judged: int
    """Verdicts with a person's word on whether the attempt is right."""
    unknown: int
    """Of these, verdicts in which the verifier could not tell; they agree with nobody."""
    accuracy: float | None
    """Share of the judged verdicts in which the verifier says what the person says; None = there is none."""
    kappa: float | None
    """Cohen's, over those in which the verifier could tell; None where it is not defined."""
    threshold: Threshold | None
    """Over those with a figure."""
    warning: str = ""

    def to_json(self) -> dict[str, Any]:
        found = asdict(self)
        if self.threshold is not None:
            numbers = {name: found["threshold"][name] for name in ("accept", "low", "high")}
            found["threshold"] |= {name: None if math.isinf(value) else value for name, value in numbers.items()}
            found["threshold"]["ties"] = [None if math.isinf(value) else value for value in self.threshold.ties]
        return found


def agreements(verdicts: Iterable[RunVerdict]) -> list[Agreement]:
    """An Agreement per verifier, by name; those that nobody was asked about are left out."""
    by_name: dict[str, list[RunVerdict]] = {}
    for item in verdicts:
        if item.right is not None:
            by_name.setdefault(item.verifier, []).append(item)
    return [_agreement(name, items) for name, items in sorted(by_name.items())]


def _agreement(name: str, items: Sequence[RunVerdict]) -> Agreement:
    told = [item for item in items if item.label != "unknown"]
    said, right = [item.label == "accept" for item in told], [item.right is True for item in told]
    kappa = cohens_kappa(said, right)
    scored = [item for item in items if item.score is not None]
    threshold = best_threshold(
        [item.score or 0.0 for item in scored],
        [item.right is True for item in scored],
        [(item.run, item.task) for item in scored],
    )
    few = f"only {len(items)} verdicts: figures of fewer than {FEW} tell little" if len(items) < FEW else ""
    return Agreement(
        verifier=name,
        judged=len(items),
        unknown=len(items) - len(told),
        accuracy=sum(one == other for one, other in zip(said, right, strict=True)) / len(items),
        kappa=None if math.isnan(kappa) else kappa,
        threshold=threshold,
        warning=few,
    )


def labelled_rows(verdicts: Iterable[RunVerdict]) -> list[dict[str, Any]]:
    """The judged attempts as rows of a labelled data set: of one attempt judged twice the later word holds; a task's id is
    put behind its run's where another question has it too. Attempts without texts are left out."""
    questions: dict[str, set[str]] = {}
    kept: dict[tuple[str, str], RunVerdict] = {}
    for item in verdicts:
        if item.right is not None and item.question and item.solution:
            questions.setdefault(item.task, set()).add(item.question)
            kept.pop((item.question, item.solution.strip()), None)
            kept[item.question, item.solution.strip()] = item
    return [
        item.labelled(item.task if len(questions[item.task]) == 1 else f"{item.run}:{item.task}")
        for item in kept.values()
    ]
