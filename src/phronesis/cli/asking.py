"""Questions to a person on a terminal, and open ones in print. What they are about was written by models: it is shown as
plain text, and whole, because what is not seen cannot be approved."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import orjson

from phronesis.cli.plain import counted, plain, plain_lines
from phronesis.core.asking import Answer, Question, answer_command, read_answer
from phronesis.core.errors import ConfigurationError

_LETTERS = {"a": "approve", "r": "reject", "e": "edit"}


def can_ask(*, json: bool) -> bool:
    """Whether somebody is there: a terminal on both ends, and no JSON."""
    return not json and sys.stdin.isatty() and sys.stderr.isatty()


def question_lines(question: Question) -> list[str]:
    """The question in full. Texts of several lines stand below their name as they are."""
    lines = [f"task {plain(question.task, 80)}: {plain(question.text) or 'journalled without texts'}"]
    if "tool" not in question.request:
        shown = orjson.dumps(question.request, option=orjson.OPT_INDENT_2).decode() if question.request else ""
        return [*lines, *(f"  {line}" for line in plain_lines(shown).splitlines())]
    lines.append(f"  tool       {plain(str(question.request['tool']))}")
    arguments = dict(question.request.get("arguments", {}))
    lines.append(f"  arguments  {plain(orjson.dumps(arguments).decode())}")
    for name, value in arguments.items():
        if isinstance(value, str) and "\n" in value:
            lines.append(f"  {plain(name)}:")
            lines += [f"    | {line}" for line in plain_lines(value).splitlines()]
    return lines


def open_lines(run: str, questions: Sequence[Question], *, texts: bool = True) -> list[str]:
    """Open questions in full, each with the command that answers it; without texts no command can."""
    lines = [f"run {run} waits for a person: {counted(len(questions), 'question')} open"]
    for question in questions:
        lines += ["", *question_lines(question)]
        lines += [f"  answer     {answer_command(run, question)}"] if texts else []
    said = "instead of approve: reject, 'reject: reason', 'edit: {\"argument\": value}'"
    return [*lines, "", said if texts else "journalled without texts, it cannot be resumed: start a new run"]


class TerminalAsker:
    """Asks on standard error and reads from standard input."""

    def __init__(self, stopped: Callable[[], AbstractContextManager[None]]) -> None:
        """``stopped``: keeps whatever else is drawn off the screen meanwhile."""
        self._stopped = stopped

    async def __call__(self, question: Question) -> Answer | None:
        """The answer; None at the end of the input. The thread that waits for it ends with the process."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Answer | None] = loop.create_future()

        def settle(answer: Answer | None) -> None:
            if not found.done():
                found.set_result(answer)

        def work() -> None:
            loop.call_soon_threadsafe(settle, self._asked(question))

        with self._stopped():
            threading.Thread(target=work, daemon=True).start()
            return await found

    def _asked(self, question: Question) -> Answer | None:
        print("\n".join(["", *question_lines(question)]), file=sys.stderr, flush=True)
        while True:
            said = _read("  [a]pprove, [r]eject, [e]dit the arguments? ")
            if said is None:
                return None
            word, colon, rest = said.partition(":")
            choice = _LETTERS.get(word.strip().lower(), word.strip().lower())
            if choice == "edit" and not rest.strip():
                rest = _read("  arguments as JSON: ") or ""
            elif choice == "reject" and not colon:
                rest = _read("  why? (the model reads it; Enter for nothing) ") or ""
            try:
                return read_answer(f"{choice}: {rest}" if rest.strip() else choice, question)
            except ConfigurationError as error:
                print(f"  {plain(error.message)}; {plain(error.mend or '')}", file=sys.stderr, flush=True)


def _read(prompt: str) -> str | None:
    print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    return line.strip() if line else None
