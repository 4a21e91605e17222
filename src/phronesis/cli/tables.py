"""Results as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from phronesis.cli.lessons import outcome
from phronesis.cli.plain import counted, plain
from phronesis.cli.source_tree import place
from phronesis.cli.tally import Tally
from phronesis.cli.values import BadLine
from phronesis.cli.verdict_tree import verdict_line, verdicts_in
from phronesis.core.result import Candidate, Result, ToolUsage
from phronesis.graphs.nodes.searching import UNIT


def console() -> Console:
    """Standard output; not narrower than 100 columns when it is no terminal."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=max(100, found.width))


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def candidate_table(candidates: Sequence[Candidate], chosen: str | None = None) -> Table:
    """A row per candidate."""
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for column in ("candidate", "answer", "reward", "outcome", "steps", "tokens", "from", "status"):
        table.add_column(column, justify="right" if column in ("reward", "outcome", "steps", "tokens") else "left")
    for item in candidates:
        state = item.error.message if item.error else "" if item.status == "ok" else item.status
        state = f"{state} (cut off)" if item.cut_off else state
        table.add_row(
            Text(item.id, style="bold" if item.id == chosen else ""),
            Text(plain(item.answer or "", 80)),
            _figure(item.reward),
            _figure(item.outcome),
            str(len(item.steps)),
            str(item.tokens),
            Text(" ".join(item.parents)),
            Text(plain(state, 200)),
        )
    return table


def show_result(result: Result) -> None:
    """Answer, cost, candidates, memory, failures."""
    out = console()
    out.print(
        Text.assemble(
            ("answer  ", "dim"), (plain(result.answer or "none"), "bold green" if result.answer else "bold red")
        )
    )
    used = result.usage
    out.print(
        Text(
            f"{result.strategy} stopped: {result.stop_reason} · {counted(used.calls, 'call')} · "
            f"{used.prompt_tokens + used.completion_tokens} tokens · depth {result.depth} · {used.seconds:.1f} s",
            style="dim",
        )
    )
    for line in (*citation_lines(result), *tool_lines(result)):
        out.print(Text(line), soft_wrap=True)
    if result.candidates:
        out.print(candidate_table(result.candidates))
    for item in verdicts_in(result.decisions):
        out.print(Text(verdict_line(item)))
    for line in memory_lines(result):
        out.print(Text(line))
    for note in result.degraded:
        out.print(Text(f"degraded: {plain(note)}", style="yellow"))
    for failure in result.failures:
        out.print(Text(f"failed: {plain(f'{failure.where}: {failure.message}')}", style="red"))
    _mends([result])
    if result.replayed_from:
        out.print(Text(f"replayed from {result.replayed_from}: the figures are what it would have cost", style="dim"))
    out.print(Text(f"run {result.run_id} (phronesis runs show {result.run_id})", style="dim"))


def _mends(results: Sequence[Result]) -> None:
    """How to mend what failed, each way once."""
    for mend in dict.fromkeys(failure.mend for result in results for failure in result.failures if failure.mend):
        console().print(Text(f"mend: {plain(mend)}", style="red"))


def citation_lines(result: Result) -> list[str]:
    """The passages that the answer names as its ground, a line each, in the order they were found; then how many searches
    there were, those of the tool ``search`` counted in."""
    if result.retrieval is None:
        return []
    found = result.retrieval.passages
    cited = [item for item in found if item.cited]
    lines = [
        "  ".join(part for part in ("cited", plain(item.title, 80), place(item.model_dump())) if part) for item in cited
    ]
    asked = max(len(result.retrieval.queries), result.usage.tools.get(UNIT, ToolUsage()).units)
    searched = f"{counted(asked, 'search', 'searches')}, {counted(len(found), 'passage')}"
    return [*lines, f"{searched} of {plain(result.retrieval.retriever, 60)}{'' if cited else ', none cited'}"]


def tool_lines(result: Result) -> list[str]:
    """What each tool was used for; nothing where only the strategy itself searched."""
    used = {
        name: item
        for name, item in result.usage.tools.items()
        if name != UNIT or result.retrieval is None or item.failed or item.refused
    }
    return [f"tools  {', '.join(_tool(name, item) for name, item in used.items())}"] if used else []


def _tool(name: str, used: ToolUsage) -> str:
    counts = ((used.units, "unit"), (used.failed, "failed"), (used.refused, "refused"))
    told = [counted(number, noun) if noun == "unit" else f"{number} {noun}" for number, noun in counts if number]
    more = f" ({', '.join(told)})" if told else ""
    return f"{plain(name)} {counted(used.calls, 'call')}{more}"


def memory_lines(result: Result) -> list[str]:
    """What the memory did, one line each."""
    if result.memory is None:
        return []
    lines = [f"memory left out: {result.memory.skipped}"] if result.memory.skipped else []
    for recalled in result.memory.recalled:
        shown = "" if recalled.rendered else f", {recalled.reason or 'no room'}"
        lines.append(f"recalled {recalled.id} ({recalled.score:.2f}{shown}): {plain(recalled.text)}")
    return lines + [f"memory {outcome(item.model_dump())}" for item in result.memory.written]


def show_answers(tally: Tally, bad: Sequence[BadLine] = ()) -> None:
    """The answer table of several tasks, while they are few; what they spent, what was learned, which ones failed."""
    out = console()
    if tally.results is None:
        for line in tally.failures:
            out.print(Text(plain(line, 300), style="red"))
        if tally.failed > len(tally.failures):
            out.print(Text(f"... and {tally.failed - len(tally.failures)} more failed", style="red"))
    else:
        _answer_table(tally.results)
    used = tally.usage
    out.print(
        Text(
            f"{counted(tally.tasks, 'task')}, {tally.failed} failed, {counted(len(bad), 'bad line')} · "
            f"{counted(used.calls, 'call')} · "
            f"{used.prompt_tokens} prompt + {used.completion_tokens} generated tokens",
            style="dim",
        )
    )
    if tally.run_id:
        out.print(Text(f"run {tally.run_id} (phronesis runs show {tally.run_id})", style="dim"))


def _answer_table(results: Sequence[Result]) -> None:
    out = console()
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for column in ("task", "answer", "stopped", "candidates", "unparsable", "calls", "tokens", "depth", "seconds"):
        table.add_column(column, justify="left" if column in ("task", "answer", "stopped") else "right")
    for result in results:
        used = result.usage
        table.add_row(
            Text(plain(result.task_id, 60)),
            Text(plain(result.answer or "none", 80), style="bold green" if result.answer else "bold red"),
            Text(result.stop_reason),
            str(len(result.candidates)),
            str(result.unparsable),
            str(used.calls),
            str(used.prompt_tokens + used.completion_tokens),
            str(result.depth),
            f"{used.seconds:.1f}",
        )
    out.print(table)
    for result in results:
        name = plain(result.task_id, 60)
        for line in memory_lines(result):
            out.print(Text(f"[{name}] {line}"))
        for note in result.degraded:
            out.print(Text(f"[{name}] degraded: {plain(note)}", style="yellow"))
        for failure in result.failures:
            out.print(Text(f"[{name}] failed: {plain(f'{failure.where}: {failure.message}')}", style="red"))
    _mends(results)
