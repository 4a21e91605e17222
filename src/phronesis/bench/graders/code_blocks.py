"""Where in an attempt its program or query stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from phronesis.tools.code_answers import fenced

_TOP = re.compile(r"(?:from|import|def|class|async|@)\b|@\w")
"""How a program's first line outside a fence begins."""
_PYTHON = ("python", "py", "python3", "")


def last_block(text: str, languages: Sequence[str], wanted: Callable[[str], bool]) -> str | None:
    """The last fenced block in one of the languages of which ``wanted`` holds, else the last in one of them; None =
    none."""
    blocks = [content for language, content in fenced(text) if language in languages and content.strip()]
    return next((block for block in reversed(blocks) if wanted(block)), blocks[-1] if blocks else None)


def defines(source: str, name: str) -> bool:
    """Whether the source binds the name at its top level, by ``def``, ``class`` or ``=``."""
    named = re.escape(name)
    return re.search(rf"(?m)^(?:(?:async +)?def +{named}\b|class +{named}\b|{named} *[:=])", source) is not None


def _binds(line: str, names: Sequence[str]) -> bool:
    return any(defines(line, name) for name in names)


def python_sources(text: str, names: Sequence[str]) -> list[str]:
    """What may be the attempt's program, best first: the last fenced block that defines one of the names; without a
    fence the text from its first line of Python on, cut back line by line where prose may follow, and the text as it is
    (a function's body, whose indentation counts)."""
    block = last_block(text, _PYTHON, lambda source: _binds(source, names))
    if block is not None:
        return [block]
    lines = text.splitlines()
    found = []
    if _binds(text, names):
        first = next(number for number, line in enumerate(lines) if _TOP.match(line) or _binds(line, names))
        found.append("\n".join(lines[first:]))
        ends = [at for at in range(first + 1, len(lines)) if lines[at][:1].strip() and not lines[at - 1].strip()]
        found += ["\n".join(lines[first:at]) for at in reversed(ends[-_CUTS:])]
        found += ["\n".join(lines[first:at]) for at in ends[:1]]
    found.append("\n".join(lines).strip("\n"))
    return found


_CUTS = 8
"""Places from the end at which a program that stands in prose is cut."""
