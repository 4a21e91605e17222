"""Programs under limits: what they return, how they fail, what they leave behind; and journalled ones inside a run."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phronesis.core.budget import Account, Branch
from phronesis.core.effects import Effects
from phronesis.core.errors import ReplayDiverged, ToolError
from phronesis.core.journal import FILE_NAME, Journal
from phronesis.core.ports import ProgramRun
from phronesis.core.site import Site
from phronesis.graphs.nodes.programs import JournaledPrograms
from phronesis.tools.answers import answer_space
from phronesis.tools.python_execution import PythonPrograms

SITE = Site(Branch("", Account()), "python")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only place for temporary folders; whatever is left there after a test was left behind."""
    place = tmp_path / "programs"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert list(place.iterdir()) == [], "a program's folder was left behind"


def run(program: str, **limits: float) -> ProgramRun:
    runner = PythonPrograms(**limits)  # type: ignore[arg-type]  # numbers of either kind
    return asyncio.run(runner.run(textwrap.dedent(program), site=SITE))


def returns(expression: str, **limits: float) -> ProgramRun:
    return run(f"def solution():\n    return {expression}\n", **limits)


def ends(pid: int) -> bool:
    """Whether the process is gone, or waits to be buried; a kill takes a moment to arrive."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


class TestValues:
    @pytest.mark.parametrize(
        ("expression", "value"),
        [
            ("5", "5"), ("-3", "-3"), ("2.50", "2.5"), ("4.0", "4"), ("-0.0", "0"), ("0.1 + 0.2", "0.3"),
            ("1e22", "10000000000000000000000"), ("7 / 3", "2.33333333333"), ("True", "True"), ("'B'", "B"), ("''", ""),
            ("'é✓𝔘'", "é✓𝔘"), ("__import__('fractions').Fraction(1, 3)", "1/3"),
            ("__import__('decimal').Decimal('1E+3')", "1E+3"), ("10 ** 50", "1" + "0" * 50),
        ],
    )  # fmt: skip
    def test_what_solution_returns_is_the_value_as_text(self, expression: str, value: str) -> None:
        found = returns(expression)
        assert (found.value, found.error) == (value, "")
        assert found.seconds > 0

    @pytest.mark.parametrize(
        ("expression", "says"),
        [
            ("None", "returned None"), ("float('nan')", "returned nan"), ("float('-inf')", "returned -inf"),
            ("10 ** 3000", "2000 digits"), ("'x' * 5000", "5000 characters"), ("1 / 0", "ZeroDivisionError"),
            ("[][1]", "IndexError"), ("missing", "NameError"), ("len('x' * 2 * 10 ** 9)", "MemoryError"),
        ],
    )  # fmt: skip
    def test_what_is_no_value_is_an_error_that_says_why(self, expression: str, says: str) -> None:
        found = returns(expression)
        assert found.value is None
        assert says in found.error

    def test_the_error_names_the_line(self) -> None:
        assert "(line 4)" in run("def solution():\n    a = 1\n    b = 0\n    return a / b\n").error
        assert "line 2" in run("x = 1\ndef solution(:\n    pass\n").error

    def test_without_solution_the_last_line_printed_is_the_value(self) -> None:
        assert run("print('first')\nprint('', 42)\nprint()\n").value == "42"

    def test_without_solution_and_print_it_failed(self) -> None:
        assert "no solution()" in run("x = 5\n").error
        assert "no solution()" in run("").error
        assert "no solution()" in run("solution = 5\n").error

    @pytest.mark.parametrize("expression", ["map(int, [1])", "solution", "(i for i in [3])", "object()"])
    def test_an_object_is_no_answer(self, expression: str) -> None:
        value = returns(expression).value
        assert value is None or answer_space("number").canonical(value) is None

    def test_small_values_keep_their_digits(self) -> None:
        value = returns("1.23456e-8").value
        assert value is not None and float(value) == pytest.approx(1.23456e-8, rel=1e-6)

    def test_a_lone_surrogate_in_the_output_costs_no_answer(self) -> None:
        assert run("print('\\ud800')\ndef solution():\n    return 5\n").value == "5"


class TestStreams:
    def test_there_is_no_input(self) -> None:
        assert "EOFError" in run("def solution():\n    return input()\n").error
        assert returns("len(__import__('sys').stdin.read())").value == "0"

    def test_what_is_printed_is_kept_up_to_the_limit(self) -> None:
        found = run("def solution():\n    for i in range(100000):\n        print('y' * 50)\n    return 1\n", output=120)
        assert found.value == "1"
        assert len(found.output) <= 120 and found.output.startswith("yyy")

    def test_print_and_stdout_may_be_taken_away(self) -> None:
        program = "import sys\nsys.stdout = sys.stderr = None\nprint = None\ndef solution():\n    return 5\n"
        assert run(program).value == "5"

    def test_printed_json_that_looks_like_the_reply_is_only_printed(self) -> None:
        reply = '{"value": "666", "error": "", "output": ""}'
        found = run(f"print('{reply}')\ndef solution():\n    return 5\n")
        assert (found.value, found.output) == ("5", reply + "\n")

    @pytest.mark.parametrize("write", ["os.write(1, b'hello')", "os.system('echo hello')"])
    def test_what_is_written_past_print_costs_no_answer(self, write: str) -> None:
        assert run(f"import os\n{write}\ndef solution():\n    return 5\n").value == "5"

    @pytest.mark.parametrize("value", ["5", '{"a": 1}', "[1]", "true"])
    def test_a_made_up_reply_has_no_value_but_text(self, value: str) -> None:
        reply = f'{{"value": {value}, "error": 3, "output": null}}'
        found = run(f"import os\nos.write(1, b'{reply}')\nos._exit(0)\n")
        assert found.value is None or isinstance(found.value, str)
        assert isinstance(found.error, str) and isinstance(found.output, str)

    def test_a_flood_on_the_descriptor_is_no_answer(self) -> None:
        found = run("import os\nfor _ in range(64):\n    os.write(1, b'9' * 65536)\nos._exit(0)\n")
        assert found.value is None and found.error

    def test_text_outside_ascii_and_long_programs_arrive_whole(self) -> None:
        assert run(f"# {'ü' * 400_000}\nname = 'Grüße'\nprint(name)\n").value == "Grüße"


class TestLimits:
    def test_processor_time(self) -> None:
        assert "TimeoutError" in run("while True:\n    pass\n", seconds=1).error

    def test_wall_clock_time(self) -> None:
        found = run("import time\ntime.sleep(60)\n", seconds=0.05)
        assert (found.value, found.error[:12]) == (None, "TimeoutError")

    def test_file_size_and_open_files(self) -> None:
        assert "File too large" in returns("open('a', 'wb').write(b'x' * 3 * 2 ** 20)").error
        assert "Too many open files" in returns("[open(f'a{i}', 'w') for i in range(100)]").error

    def test_memory_of_the_launcher_is_enough_for_the_standard_library(self) -> None:
        imports = "import math, itertools, fractions, decimal, datetime, statistics, collections, re, random, json"
        assert run(f"{imports}\ndef solution():\n    return math.comb(6, 3)\n").value == "20"

    def test_third_party_packages_are_not_found(self) -> None:
        assert "ModuleNotFoundError" in run("import numpy\n").error
        assert "ModuleNotFoundError" in run("import phronesis\n").error

    def test_the_environment_is_empty_and_the_folder_its_own(
        self, monkeypatch: pytest.MonkeyPatch, folder: Path
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "secret")
        found = run("import os\nprint(sorted(n for n in os.environ if n != 'LC_CTYPE'), os.listdir(), os.getcwd())\n")
        assert found.value is not None
        assert found.value.startswith("[] [] ") and str(folder) in found.value

    @pytest.mark.parametrize(
        ("program", "says"),
        [
            ("import sys\nsys.exit(3)", "SystemExit: 3"),
            ("import os\nos._exit(7)", "code 7"),
            ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "code -11"),
            ("raise KeyboardInterrupt", "KeyboardInterrupt"),
            ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "killed"),
        ],
    )
    def test_every_way_to_end_is_a_failure_with_a_reason(self, program: str, says: str) -> None:
        found = run(program)
        assert found.value is None and says in found.error


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What objects complained of when they were collected."""
    found: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", found.append)
    return found


