"""What became of what a task wanted to remember, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phronesis.cli.plain import plain


def lesson(item: Mapping[str, Any]) -> str:
    """What the concept says: its name, when it helps, what to do; empty for a refusal that has none."""
    parts = [item.get("name") or "", f"when {item['situation']}" if item.get("situation") else ""]
    return plain(": ".join(part for part in (*parts, item.get("suggestion") or "") if part))


def outcome(item: Mapping[str, Any]) -> str:
    """``written c3 (new): when ...: ...``, one line."""
    name = f" {item['id']}" if item.get("id") else ""
    said = lesson(item)
    return f"{item['outcome']}{name} ({plain(str(item['reason']))}){f': {said}' if said else ''}"
