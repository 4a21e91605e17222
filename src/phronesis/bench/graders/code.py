"""Programs graded by running their tests: HumanEval, MBPP and sets like them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from phronesis.bench.dataset import Example
from phronesis.bench.graders import code_execution
from phronesis.bench.graders.code_blocks import defines, python_sources
from phronesis.bench.graders.facts import needed, text_of, unfit
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, GraderContext
from phronesis.bench.graders.table import GraderEntry
from phronesis.tools.children import in_child
from phronesis.tools.python_execution import PythonPrograms

_CALLED = re.compile(r"\b([A-Za-z_]\w*)\s*\(")


class CodeOptions(BaseModel):
    """How long a program and its tests may run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = Field(10.0, gt=0, le=60)
    """Processor time of the tests; as much again for the further ones. Wall-clock time is twice that."""
    memory: int = Field(1024, ge=64)
    """Megabytes of address space."""


class ByTests:
    """Right when the program passes every test; score = 1 or 0.

    Facts: ``tests`` (Python sources; one that only defines ``check`` is followed by ``check(<entry point>)``),
    ``entry_point``, ``preamble`` (imports, or the beginning of a function that the attempt goes on with),
    ``plus_tests`` ({input, expected, tuple}), ``atol``. Read is the last fenced block that defines the entry point
    (without one: a name that the tests call), else the text. A program that defines it is run behind the preamble, any
    other one is taken as the function's body.

    Figures: ``tests_passed`` (share), ``plus_passed`` (share of the further tests; 0 for a program that fails the
    tests, which is then not asked). The limits are those of ``tools/python_execution``: they stop accidents, not
    malice, and a program that is out to forge its result shares a process with its tests."""

    reads: Literal["answer", "text"] = "text"

    def __init__(self, options: CodeOptions) -> None:
        self._programs = PythonPrograms(seconds=options.seconds, memory=options.memory * 2**20)

    def check(self, example: Example) -> None:
        for test in needed(example, "tests", list):
            if not isinstance(test, str):
                raise unfit(example, "tests", f"{test!r} is no Python source")
            try:
                compile(test, "test", "exec")
            except (SyntaxError, ValueError) as error:
                raise unfit(example, "tests", f"a test does not compile: {error}") from None
        entry = example.facts.get("entry_point", "")
        if not isinstance(entry, str) or (entry and not entry.isidentifier()):
            raise unfit(example, "entry_point", "it is no name")
        plus = example.facts.get("plus_tests") or []
        if not isinstance(plus, list) or not all(
            isinstance(call, dict) and {"input", "expected"} <= {*call} for call in plus
        ):
            raise unfit(example, "plus_tests", "each needs 'input' and 'expected'")
        if plus or any(_checks(test) for test in example.facts["tests"]):
            needed(example, "entry_point", str)
        if not isinstance(example.facts.get("atol") or 0.0, int | float):
            raise unfit(example, "atol", "it is no number")

    async def grade(self, example: Example, attempt: Attempted) -> Grade:
        facts = example.facts
        entry, tests = str(facts.get("entry_point") or ""), list(facts["tests"])
        names = [entry] if entry else list(dict.fromkeys(_CALLED.findall("\n".join(tests))))
        text = text_of(attempt)
        if not text.strip():
            return WRONG
        job: dict[str, Any] = {
            "sources": _programs(python_sources(text, names), str(facts.get("preamble") or ""), names),
            "entry": entry,
        }
        plain = {**job, "tests": [f"{test}\n\ncheck({entry})\n" if _checks(test) else test for test in tests]}
        passed, error = await self._passed(plain, len(tests))
        figures = {"tests_passed": passed}
        if facts.get("plus_tests"):
            further = {**job, "calls": facts["plus_tests"], "atol": float(facts.get("atol") or 0.0)}
            right = passed == 1.0
            figures["plus_passed"] = (await self._passed(further, len(facts["plus_tests"])))[0] if right else 0.0
        correct = passed == 1.0
        return Grade(correct=correct, score=float(correct), read=error or "passes its tests", figures=figures)

    async def _passed(self, job: dict[str, Any], tests: int) -> tuple[float, str]:
        """(share of the tests that the program passes, the first error)."""
        reply, ending = await in_child(self._programs, code_execution, job=job)
        if reply is None:
            return 0.0, ending
        passed = reply.get("passed")
        if not isinstance(passed, list) or len(passed) not in (0, tests):
            return 0.0, "SystemExit: the program replied in the launcher's place"
        return sum(one is True for one in passed) / tests, str(reply.get("error", ""))[:300]

    async def close(self) -> None:
        pass


def _checks(test: str) -> bool:
    """Whether the test defines ``check`` and leaves it to us to call it."""
    return defines(test, "check") and re.search(r"(?m)^check\(", test) is None


def _programs(sources: Sequence[str], preamble: str, names: Sequence[str]) -> list[str]:
    """Each source behind the preamble: as a program of its own, else as what the preamble's function goes on with."""
    found = []
    for source in sources:
        if not preamble or any(defines(source, name) for name in names):
            found.append(f"{preamble}\n\n{source}" if preamble else source)
        else:
            found += [preamble.rstrip() + "\n" + body for body in _bodies(source)]
    return found


def _bodies(source: str) -> list[str]:
    """The source as a function's body: as it stands, or with one step of indentation for all lines or for the first."""
    if source[:1].isspace():
        return [source]
    indented = "\n".join(f"    {line}" if line.strip() else line for line in source.splitlines())
    return [indented, f"    {source}", source]


def _build(context: GraderContext, options: CodeOptions) -> ByTests:
    return ByTests(options)


ENTRY = GraderEntry(
    name="code",
    summary="a Python program that passes the tests of its row, run under limits (HumanEval, MBPP)",
    options=CodeOptions,
    build=_build,
)