class TestLeftovers:
    def test_a_child_of_the_program_is_gone_when_the_run_is(self, tmp_path: Path, unraisable: list[Any]) -> None:
        note = tmp_path / "pid"
        program = f"""
            import os, time
            child = os.fork()
            if child == 0:
                os.close(1)
                time.sleep(60)
            open({str(note)!r}, 'w').write(str(child))
            def solution():
                return 5
        """
        assert run(program, seconds=20, confined=False).value == "5"
        assert ends(int(note.read_text()))
        gc.collect()
        assert unraisable == [], "a transport was left open"

    def test_a_thread_that_never_ends_costs_no_answer(self) -> None:
        start = "threading.Thread(target=lambda: time.sleep(60)).start()"
        assert run(f"import threading, time\n{start}\ndef solution():\n    return 5\n", seconds=0.3).value == "5"

    def test_a_cancelled_run_leaves_no_process(self, tmp_path: Path) -> None:
        note = tmp_path / "pid"
        program = f"import os, time\nopen({str(note)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"

        async def cancelled() -> None:
            work = asyncio.create_task(PythonPrograms(seconds=20, confined=False).run(program, site=SITE))
            while not (note.exists() and note.read_text()):
                await asyncio.sleep(0.01)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work

        asyncio.run(cancelled())
        assert ends(int(note.read_text()))

    def test_a_run_cancelled_at_its_very_start_leaves_nothing(self, folder: Path, unraisable: list[Any]) -> None:
        async def cancelled() -> None:
            for turns in range(1, 6):
                work = asyncio.create_task(PythonPrograms().run("print(1)", site=SITE))
                for _ in range(turns):
                    await asyncio.sleep(0)
                work.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await work

        asyncio.run(cancelled())
        gc.collect()
        assert list(folder.iterdir()) == []
        assert unraisable == [], "a pipe was left open"

    def test_at_most_one_run_per_core(self, tmp_path: Path) -> None:
        """Each program notes how many run beside it."""
        marks = tmp_path / "marks"
        marks.mkdir()
        program = f"""
            import os, time
            mine = os.path.join({str(marks)!r}, str(os.getpid()))
            open(mine, 'w').close()
            time.sleep(0.05)
            found = len(os.listdir({str(marks)!r}))
            os.remove(mine)
            def solution():
                return found
        """

        async def all_at_once() -> list[ProgramRun]:
            runner = PythonPrograms(confined=False)
            jobs = [runner.run(textwrap.dedent(program), site=SITE) for _ in range(4 * (os.cpu_count() or 1))]
            return list(await asyncio.gather(*jobs))

        found = [int(item.value or 99) for item in asyncio.run(all_at_once())]
        assert max(found) <= (os.cpu_count() or 1)

    def test_the_same_runner_serves_one_loop_after_another(self) -> None:
        runner = PythonPrograms()
        values = [asyncio.run(runner.run(f"print({number})", site=SITE)).value for number in range(3)]
        assert values == ["0", "1", "2"]


