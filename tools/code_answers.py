"""Programs and queries as answers: the last fenced block of a reply."""

from __future__ import annotations

import re
from dataclasses import dataclass

from phronesis.core.task import AnswerFormat
from phronesis.tools.extraction import Extraction

_FENCE = re.compile(r"[ \t]*(?:```+|~~~+)[ \t]*([\w+#.-]*)")
_CODE = re.compile(r"(?im)^(?:from|import|def|class|async|@\w|select|with)\b")
"""How the first line of a program or a query without a fence begins."""


def fenced(text: str) -> list[tuple[str, str]]:
    """(language in small letters, content) of every fenced block, in order; one that is not closed goes to the end."""
    found: list[tuple[str, str]] = []
    inside: list[str] | None = None
    language = ""
    for line in text.splitlines():
        fence = _FENCE.match(line)
        if fence is None:
            if inside is not None:
                inside.append(line)
        elif inside is None:
            inside, language = [], fence[1].lower()
        else:
            found.append((language, "\n".join(inside)))
            inside = None
    if inside is not None:
        found.append((language, "\n".join(inside)))
    return found


@dataclass(frozen=True, slots=True)
class CodeAnswers:
    """Programs: equal when their texts are, line ends and closing blanks apart. What they do is for a grader to find out."""

    extraction: Extraction = "lenient"
    """``lenient``: a reply without a fence is read from its first line of code on; ``strict``: it is not."""
    format: AnswerFormat = "code"

    def extract(self, text: str, *, cut_off: bool = False) -> str | None:
        blocks = [content for _, content in fenced(text) if content.strip()]
        if blocks:
            return self.canonical(blocks[-1])
        found = _CODE.search(text) if self.extraction == "lenient" and not cut_off else None
        return None if found is None else self.canonical(text[found.start() :])

    def canonical(self, raw: str) -> str | None:
        blocks = [content for _, content in fenced(raw) if content.strip()]
        lines = [line.rstrip() for line in (blocks[-1] if blocks else raw).splitlines()]
        while lines and not lines[0]:
            lines.pop(0)
        return "\n".join(lines).rstrip() or None

    def equal(self, left: str, right: str) -> bool:
        return left == right
