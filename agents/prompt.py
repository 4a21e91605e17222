"""Prompts: Markdown files with a section per speaker and strict ``{{placeholders}}``, filled in one pass."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from phronesis.core.errors import ConfigurationError
from phronesis.core.task import Message

_SECTION = re.compile(r"^# (system|user|assistant)\s*$", re.MULTILINE)
_LINE = re.compile(r"^\{\{(\w+)\}\}\n*", re.MULTILINE)
"""A placeholder that has a line to itself; an empty value takes the line and the blank ones behind it away."""
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt before its values are known."""

    name: str
    system: str
    """Empty = none. A task's own system message takes its place."""
    user: str
    assistant: str
    """What the reply starts with; empty = nothing."""

    @property
    def placeholders(self) -> frozenset[str]:
        return frozenset(_PLACEHOLDER.findall(self.system + self.user + self.assistant))

    def fill(self, values: Mapping[str, str], *, history: Sequence[Message] = ()) -> tuple[tuple[Message, ...], str]:
        """Messages and prefill. Values are put in once and never read again, so braces in a user's text are just text.

        Raises ConfigurationError for a missing or unknown value."""
        if set(values) != self.placeholders:
            missing, unknown = self.placeholders - set(values), set(values) - self.placeholders
            raise ConfigurationError(
                f"prompt {self.name!r}: missing {sorted(missing)}, unknown {sorted(unknown)}",
                mend="placeholders and values must match",
            )

        def put(text: str) -> str:
            kept = _LINE.sub(lambda match: match[0] if values[match[1]].strip() else "", text)
            return _PLACEHOLDER.sub(lambda match: values[match[1]].strip(), kept).strip()

        messages = list(history)
        if self.system and not any(message.role == "system" for message in history):
            messages.insert(0, Message(role="system", content=put(self.system)))
        messages.append(Message(role="user", content=put(self.user)))
        return tuple(messages), put(self.assistant)


def parse_prompt(name: str, text: str) -> Prompt:
    """A prompt from the text of its file. Raises ConfigurationError when there is no user section."""
    parts = _SECTION.split(text)
    sections = {parts[index]: parts[index + 1].strip() for index in range(1, len(parts) - 1, 2)}
    if not sections.get("user"):
        raise ConfigurationError(f"prompt {name!r} has no '# user' section")
    return Prompt(name, sections.get("system", ""), sections["user"], sections.get("assistant", ""))


@cache
def load_prompt(name: str) -> Prompt:
    """The shipped prompt of that name (agents/prompts/<name>.md)."""
    file = resources.files("phronesis.agents.prompts").joinpath(f"{name}.md")
    if not file.is_file():
        raise ConfigurationError(f"there is no prompt {name!r}")
    return parse_prompt(name, file.read_text(encoding="utf-8"))
