"""Work on what a model wrote, in a process of its own under limits: a module of this package, called with JSON."""

from __future__ import annotations

import inspect
import json
from types import ModuleType
from typing import Any

from phronesis.core.budget import Account, Branch
from phronesis.core.site import Site
from phronesis.tools.python_execution import PythonPrograms

_SITE = Site(Branch("", Account()), "grader")


async def in_child(programs: PythonPrograms, module: ModuleType, job: Any) -> tuple[dict[str, Any] | None, str]:
    """(what the module's ``carry_out(job)`` returned, "") or (None, how the process ended).

    The module imports only the standard library: the child gets its source. Costs one Python start, some 30 ms. Raises
    ToolError where no process can be started or limited."""
    program = (
        f"{inspect.getsource(module)}\n\nimport json as _json\n_JOB = {json.dumps(job)!r}\n\n\n"
        "def solution():\n    return _json.dumps(carry_out(_json.loads(_JOB)))\n"
    )
    run = await programs.run(program, site=_SITE)
    if run.value is None:
        return None, run.error
    try:
        reply = json.loads(run.value)
    except ValueError:
        return None, "SystemExit: the process replied in the launcher's place"
    return (reply, "") if isinstance(reply, dict) else (None, "SystemExit: the process replied in the launcher's place")
