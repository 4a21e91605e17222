"""Streamed replies: put together into what a whole reply would have been, and shown while they come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from phronesis.agents.client.thinking import CLOSED, OPENED
from phronesis.core.errors import ServerFailed


class Piece(NamedTuple):
    """Text as it came, without a prefill that the server repeats."""

    text: str
    thinking: bool


class Assembly:
    """Takes the events of one choice in order; ``whole`` is the reply that the server would have sent without streaming."""

    def __init__(self, url: str, *, echoed: str = "", opened: bool = False) -> None:
        """``echoed``: the prefill that the server repeats; ``opened``: the reply begins inside its thinking."""
        self._url = url
        self._echo = echoed
        self._held = ""
        self._inside = opened
        self._begun = False
        self._tail = ""
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._rows: list[Any] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._finish: str | None = None
        self._usage: Mapping[str, Any] | None = None
        self._model = ""

    def take(self, event: Any) -> list[Piece]:
        """What an event adds, to be shown. Raises ServerFailed for one that belongs to no chat completion."""
        try:
            self._usage = event.get("usage") or self._usage
            self._model = event.get("model") or self._model
            choice: Mapping[str, Any] = next((item for item in event.get("choices") or () if not item.get("index")), {})
            delta = choice.get("delta") or {}
            self._finish = choice.get("finish_reason") or self._finish
            self._rows += (choice.get("logprobs") or {}).get("content") or ()
            thought, text = delta.get("reasoning") or delta.get("reasoning_content") or "", delta.get("content") or ""
            self._thoughts += [thought] if thought else []
            self._texts += [text] if text else []
            for part in delta.get("tool_calls") or ():
                self._take_call(part)
            pieces = [Piece(thought, True), *self._marked(self._without_echo(text))]
        except (AttributeError, TypeError, KeyError) as error:
            raise ServerFailed(
                f"{self._url} streamed no chat completion ({error!r}): {event!r:.120}", malformed=True
            ) from None
        return [piece for piece in pieces if piece.text]

    def whole(self) -> bytes:
        """The body of the reply. Raises ServerFailed when the stream ended without saying why."""
        if self._finish is None:
            raise ServerFailed(f"the stream from {self._url} ended without a finish reason", malformed=True)
        message: dict[str, Any] = {"content": "".join(self._texts), "reasoning": "".join(self._thoughts)}
        if self._calls:
            message["tool_calls"] = [{"id": call["id"], "function": call} for _, call in sorted(self._calls.items())]
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": self._finish}
        if self._rows:
            choice["logprobs"] = {"content": self._rows}
        return orjson.dumps({"model": self._model, "choices": [choice], "usage": self._usage})

    def _take_call(self, part: Mapping[str, Any]) -> None:
        """A piece of a call: its name comes whole and first, its arguments bit by bit."""
        call = self._calls.setdefault(int(part.get("index") or 0), {"id": "", "name": "", "arguments": ""})
        function = part.get("function") or {}
        call["id"] = call["id"] or part.get("id") or ""
        call["name"] = call["name"] or function.get("name") or ""
        call["arguments"] += function.get("arguments") or ""

    def _without_echo(self, text: str) -> str:
        """What is new; text that may turn out to be the echo is held back until that is known."""
        if not self._echo:
            return text
        self._held += text
        if self._echo.startswith(self._held):
            return ""
        new, self._echo, self._held = self._held.removeprefix(self._echo), "", ""
        return new

    def _marked(self, text: str) -> list[Piece]:
        """The text as thinking or answer, by the tags so far; a closing tag belongs to the thinking."""
        if text.strip() and not self._begun:
            self._begun = True
            self._inside = self._inside or text.lstrip().startswith(OPENED)
        if not self._inside:
            return [Piece(text, False)]
        seen = self._tail + text
        end = seen.find(CLOSED)
        if end < 0:
            self._tail = seen[-len(CLOSED) :]
            return [Piece(text, True)]
        self._inside = False
        cut = end + len(CLOSED) - len(self._tail)
        return [Piece(text[:cut], True), Piece(text[cut:], False)]
