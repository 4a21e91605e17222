"""What a memory is worth: success over a stream of tasks is what retrieval alone says it must be, task by task.

The solver is a script that answers right when the procedure of the task's family stands in its prompt, and otherwise only
when it guesses right, which the task alone decides. So nothing but the text of a recalled concept can make a difference.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from strategy_runs import recipe_of

from phronesis.core.concept import Concept
from phronesis.core.http import close_pools
from phronesis.core.result import Result
from phronesis.core.settings import load_settings
from phronesis.core.task import Task
from phronesis.graphs.nodes.recalling import estimate
from phronesis.graphs.recipe import Recipe
from phronesis.memory.recall import render
from phronesis.memory.session import Memory
from phronesis.testing import FakeRequest, FakeServer

P0 = 0.25
"""Chance of a right guess."""
FAMILIES, OCCURRENCES = 16, 5
SESSION = "gain"
LEAST = 0.15
"""Least similarity of the runs and of what is predicted for them; the hashing embedder gives lower cosines than a model."""


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
class Item:
    """A task whose family nobody is told."""

    n: int
    family: int
    distraction: int
    """How many signs of the next family stand in the question beside four of its own: retrieval may go wrong."""

    @property
    def task(self) -> Task:
        own = [word("sign", self.family, (self.n + place) % 6) for place in range(4)]
        other = [word("sign", (self.family + 1) % FAMILIES, place) for place in range(self.distraction)]
        return Task(id=f"t{self.n}", messages=f"task {self.n}: {' '.join(own + other)}")

    @property
    def answer(self) -> str:
        return str(100 + self.n)

    @property
    def guessed(self) -> bool:
        return number("guess", self.n) % 1000 < 1000 * P0


def stream(*, distractions: Sequence[int] = (0, 3, 4, 6), families: int = FAMILIES) -> list[Item]:
    """Every family several times, in turn."""
    return [
        Item(n, n % families, distractions[number("distraction", n) % len(distractions)])
        for n in range(families * OCCURRENCES)
    ]


class Solver:
    """Right by the procedure or by luck; two attempts agree when they are right and differ when they are not."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        self._families = {code(item.family): item.family for item in items}

    def __call__(self, request: FakeRequest, index: int) -> str:
        if "Write down the one idea" in request.text:
            return self._abstract(request.text)
        (n,) = re.findall(r"task (\d+):", request.text)
        item = self._items[int(n)]
        if code(item.family) in request.text or item.guessed:
            return f"Step 1: {code(item.family)} gives 7 + 5 = 12.\nThe answer is \\boxed{{{item.answer}}}."
        return f"Step 1: 7 + 5 = 12.\nThe answer is \\boxed{{{9000 + index}}}."

    def _abstract(self, text: str) -> str:
        (family,) = {self._families[name] for name in re.findall(r"\w+", text) if name in self._families}
        found = lesson(family, code(family))
        return json.dumps({"situation": found.situation, "suggestion": found.suggestion})


def recipe(server: FakeServer, mode: str, **memory: object) -> Recipe:
    keys = {
        f"memory__{name}": value
        for name, value in {"k": 1, "mode": mode, "session": SESSION, "least_similarity": LEAST, **memory}.items()
    }
    return recipe_of("self_consistency", server, k=2, **keys)


def run(items: Sequence[Item], mode: str, **memory: object) -> list[Result]:
    """Results of the stream, in order."""

    async def whole(recipe: Recipe) -> list[Result]:
        try:
            return [await recipe.arun(item.task) for item in items]
        finally:
            await close_pools()

    with FakeServer(Solver(items)) as server:
        return asyncio.run(whole(recipe(server, mode, **memory)))


def right(items: Sequence[Item], results: Sequence[Result]) -> list[bool]:
    return [result.answer == item.answer for item, result in zip(items, results, strict=True)]


def remember(procedures: Sequence[str], session: str = SESSION) -> int:
    """Fills a memory with one lesson per family; its version."""
    with Memory.open(session, settings=load_settings()) as memory:
        memory.add([lesson(family, procedure) for family, procedure in enumerate(procedures)])
        return memory.version()


def in_prompt(
    items: Sequence[Item], version: int, *, k: int = 1, budget: int = 300, least: float = LEAST
) -> list[bool]:
    """Whether retrieval alone brings the right procedure into each task's prompt."""
    found = []
    with Memory.open(SESSION, settings=load_settings()) as memory:
        for item in items:
            hits = memory.recall(item.task.question, k=k, version=version)
            text, _ = render([hit for hit in hits if hit.score >= least], token_budget=budget, tokens=estimate)
            found.append(code(item.family) in text)
    return found


