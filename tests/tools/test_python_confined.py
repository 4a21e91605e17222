"""The tool python and what its programs cannot do. Where this machine's kernel does not shut programs in, only limits are
tested."""

from __future__ import annotations

import asyncio
import os
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from phronesis.core.errors import ConfigurationError, ToolError
from phronesis.core.settings import Settings
from phronesis.core.tool import Tool, ToolOutput, ToolSurroundings
from phronesis.tools.confinement import OPEN, Confinement, confinement
from phronesis.tools.process_watch import Watch, memory_of, usage_of
from phronesis.tools.python_execution import PythonPrograms
from phronesis.tools.table import open_tools

HERE = confinement()
no_network = pytest.mark.skipif(HERE.network, reason="this kernel leaves programs the network")
no_files = pytest.mark.skipif(HERE.files, reason="this kernel leaves programs our files")
own_processes = pytest.mark.skipif(not HERE.processes, reason="this kernel gives programs no processes of their own")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only place for temporary folders; whatever is left there after a test was left behind."""
    place = tmp_path / "programs"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert list(place.iterdir()) == [], "a program's folder was left behind"


@pytest.fixture
def surroundings(settings: Settings) -> ToolSurroundings:
    return ToolSurroundings(settings=settings)


def opened(text: str, around: ToolSurroundings) -> Tool:
    (found,) = asyncio.run(open_tools([text], around)).values()
    return found


def ran(code: str, around: ToolSurroundings, options: str = "seconds=2") -> ToolOutput:
    return asyncio.run(opened(f"python({options})", around).call({"code": textwrap.dedent(code)}))


class TestTool:
    def test_what_is_printed_is_the_result(self, surroundings: ToolSurroundings) -> None:
        found = ran("print('first')\nprint(6 * 7)", surroundings)
        assert found.text == "first\n42"
        assert found.data == {"output": "first\n42\n", "value": None, "error": ""}

    def test_a_failure_is_told_with_what_was_printed_before(self, surroundings: ToolSurroundings) -> None:
        assert (
            ran("print('so far')\n1 / 0", surroundings).text == "so far\nZeroDivisionError: division by zero (line 2)"
        )

    def test_a_child_that_comes_to_the_end_too_costs_no_answer(self, surroundings: ToolSurroundings) -> None:
        assert ran("import os\nchild = os.fork()\nif child: os.wait()\nprint('end')", surroundings).text == "end"

    def test_silence_is_said(self, surroundings: ToolSurroundings) -> None:
        assert ran("x = 1", surroundings).text == "the program printed nothing"

    def test_solution_is_called_too(self, surroundings: ToolSurroundings) -> None:
        assert ran("def solution():\n    print('in it')\n    return 5", surroundings).text == "in it\nreturned: 5"

    def test_a_flood_of_output_is_cut(self, surroundings: ToolSurroundings) -> None:
        assert len(ran("while True:\n    print('x' * 10000)", surroundings, "seconds=1, output=500").text) < 700

    def test_nothing_is_kept_between_calls(self, surroundings: ToolSurroundings) -> None:
        assert ran("open('a', 'w').write('1')\nimport os\nprint(os.listdir())", surroundings).text == "['a']"
        assert ran("import os\nprint(os.listdir())", surroundings).text == "[]"

    def test_it_is_pure_and_harmless_where_programs_are_shut_in(self, surroundings: ToolSurroundings) -> None:
        spec = opened("python", surroundings).spec
        shut_in = not (HERE.network or HERE.files)
        assert (spec.pure, spec.dangerous) == (shut_in, not shut_in)
        assert opened("python(dangerous=true)", surroundings).spec.dangerous
        assert not opened("python(dangerous=false)", surroundings).spec.dangerous

    def test_options_out_of_range_are_refused(self, surroundings: ToolSurroundings) -> None:
        with pytest.raises(ConfigurationError, match="seconds"):
            opened("python(seconds=0)", surroundings)

    def test_a_cancelled_call_leaves_nothing(self, surroundings: ToolSurroundings) -> None:
        async def cut() -> None:
            (tool,) = (await open_tools(["python(seconds=30)"], surroundings)).values()
            async with asyncio.timeout(0.2):
                await tool.call({"code": "import time\ntime.sleep(60)"})

        with pytest.raises(TimeoutError):
            asyncio.run(cut())


class TestLimits:
    def test_a_fork_bomb_is_ended(self, surroundings: ToolSurroundings) -> None:
        bomb = """
            import os
            while True:
                try:
                    os.fork()
                except OSError:
                    pass
        """
        text = ran(bomb, surroundings, "seconds=1, memory=256").text
        assert "MemoryError" in text or "TimeoutError" in text or "ended its process" in text

    @pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
    def test_memory_of_all_processes_together(self, surroundings: ToolSurroundings) -> None:
        eaters = """
            import os, time
            for _ in range(6):
                if os.fork() == 0:
                    held = b'x' * (90 * 2 ** 20)
                    time.sleep(20)
            time.sleep(20)
        """
        assert "hold more than 256 MiB together" in ran(eaters, surroundings, "seconds=10, memory=128").text

    def test_many_files_cannot_fill_the_disk(self, surroundings: ToolSurroundings) -> None:
        filler = "for i in range(10 ** 6):\n    open(f'f{i}', 'wb').write(b'x' * 2 ** 20)"
        assert "more than 8 MiB together" in ran(filler, surroundings, "seconds=20, disk=8").text

    def test_many_empty_files_neither(self, surroundings: ToolSurroundings) -> None:
        filler = "import os\nfor i in range(10 ** 7):\n    os.mkdir(f'f{i}')"
        assert "more than 5000 files" in ran(filler, surroundings, "seconds=20").text

    def test_without_limits_nothing_is_run_unless_told(
        self, surroundings: ToolSurroundings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("phronesis.tools.python_execution._limitless", lambda: True)
        with pytest.raises(ToolError, match="cannot be run under limits"):
            opened("python", surroundings)
        assert ran("print(1)", surroundings, "unlimited=true").text == "1"


class TestShutIn:
    @no_network
    @pytest.mark.parametrize("address", [("127.0.0.1", 0), ("192.0.2.1", 80)])
    def test_no_connection(self, surroundings: ToolSurroundings, address: tuple[str, int]) -> None:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as server:
            host, port = address[0], address[1] or server.getsockname()[1]
            text = ran(
                f"import socket\nsocket.create_connection(('{host}', {port}), 1)\nprint('in')", surroundings
            ).text
        assert "Error" in text and "in\n" not in text

    @no_network
    def test_no_datagram(self, surroundings: ToolSurroundings) -> None:
        send = "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))"
        assert "Error" in ran(send, surroundings).text

    @no_files
    @pytest.mark.parametrize(
        "work",
        [
            "print(open({path!r}).read())", "open({path!r}, 'a').write('x')", "import os; os.remove({path!r})",
            "import os; os.link({path!r}, 'here'); print(open('here').read())",
            "import os; os.symlink({path!r}, 'here'); print(open('here').read())",
            "import os; os.rename({path!r}, 'here')", "import os; print(os.listdir({folder!r}))",
            "import os; print(open('../' * 30 + {path!r}).read())", "import os; os.truncate({path!r}, 0)",
            "import os; os.mkdir({folder!r} + '/new')",
        ],
    )  # fmt: skip
    def test_no_file_outside_its_folder(self, surroundings: ToolSurroundings, tmp_path: Path, work: str) -> None:
        own = tmp_path / "mine"
        own.mkdir()
        (own / "note").write_text("precious")
        text = ran(work.format(path=str(own / "note"), folder=str(own)), surroundings).text
        assert "Error" in text and "precious" not in text
        assert [item.name for item in own.iterdir()] == ["note"] and (own / "note").read_text() == "precious"

    @no_files
    def test_no_other_program(self, surroundings: ToolSurroundings) -> None:
        assert (
            "PermissionError" in ran("import subprocess\nsubprocess.run(['/bin/sh', '-c', 'true'])", surroundings).text
        )

    @no_files
    def test_what_is_made_in_the_folder_cannot_be_executed(self, surroundings: ToolSurroundings) -> None:
        program = "import os\nopen('a', 'w').write('#!/bin/sh')\nos.chmod('a', 0o755)\nos.execv('./a', ['a'])"
        assert "PermissionError" in ran(program, surroundings).text

    @own_processes
    def test_it_sees_its_own_processes_only(self, surroundings: ToolSurroundings) -> None:
        text = ran("import os\nprint(os.getpid(), sorted(filter(str.isdigit, os.listdir('/proc'))))", surroundings).text
        assert text == "2 ['1', '2']"

    @own_processes
    def test_a_process_in_a_session_of_its_own_ends_with_the_program(self, surroundings: ToolSurroundings) -> None:
        program = """
            import os, time
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(4242)
                os._exit(0)
            print('left')
        """
        assert ran(program, surroundings).text == "left"
        asleep = [place for place in Path("/proc").glob("[0-9]*/cmdline") if _holds(place, b"launch(json")]
        assert asleep == []

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="for root")
    @own_processes
    def test_root_is_nobody_inside(self, surroundings: ToolSurroundings) -> None:
        status = "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff')])"
        assert ran(f"import os\nprint(os.getuid() != 0)\n{status}", surroundings).text == "True\n0000000000000000"

    @no_files
    def test_a_grader_may_name_what_is_readable(self, tmp_path: Path) -> None:
        from phronesis.core.budget import Account, Branch
        from phronesis.core.site import Site

        note = tmp_path / "note"
        note.write_text("shared")
        runner = PythonPrograms(readable=(str(note),))
        site = Site(Branch("", Account()), "python")
        assert asyncio.run(runner.run(f"print(open({str(note)!r}).read())", site=site)).value == "shared"
        assert "PermissionError" in asyncio.run(runner.run(f"open({str(note)!r}, 'w')", site=site)).error


def _holds(place: Path, text: bytes) -> bool:
    """Whether a process's command line has the text; one that ended meanwhile has not."""
    try:
        return text in place.read_bytes()
    except OSError:
        return False


class TestNotes:
    def test_what_is_open_is_said(self) -> None:
        assert OPEN.note == (
            "the network is open to programs; programs can read and write what you can; "
            "a process in a session of its own outlives its program"
        )
        assert Confinement(before=("unshare",), processes=True, landlock=1).note == ""
        assert not Confinement(landlock=4).network and Confinement(landlock=3).network


class TestWatch:
    def test_usage_counts_files_and_follows_no_links(self, tmp_path: Path) -> None:
        place = tmp_path / "used"
        (place / "inner").mkdir(parents=True)
        (place / "inner" / "file").write_bytes(b"x" * 8192)
        (place / "loop").symlink_to(place)
        used, files = usage_of(str(place))
        assert files == 3 and used >= 8192
        assert usage_of(str(tmp_path / "missing")) == (0, 0)

    def test_a_process_that_is_gone_holds_nothing(self) -> None:
        assert memory_of(2**22 + 1) == 0
        assert not Watch(2**22 + 1, "/missing", memory=1, disk=1).exceeded()
