"""``phronesis runs show``: from the journal to the screen."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import orjson
import typer
from rich.text import Text

from phronesis.cli.asking import open_lines
from phronesis.cli.plain import counted, plain
from phronesis.cli.progress import MANY
from phronesis.cli.run_tree import half_done, task_line, task_tree
from phronesis.cli.tables import console
from phronesis.core.asking import answer_command, open_questions
from phronesis.core.errors import ConfigurationError
from phronesis.core.events import FILE_NAME, EventIndex
from phronesis.core.settings import load_settings
from phronesis.graphs.run_folder import RunSummary, run_folder, summarise


def show_run(run_id: str, *, task: str | None, full: bool, json: bool) -> None:
    """Prints a run, or one task of it. Raises ConfigurationError for a run or task that is not there."""
    folder = run_folder(load_settings(), run_id)
    index = EventIndex(folder / FILE_NAME)
    started = next(index.of("", "run_started"), None)
    tasks = list(index.tasks_with.get("task_started", ()))
    if task is not None:
        if task not in tasks:
            near = get_close_matches(task, tasks, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"`phronesis runs show {run_id}` shows its tasks"
            raise ConfigurationError(f"run {run_id} has no task {task!r}", mend=hint)
        tasks = [task]
    summary, told = summarise(folder), {} if started is None else dict(started.data)
    if json:
        typer.echo(orjson.dumps(_values(summary, told, index, tasks)).decode())
        return
    out = console()
    out.print(_heading(summary, told))
    for name in tasks:
        events = list(index.of(name))
        brief = len(tasks) > MANY
        out.print(task_line(events) if brief else task_tree(events, full=full))
    if len(tasks) > MANY:
        out.print(Text(f"one task in full: phronesis runs show {run_id} --task ID", style="dim"))
    texts = bool(told.get("texts", True))
    if summary.questions and summary.status == "interrupted":
        out.print("\n".join(open_lines(run_id, open_questions(index), texts=texts)), markup=False, soft_wrap=True)
    elif summary.status == "interrupted" and texts:
        out.print(Text(f"resume with: phronesis runs resume {run_id}", style="dim"))
    elif not texts:
        out.print(Text("journalled without texts: it can be neither resumed nor replayed", style="dim"))


def _heading(summary: RunSummary, told: dict[str, Any]) -> Text:
    style = {"finished": "green", "running": "cyan", "interrupted": "yellow", "failed": "red"}[summary.status]
    counts = f"{summary.finished}/{summary.tasks} tasks · {counted(summary.calls, 'call')}"
    counts += f" · waiting: {counted(summary.questions, 'question')}" if summary.questions else ""
    models = ", ".join(dict.fromkeys(plain(str(name), 60) for name in told.get("models", {}).values() if name))
    verifier = told.get("recipe", {}).get("verify", {}).get("strategy", "")
    checked = f", verified by {plain(str(verifier), 60)}" if verifier else ""
    line = Text.assemble(
        (f"run {summary.run_id}", "bold"),
        "  ",
        (summary.status, style),
        (f"  recipe {plain(summary.recipe, 60)} ({plain(summary.strategy, 60)}{checked}) · {counts}", "dim"),
        (f" · {models}" if models else "", "dim"),
    )
    if summary.replayed_from:
        changes = ", ".join(f"{name} = {value}" for name, value in told.get("changes", {}).items())
        line.append(f"\nreplay of {summary.replayed_from}: {plain(changes) or 'nothing changed'}", "cyan")
    return line


def _values(summary: RunSummary, told: dict[str, Any], index: EventIndex, tasks: list[str]) -> dict[str, Any]:
    """What ``--json`` prints: Results of finished tasks, and of the others what their events tell."""
    results, unfinished = [], []
    for name in tasks:
        finished = next(index.of(name, "task_finished"), None)
        if finished is not None:
            results.append(finished.data["result"])
        else:
            unfinished.append({"task_id": name, **half_done(list(index.of(name)))})
    replayed = {"changes": told.get("changes", {})} if summary.replayed_from else {}
    asked = [
        {**question.model_dump(mode="json"), "answer_with": answer_command(summary.run_id, question)}
        for question in open_questions(index)
    ]
    kept = summary._asdict()
    return {**kept, **replayed, "open_questions": asked, "results": results, "unfinished": unfinished}
