"""The text of the call that is being written, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phronesis.cli.plain import plain_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_KEPT = 8000
"""Characters that are kept for the screen."""


class LiveText:
    """Observes one call at a time: while one is shown, others run unseen. Nothing here reaches a journal or a Result."""

    def __init__(self) -> None:
        self._busy = False
        self._parts: list[tuple[str, bool]] = []

    def begin(self) -> bool:
        """Whether this call is shown."""
        if self._busy:
            return False
        self._busy = True
        return True

    def restart(self) -> None:
        """An attempt begins: the text of an earlier one goes away."""
        self._parts = []

    def piece(self, text: str, *, thinking: bool) -> None:
        parts = self._parts
        if parts and parts[-1][1] == thinking:
            parts[-1] = ((parts[-1][0] + text)[-_KEPT:], thinking)
        else:
            parts.append((text, thinking))

    def end(self) -> None:
        self._busy = False
        self._parts = []

    def draw(self, console: Console, lines: int) -> Text | None:
        """The last lines so far, thinking dim; None when nothing is being written."""
        from rich.text import Text

        shown = Text()
        for text, thinking in tuple(self._parts):
            shown.append(plain_lines(text) + "\n", style="dim italic" if thinking else "")
        if not shown.plain.strip():
            return None
        shown.rstrip()
        return Text("\n").join(shown.wrap(console, console.width)[-lines:])
