"""The table of single items: what was asked, answered and right, with every attempt and the way to the journal."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from phronesis.bench.reports.figures import amount, seconds
from phronesis.bench.reports.html import text
from phronesis.bench.reports.material import Material
from phronesis.bench.reports.svg import escaped, visible
from phronesis.bench.running.item import AttemptGrade, Item

ROWS = 2000
"""Items that the page shows; the CSV file has all."""
_ATTEMPTS, _QUESTION, _ANSWER = 32, 4000, 300
"""Attempts and characters that a row shows."""


def outcome(item: Item) -> str:
    """right, wrong, failed or ungraded."""
    if item.status != "ok":
        return item.status
    return "right" if item.correct else "wrong"


def shown_items(material: Material) -> list[Item]:
    """The items that the page shows: all, or the first questions of each set with all their arms."""
    if len(material.items) <= ROWS:
        ranked = _by_question(material.items)
        return [item for part in ranked for item in part]
    share = ROWS // max(1, len({item.set for item in material.items}))
    found: list[Item] = []
    for name in dict.fromkeys(item.set for item in material.items):
        mine: list[Item] = []
        for part in _by_question(material.of(name)):
            if len(mine) + len(part) > share and mine:
                break
            mine += part[:share]
        found += mine
    return found


def _by_question(items: Sequence[Item]) -> list[list[Item]]:
    found: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        found.setdefault((item.set, item.task), []).append(item)
    return list(found.values())


def item_table(material: Material, *, page: Path, csv: str) -> str:
    """The section. ``page`` is where the HTML file will lie, which links are relative to; ``csv`` the file with all items."""
    items = shown_items(material)
    if not items:
        return ""
    sets = list(dict.fromkeys(item.set for item in items))
    notice = f"Every item also stands in <a href='{quote(csv)}'>{escaped(csv)}</a>."
    if len(items) < len(material.items):
        notice = (
            f"The page shows the first {len(items):,} of {len(material.items):,} items, whole questions with all their arms; "
            f"<a href='{quote(csv)}'>{escaped(csv)}</a> has all of them."
        )
    heads = [("Question", "text", 37.0), ("Arm", "text", 12.0), ("Result", "text", 9.0), ("Answer", "text", 11.0)]
    heads += [("Gold", "text", 9.0), ("Tokens", "number", 7.0), ("Seconds", "number", 8.0)]
    columns = "".join(f'<col style="width:{wide}%">' for *_, wide in heads) + '<col style="width:7%">'
    cells = "".join(f'<th scope="col" data-sort="{kind}"{_number(kind)}>{name}</th>' for name, kind, _ in heads)
    links = _Links(material, page)
    rows = "\n".join(_row(item, material, links, several=len(sets) > 1) for item in items)
    return (
        f'<section id="item-list"><h2>Items</h2><p class="caption">A row is one question solved by one arm. Open a row for '
        f"the question, the attempts and the command that shows its run; give that in the bench’s folder. {notice}</p>"
        f'{_filters(material, items, sets)}<div class="scroll items"><table id="items"><colgroup>{columns}</colgroup>'
        f'<thead><tr>{cells}<th scope="col">Run</th></tr></thead><tbody>\n{rows}\n</tbody></table></div></section>\n'
    )


def _number(kind: str) -> str:
    return ' class="n"' if kind == "number" else ""


def _filters(material: Material, items: Sequence[Item], sets: Sequence[str]) -> str:
    arms = [arm.name for arm in material.plan.arms]
    arms = [name for name in dict.fromkeys([*arms, *(item.arm for item in items)]) if any(i.arm == name for i in items)]
    choices = [("arm", "All arms", arms), ("outcome", "All results", ["right", "wrong", "failed", "ungraded"])]
    if len(sets) > 1:
        choices.insert(0, ("set", "All sets", list(sets)))
    selects = "".join(
        f'<select name="{name}" aria-label="{every}"><option value="">{every}</option>'
        + "".join(f'<option value="{escaped(value)}">{escaped(value)}</option>' for value in values)
        + "</select>"
        for name, every, values in choices
    )
    return (
        '<div class="filters" hidden><input type="search" placeholder="Search questions and answers" '
        f'aria-label="Search questions and answers">{selects}<span class="count" role="status"></span>'
        '<button type="button">Earlier</button><button type="button">Later</button></div>'
    )


class _Links:
    """Relative links from the page to the journals of runs that are there."""

    def __init__(self, material: Material, page: Path) -> None:
        runs = material.folder / "runs"
        self._base = Path(os.path.relpath(runs, page.absolute().parent)).as_posix()
        self._known = material.heads

    def journal(self, run: str) -> str | None:
        return quote(f"{self._base}/{run}/journal.jsonl") if run in self._known else None


def _row(item: Item, material: Material, links: _Links, *, several: bool) -> str:
    question = material.questions.get((item.set, item.task), "")
    verdict = outcome(item)
    tone = {"right": "good", "wrong": "bad", "failed": "bad", "ungraded": "quiet"}[verdict]
    sign = {"right": "✓ ", "wrong": "✗ "}.get(verdict, "")
    name = f"{item.set} · {item.task}" if several else item.task
    repeat = f" #{item.repeat}" if material.plan.repeats > 1 else ""
    head = f'<span class="task">{text(name + repeat)}</span><span class="short">{text(_line(question, 110))}</span>'
    link = links.journal(item.run_id)
    run = f'<a href="{escaped(link)}">journal</a>' if link else '<span class="quiet">–</span>'
    cells = [
        f'<td data-value="{escaped(_line(name, 200))}"><details><summary>{head}</summary>'
        f"{_more(item, question, link is not None)}</details></td>",
        f'<td class="clip" data-value="{escaped(item.arm)}">{text(item.arm)}</td>',
        f'<td class="{tone}" data-value="{verdict}">{sign}{verdict}</td>',
        _clipped("answer", item.answer or "–"),
        _clipped("gold", item.gold or "–"),
        f'<td class="n" data-name="tokens" data-value="{item.total_tokens}">{amount(item.total_tokens)}</td>',
        f'<td class="n" data-name="seconds" data-value="{item.seconds}">{seconds(item.seconds)}</td>',
        f"<td>{run}</td>",
    ]
    data = f'data-arm="{escaped(item.arm)}" data-outcome="{verdict}" data-set="{escaped(item.set)}"'
    return f"<tr {data}>{''.join(cells)}</tr>"


def _clipped(name: str, value: str) -> str:
    line = _line(value, _ANSWER)
    return f'<td class="clip" data-name="{name}" data-value="{escaped(line)}" title="{escaped(line)}">{text(line)}</td>'


def _line(value: str, most: int) -> str:
    line = " ".join(value[: 8 * most].split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def _more(item: Item, question: str, known: bool) -> str:
    parts = (
        [f"<pre>{text(_cut(question, _QUESTION))}</pre>"]
        if question
        else ['<p class="quiet">No journal, so no text.</p>']
    )
    facts = [("gold", _cut(item.gold, 3 * _ANSWER)), ("answer", _cut(item.answer or "none", 3 * _ANSWER))]
    facts += [("stopped", item.stop)] if item.stop not in ("", "finished") else []
    facts += [("group", item.group)] if item.group else []
    facts += [
        ("failure", f"{_cut(failure.error, 80)} in {_cut(failure.where, 80)}: {_cut(failure.message, 500)}")
        for failure in item.failures
    ]
    parts.append("<dl>" + "".join(f"<dt>{escaped(name)}</dt><dd>{text(value)}</dd>" for name, value in facts) + "</dl>")
    if known:
        command = f"PHRONESIS_RUNS_FOLDER=runs phronesis runs show {shlex.quote(item.run_id)}"
        command += f" --task {shlex.quote(visible(item.task))} --full"
        button = '<button type="button" class="copy">Copy</button>'
        parts.append(f'<div class="command"><code>{escaped(command)}</code>{button}</div>')
    attempts = f"<div>{_attempts(item.attempts)}</div>" if item.attempts else ""
    return f'<div class="more"><div>{"".join(parts)}</div>{attempts}</div>'


def _cut(value: str, most: int) -> str:
    return value if len(value) <= most else value[:most] + f" … ({len(value):,} characters)"


def _attempts(attempts: Sequence[AttemptGrade]) -> str:
    scored = any(item.reward is not None for item in attempts)
    heads = ["attempt", "answer", "result", "tokens", *(["reward"] if scored else [])]
    rows = []
    for item in attempts[:_ATTEMPTS]:
        verdict = "right" if item.correct else item.status if item.status != "ok" else "wrong"
        tone = "good" if item.correct else "bad"
        came = f"{item.id} from {', '.join(item.parents)}" if item.parents else item.id
        cells = f"<td>{text(_line(came, 60))}</td><td>{text(_line(item.answer or '–', 80))}</td>"
        cells += f'<td class="{tone}">{verdict}</td><td class="n">{item.tokens:,}</td>'
        if scored:
            cells += f'<td class="n">{"–" if item.reward is None else f"{item.reward:.3f}"}</td>'
        rows.append(f"<tr>{cells}</tr>")
    head = "".join(f"<th{_number('number' if name in ('tokens', 'reward') else '')}>{name}</th>" for name in heads)
    left = len(attempts) - _ATTEMPTS
    more = f'<p class="quiet">and {left} more; the journal has them</p>' if left > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{more}"
