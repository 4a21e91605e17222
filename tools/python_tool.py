"""The tool ``python``: runs a program and shows what it prints.

Where this kernel shuts programs in (see ``tools/confinement``: no network, no files but the program's own), a run changes
nothing outside: the tool is not dangerous, and pure in the sense that counts for a run: it may be repeated, and its first
result be kept (a program that reads the clock or draws at random is shown that one). Where the kernel does not, a person is
asked before each call, and a call is never repeated silently. The option ``dangerous`` decides otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from phronesis.core.budget import Account, Branch
from phronesis.core.site import Site
from phronesis.core.tool import Tool, ToolEntry, ToolOutput, ToolSurroundings
from phronesis.tools.confinement import confinement
from phronesis.tools.function_tool import tool
from phronesis.tools.options import ToolOptions
from phronesis.tools.python_execution import PythonPrograms, check_limits

_SITE = Site(Branch("", Account()), "tool python")
_DESCRIPTION = (
    "Runs a Python 3 program and returns what it prints; print what you want to know. Each call starts anew: no variables or "
    "files are kept. Only the standard library can be imported. {network}At most {seconds:g} s of processor time."
)


class PythonOptions(ToolOptions):
    """The limits of one run."""

    seconds: float = Field(default=5.0, gt=0, le=600)
    """Processor time, and twice that of wall-clock time."""
    memory: int = Field(default=512, ge=64)
    """MiB of one process; twice that of all together."""
    disk: int = Field(default=64, ge=1)
    """MiB of all files together; a single one may have a quarter of it."""
    processes: int = Field(default=32, ge=4)
    """Processes and threads, where they can be counted."""
    output: int = Field(default=20_000, ge=100, le=1_000_000)
    """Characters of output that are kept."""
    dangerous: bool | None = None
    """Whether a person is asked; not said = where programs can reach the network or your files."""
    unlimited: bool = False
    """Run programs even where no limits can be set."""


async def _open(options: PythonOptions, around: ToolSurroundings) -> Sequence[Tool]:
    if not options.unlimited:
        check_limits()
    found = await asyncio.to_thread(confinement)
    shut_in = not (found.network or found.files)
    runner = PythonPrograms(
        seconds=options.seconds,
        memory=options.memory * 2**20,
        disk=options.disk * 2**20,
        file_size=max(2**20, options.disk * 2**18),
        processes=options.processes,
        output=options.output,
        script=True,
        unlimited=options.unlimited,
    )

    @tool(
        name="python",
        pure=shut_in,
        dangerous=not shut_in if options.dangerous is None else options.dangerous,
        timeout=2 * options.seconds + 10,
    )
    async def python(code: Annotated[str, Field(description="The whole program.")]) -> ToolOutput:
        """Set below."""
        run = await runner.run(code, site=_SITE)
        parts = [run.output.rstrip("\n"), f"returned: {run.value}" if run.value else "", run.error]
        text = "\n".join(part for part in parts if part)
        return ToolOutput(
            text=text or "the program printed nothing",
            data={"output": run.output, "value": run.value or None, "error": run.error},
        )

    network = "There is no network. " if not found.network else ""
    return (python.described(_DESCRIPTION.format(network=network, seconds=options.seconds)),)


ENTRY = ToolEntry("python", "runs a program in limits, shut in as far as the kernel goes", PythonOptions, _open)