class Counting:
    """A runner that counts and never ends when told so."""

    def __init__(self, found: ProgramRun | Exception | None) -> None:
        self.found = found
        self.runs = 0

    async def run(self, program: str, *, site: Site) -> ProgramRun:
        self.runs += 1
        if isinstance(self.found, Exception):
            raise self.found
        if self.found is None:
            await asyncio.Event().wait()
        assert self.found is not None
        return self.found


def journaled(folder: Path, runner: Counting, program: str, *, account: Account | None = None) -> ProgramRun:
    """One session of a run: the program at its place."""
    journal = Journal(folder)
    try:
        place = Site(Branch("", account or Account()), "python", "p0")
        programs = JournaledPrograms(runner, Effects(journal, "t"))

        async def one() -> ProgramRun:
            async with asyncio.timeout(5):
                return await programs.run(program, site=place)

        return asyncio.run(one())
    finally:
        journal.close()


class TestJournaled:
    def test_a_resume_does_not_run_a_program_again(self, tmp_path: Path) -> None:
        wanted = ProgramRun("5", "", "said", 0.25)
        runner = Counting(wanted)
        assert journaled(tmp_path / "run", runner, "print(5)") == wanted
        assert journaled(tmp_path / "run", runner, "print(5)") == wanted
        assert runner.runs == 1

    def test_a_torn_line_runs_it_again(self, tmp_path: Path) -> None:
        runner = Counting(ProgramRun("5"))
        journaled(tmp_path / "run", runner, "print(5)")
        path = tmp_path / "run" / FILE_NAME
        path.write_bytes(path.read_bytes()[:-5])
        assert journaled(tmp_path / "run", runner, "print(5)").value == "5"
        assert runner.runs == 2

    def test_a_failed_program_is_a_value_and_is_not_run_again(self, tmp_path: Path) -> None:
        runner = Counting(ProgramRun(None, "NameError: x (line 2)"))
        for _ in range(2):
            assert journaled(tmp_path / "run", runner, "x").error.startswith("NameError")
        assert runner.runs == 1

    def test_a_tool_that_cannot_run_is_the_same_error_again(self, tmp_path: Path) -> None:
        runner = Counting(ToolError("no processes left", mend="free some"))
        for _ in range(2):
            with pytest.raises(ToolError, match="no processes left"):
                journaled(tmp_path / "run", runner, "print(5)")
        assert runner.runs == 1

    def test_another_program_at_the_same_place_diverges(self, tmp_path: Path) -> None:
        runner = Counting(ProgramRun("5"))
        journaled(tmp_path / "run", runner, "print(5)")
        with pytest.raises(ReplayDiverged, match="program"):
            journaled(tmp_path / "run", runner, "print(6)")
        assert runner.runs == 1
