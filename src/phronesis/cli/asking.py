"""Questions to a person on a terminal, and open ones in print. What they are about was written by models: it is shown as
plain text. A tool's arguments are shown whole, because what is not seen cannot be approved; of an attempt that a verdict is
about, what is left out is said."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import orjson

from phronesis.cli.plain import counted, plain, plain_lines
from phronesis.core.asking import Answer, Question, answer_command, read_answer
from phronesis.core.errors import ConfigurationError

_LETTERS = {"a": "approve", "r": "reject", "e": "edit", "o": "overrule"}
_PROMPTS = {"approve": "[a]pprove", "reject": "[r]eject", "edit": "[e]dit the arguments", "overrule": "[o]verrule"}
SHOWN = 1500
"""Characters of a text that a verdict is about: its beginning and its end."""


def can_ask(*, json: bool) -> bool:
    """Whether somebody is there: a terminal on both ends, and no JSON."""
    return not json and sys.stdin.isatty() and sys.stderr.isatty()


def question_lines(question: Question) -> list[str]:
    """The question in full. Texts of several lines stand below their name as they are."""
    lines = [f"task {plain(question.task, 80)}: {plain(question.text) or 'journalled without texts'}"]
    if "label" in question.request:
        return [*lines, *verdict_lines(question.request)]
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
        lines += [f"  or         {answer_command(run, question, choice)}" for choice in question.reasoned if texts]
    if not texts:
        return [*lines, "", "journalled without texts, it cannot be resumed: start a new run"]
    if all(question.reasoned for question in questions):
        return lines
    return [*lines, "", "instead of approve: reject, 'reject: reason', 'edit: {\"argument\": value}'"]


def verdict_lines(request: Mapping[str, Any]) -> list[str]:
    """What a verdict is about and what it rests on: question, attempt and answer, then label, figure, reasons, criteria."""
    lines = [*_block("question", request.get("question")), *_block("attempt", request.get("attempt"))]
    lines.append(f"  its answer {plain(str(request.get('answer')))}")
    score = request.get("score")
    verdict = f"{request['label']}{'' if score is None else f' ({score:.2f})'}"
    verdict += "" if request.get("consistent", True) else ", and it contradicts itself"
    lines += [f"  verdict    {verdict}", *_block("reason", request.get("reason"))]
    for item in request.get("criteria", ()):
        figure = "" if item.get("score") is None else f" ({item['score']:.2f})"
        said = f"{item.get('choice') or 'unknown'}{figure} {item.get('reason', '')}"
        lines.append(f"  criterion  {plain(str(item.get('criterion')))}: {plain(said)}".rstrip())
    return lines


def _block(name: str, text: object) -> list[str]:
    """A named text, below its name where it has several lines; nothing for none."""
    shown = plain_lines(shortened(str(text or "")))
    if "\n" not in shown:
        return [f"  {name:<10} {shown}"] if shown else []
    return [f"  {name}", *(f"    | {line}" for line in shown.splitlines())]


def shortened(text: str, most: int = SHOWN) -> str:
    """The beginning and the end of a long text, with a line between them that says how much is left out."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half].rstrip()}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:].lstrip()}"


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
        prompt = f"  {', '.join(_PROMPTS.get(choice, choice) for choice in question.choices)}? "
        while True:
            said = _read(prompt)
            if said is None:
                return None
            word, colon, rest = said.partition(":")
            choice = _LETTERS.get(word.strip().lower(), word.strip().lower())
            if choice == "edit" and not rest.strip():
                rest = _read("  arguments as JSON: ") or ""
            elif choice in question.reasoned and not rest.strip():
                rest = _read("  why? (it becomes the verdict's reason) ") or ""
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
