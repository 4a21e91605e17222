"""Work in a process of its own under limits: modules of ours that need the standard library only, called with JSON."""

from __future__ import annotations

import inspect
import json
import re
from types import ModuleType
from typing import Any

from phronesis.core.budget import Account, Branch
from phronesis.core.site import Site
from phronesis.tools.python_execution import PythonPrograms

_SITE = Site(Branch("", Account()), "child")
_OURS = re.compile(r"^from (?:__future__|phronesis\.\S+) import .*\n", re.MULTILINE)
"""Imports that the child has no use for: what they name stands in the text before."""


async def in_child(programs: PythonPrograms, *modules: ModuleType, job: Any) -> tuple[dict[str, Any] | None, str]:
    """(what the last module's ``carry_out(job)`` returned, "") or (None, how the process ended).

    The child gets the modules' sources, one after another; a module may import from those before it, on one line each. Costs
    one Python start, some 50 ms. Raises ToolError where no process can be started or limited."""
    source = "\n\n".join(_OURS.sub("", inspect.getsource(module)) for module in modules)
    program = (
        f"from __future__ import annotations\n{source}\n\nimport json as _json\n_JOB = {json.dumps(job)!r}\n\n\n"
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