def close_to(successes: int, chances: Sequence[float]) -> bool:
    """Whether the number of successes is within four standard deviations of what these chances give."""
    spread = math.sqrt(sum(chance * (1 - chance) for chance in chances))
    return abs(successes - sum(chances)) <= 4 * spread + 1e-9


def test_without_a_memory_only_luck_counts() -> None:
    items = stream()
    outcome = right(items, run(items, "off"))
    assert outcome == [item.guessed for item in items]
    assert close_to(sum(outcome), [P0] * len(items))


@pytest.mark.parametrize(
    ("k", "budget", "fully"), [(1, 300, False), (3, 300, True), (3, 60, False)], ids=["one", "three", "little room"]
)
def test_success_is_recall_and_luck_task_by_task(k: int, budget: int, fully: bool) -> None:
    """P(right) = r + (1 - r) p0, where r is 1 for a task whose procedure retrieval brings into the prompt, else 0."""
    items = stream()
    version = remember([code(family) for family in range(FAMILIES)])
    recalled = in_prompt(items, version, k=k, budget=budget)
    assert (sum(recalled) == len(items)) == fully and sum(recalled) > len(items) // 2
    results = run(items, "frozen", k=k, token_budget=budget)
    outcome = right(items, results)
    assert outcome == [hit or item.guessed for hit, item in zip(recalled, items, strict=True)]
    assert close_to(sum(outcome), [1.0 if hit else P0 for hit in recalled])
    assert [result.memory.version for result in results if result.memory] == [version] * len(items)
    shown = [[item.text for item in result.memory.recalled if item.rendered] for result in results if result.memory]
    assert [
        any(code(item.family) in text for text in texts) for item, texts in zip(items, shown, strict=True)
    ] == recalled


def test_placebo_and_shuffled_memories_gain_nothing() -> None:
    """As many concepts in as many words, found for the same tasks: what is wrong in them is what they say."""
    items = stream()
    luck = [item.guessed for item in items]
    memories = {
        "right": [code(family) for family in range(FAMILIES)],
        "placebo": [word("placebo", family) for family in range(FAMILIES)],
        "shuffled": [code((family + FAMILIES // 2) % FAMILIES) for family in range(FAMILIES)],
    }
    outcomes, tokens, recalled = {}, {}, {}
    for name, procedures in memories.items():
        version = remember(procedures, name)
        results = run(items, "frozen", session=name)
        outcomes[name] = right(items, results)
        tokens[name] = [result.usage.prompt_tokens for result in results]
        recalled[name] = [[item.id for item in result.memory.recalled] for result in results if result.memory]
        assert version == FAMILIES
    assert tokens["right"] == tokens["placebo"] == tokens["shuffled"]
    assert recalled["right"] == recalled["placebo"] == recalled["shuffled"]
    assert outcomes["placebo"] == outcomes["shuffled"] == luck
    assert sum(outcomes["right"]) > sum(luck) + 3 * math.sqrt(len(items) * P0 * (1 - P0))


def test_a_stream_that_writes_learns_at_the_first_right_guess() -> None:
    """With questions that retrieval never mistakes, the i-th task of a family is right when any of the first i guesses of
    the family was: the chance is 1 - (1 - p0)^i."""
    items = stream(distractions=(0,))
    outcome = right(items, run(items, "write"))
    expected = []
    for item in items:
        earlier = [other for other in items[: item.n + 1] if other.family == item.family]
        expected.append(any(other.guessed for other in earlier))
    assert outcome == expected
    for i in range(1, OCCURRENCES + 1):
        turn = slice((i - 1) * FAMILIES, i * FAMILIES)
        assert close_to(sum(outcome[turn]), [1 - (1 - P0) ** i] * FAMILIES)
    learned = {item.family for item in items if item.guessed}
    with Memory.open(SESSION, settings=load_settings()) as memory:
        assert {stored.concept.situation for stored in memory.list()} == {situation(family) for family in learned}


def test_a_stream_that_writes_succeeds_as_its_retrieval_does() -> None:
    """With questions that mislead, each task is right when the version it read brings its procedure, or by luck."""
    items = stream()
    results = run(items, "write")
    versions = [result.memory.version for result in results if result.memory]
    assert versions == sorted(versions) and versions[0] == 0
    recalled = [in_prompt([item], version)[0] for item, version in zip(items, versions, strict=True)]
    outcome = right(items, results)
    assert outcome == [hit or item.guessed for hit, item in zip(recalled, items, strict=True)]
    without = [item.guessed for item in items]
    assert sum(outcome) > sum(without)
    later = slice(2 * FAMILIES, None)
    assert close_to(sum(outcome[later]), [1.0 if hit else P0 for hit in recalled[later]])
