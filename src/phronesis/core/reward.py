"""What goes to a reward model and what comes back: a conversation in, rows of numbers out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from phronesis.core.task import Message

RewardRoute = Literal["/pooling", "/classify", "/v1/completions"]
"""Where a reward model is asked: a pooling server's two routes, or the prompt log-probabilities of a causal model."""

Rewards = tuple[tuple[float, ...], ...]
"""One row per marked place, one row in all where nothing is marked; finite numbers, as many in each as were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardRequest:
    """What a reward model is asked, as the scorer means it: no address, no model name. Its hash guards resume."""

    messages: tuple[Message, ...]
    """Question and solution, the marks in place. /v1/completions gets their texts joined by a space."""
    route: RewardRoute = "/pooling"
    rows: int = 0
    """Marked places, each with a row of its own; 0 = one row for the whole (where there are more, the last)."""
    width: int = 1
    """Numbers in a row; with labels, as many as there are labels."""
    activated: bool = False
    """The server is asked for probabilities; else for logits. With labels the numbers are log-probabilities."""
    open_ended: bool = False
    """The solution ends the text: the chat template adds nothing behind it."""
    mark: str = ""
    """Token behind which the labels are looked up (/v1/completions)."""
    labels: tuple[str, ...] = ()
    """Tokens that are looked up (/v1/completions)."""

    @property
    def max_tokens(self) -> int:
        """Most tokens that are generated."""
        return int(self.route == "/v1/completions")

    def to_json(self) -> dict[str, Any]:
        """The request as the journal writes it."""
        return {
            "messages": [{"role": message.role, "content": message.content} for message in self.messages],
            "route": self.route,
            "rows": self.rows,
            "width": self.width,
            "activated": self.activated,
            "open_ended": self.open_ended,
            "mark": self.mark,
            "labels": list(self.labels),
        }
