"""A stream whose solver is right when the procedure of the task's family stands in its prompt, or by a lucky guess that the
task alone decides: nothing but the text of a recalled concept can make a difference."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phronesis.bench.ablation.plan import DEFAULT, AblationPlan, Kind, begin
from phronesis.bench.ablation.report import AblationReport, report
from phronesis.bench.ablation.running import Ablation, Hearing, silent
from phronesis.bench.dataset import DataSet, Example
from phronesis.bench.graders.by_answer import ByAnswer
from phronesis.bench.running.bench_file import ArmEntry, arm_of
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.sets.request import SetRequest
from phronesis.core.concept import Concept
from phronesis.core.http import close_pools
from phronesis.core.settings import load_settings
from phronesis.core.task import Task
from phronesis.testing import FakeRequest

P0 = 0.4
LEAST = 0.15
POISON = "poison"
"""A word that makes the solver wrong wherever it stands in a prompt."""


def number(*parts: object) -> int:
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big")


def word(*parts: object) -> str:
    """Eight letters that stand for nothing."""
    value = number(*parts)
    return "".join("bcdfglmnprstvzae"[value >> 4 * place & 15] for place in range(8))


def code(family: int) -> str:
    """Name of the procedure that solves a family's tasks; stands in no question."""
    return word("code", family)


def situation(family: int) -> str:
    return " ".join(word("sign", family, n) for n in range(6))


def lesson(family: int, procedure: str) -> Concept:
    return Concept(situation=situation(family), suggestion=f"apply the {procedure} procedure to the amounts")


@dataclass(frozen=True)
class Puzzle:
    """A task whose family nobody is told."""

    n: int
    family: int

    @property
    def example(self) -> Example:
        signs = " ".join(word("sign", self.family, (self.n + place) % 6) for place in range(4))
        task = Task.model_validate(
            {"id": f"t{self.n}", "messages": f"task {self.n}: {signs}", "answer_format": "number"}
        )
        return Example(task, str(100 + self.n), group=f"family {self.family}")

    @property
    def guessed(self) -> bool:
        return number("guess", self.n) % 1000 < 1000 * P0


def puzzles(families: int = 6, each: int = 4) -> list[Puzzle]:
    """Every family several times, in turn."""
    return [Puzzle(n, n % families) for n in range(families * each)]


class Solver:
    """Two attempts agree when they are right and differ when they are not."""

    def __init__(self, stream: Sequence[Puzzle]) -> None:
        self._stream = stream
        self._families = {code(item.family): item.family for item in stream}

    def __call__(self, request: FakeRequest, index: int) -> str:
        if "Write down the one idea" in request.text:
            (family,) = {self._families[name] for name in re.findall(r"\w+", request.text) if name in self._families}
            found = lesson(family, code(family))
            return json.dumps({"situation": found.situation, "suggestion": found.suggestion})
        (n,) = re.findall(r"task (\d+):", request.text)
        item = self._stream[int(n)]
        if (code(item.family) in request.text or item.guessed) and POISON not in request.text:
            return f"Step 1: {code(item.family)} gives 7 + 5 = 12.\nThe answer is \\boxed{{{100 + item.n}}}."
        return f"Step 1: 7 + 5 = 12.\nThe answer is \\boxed{{{9000 + index}}}."


def right_in_write(stream: Sequence[Puzzle], order: Sequence[str]) -> dict[str, bool]:
    """The closed form: a task is right when it or an earlier one of its family was guessed."""
    by_id, known, found = {f"t{item.n}": item for item in stream}, set[int](), {}
    for name in order:
        item = by_id[name]
        if item.guessed:
            known.add(item.family)
        found[name] = item.family in known
    return found


def plan_of(stream: Sequence[Puzzle], *, arms: Sequence[Kind] = DEFAULT, **keys: Any) -> AblationPlan:
    overrides = {"knobs.k": 2, "memory.k": 1, "memory.least_similarity": LEAST, **keys.pop("overrides", {})}
    return AblationPlan(
        recipe=arm_of(ArmEntry(recipe="self_consistency", overrides=overrides), {}).recipe,
        stream=SetRequest(spec="puzzles", name="puzzles"),
        tasks=tuple(f"t{item.n}" for item in stream),
        learn=keys.pop("learn", len(stream) // 2),
        arms=tuple(arms),
        **keys,
    )


def ablation(
    path: Path, stream: Sequence[Puzzle], plan: AblationPlan, *, hearing: Hearing = silent, **keys: Any
) -> AblationReport:
    """Runs or goes on with an ablation; what it found."""
    data = DataSet("puzzles", tuple(item.example for item in stream))

    async def whole(work: Ablation) -> None:
        try:
            await work.run()
        finally:
            await close_pools()

    with BenchFolder(path) as folder:
        plan = begin(path, plan)
        graders = {("puzzles", ""): ByAnswer()}
        work = Ablation(folder, plan, data, graders, load_settings(), parallel=2, hearing=hearing, **keys)
        asyncio.run(whole(work))
        return report(plan, work.items(), work.shelves())
