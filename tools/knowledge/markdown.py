"""Markdown: its headings give chunks their titles; the text stays as it is written."""

from __future__ import annotations

import re

from phronesis.tools.knowledge.documents import Section

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*")


def sections_of(text: str) -> tuple[Section, ...]:
    """A section for each ATX heading (``# ...``) outside of fenced code."""
    found: list[Section] = []
    path: list[tuple[int, str]] = []
    fence = ""
    start = 0
    for line in text.splitlines(keepends=True):
        bare = line.rstrip("\n")
        mark = _FENCE.match(bare)
        if fence:
            if mark and mark[1].startswith(fence) and not bare.strip().strip(fence[0]):
                fence = ""
        elif mark:
            fence = mark[1]
        elif heading := _HEADING.fullmatch(bare):
            level, name = len(heading[1]), heading[2].strip()
            path = [item for item in path if item[0] < level]
            if name:
                path.append((level, name))
            found.append(Section(start, tuple(item[1] for item in path)))
        start += len(line)
    return tuple(found)
