"""``phronesis memory explain``: why a run had the concepts in its prompt that it had, from its journal, and what they are
now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from phronesis.core.concept import StoredConcept
    from phronesis.core.events import Event, EventIndex

Values = Mapping[str, Any]


def register(app: typer.Typer) -> None:
    """Adds the verb to ``phronesis memory``."""
    app.command()(explain)


def explain(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id; `phronesis runs list` shows them.")],
    task: Annotated[str | None, typer.Option(help="Explain this task only.")] = None,
    session: Annotated[
        str | None, typer.Option(help="Memory to look the concepts up in; the run's own by default.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Why a run recalled what it did: what was asked, what was found and how, what was shown or why not.

    \b
    Example:
      phronesis memory explain 20260512-101500-3fa9c1 --task line7
    """
    import orjson

    from phronesis.core.errors import ConfigurationError
    from phronesis.core.events import FILE_NAME, EventIndex
    from phronesis.core.settings import load_settings
    from phronesis.graphs.run_folder import run_folder

    index = EventIndex(run_folder(load_settings(), run_id) / FILE_NAME)
    started = next(index.of("", "run_started"), None)
    memory = {} if started is None else started.data["recipe"].get("memory", {})
    if memory.get("mode", "off") == "off":
        raise ConfigurationError(f"run {run_id} used no memory", mend="start one with --session NAME or --memory read")
    session = session or str(memory.get("session", "default"))
    told = [_task(index, name) for name in _tasks(index, run_id, task)]
    ids = sorted({item["id"] for item in told for recall in item["recalls"] for item in recall["found"]})
    now, problem = _now(session, ids)
    data = {
        "run": run_id,
        "session": session,
        "mode": memory["mode"],
        "problem": problem,
        "tasks": told,
        "concepts": {id: None if found is None else _said_now(found) for id, found in now.items()},
    }
    if json:
        typer.echo(orjson.dumps(data).decode())
        return
    for line in _lines(data):
        typer.echo(line)


def _tasks(index: EventIndex, run_id: str, task: str | None) -> list[str]:
    from difflib import get_close_matches

    from phronesis.core.errors import ConfigurationError

    tasks = list(index.tasks_with.get("task_started", ()))
    if task is None:
        return tasks
    if task not in tasks:
        near = get_close_matches(task, tasks, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"`phronesis runs show {run_id}` shows its tasks"
        raise ConfigurationError(f"run {run_id} has no task {task!r}", mend=hint)
    return [task]


def _task(index: EventIndex, name: str) -> dict[str, Any]:
    """What the journal tells of one task's recalls; a recall's place is the path of the retry it was for, "" = before."""
    recalls: dict[str, dict[str, Any]] = {}
    outcome: dict[str, Any] = {"finished": False, "accepted": None, "reason": "", "skipped": "", "written": []}
    for event in index.of(name, "recall", "node", "decision", "task_finished"):
        if event.type == "recall":
            recalls[event.key.removesuffix("memory#recall").rstrip("/")] = _recall(event)
        elif event.type == "node" and "found" in event.data:
            place = event.key.removesuffix("memory").rstrip("/")
            _complete(recalls.setdefault(place, {"query": None, "found": []}), event.data)
        elif event.type == "decision" and event.data.get("rule") == "acceptance":
            outcome |= {"accepted": event.data["accepted"], "reason": event.data["reason"]}
        elif event.type == "task_finished":
            result = event.data["result"]
            report = result.get("memory") or {}
            outcome |= {"finished": True, "answer": result["answer"], "status": result["status"]}
            outcome |= {"skipped": report.get("skipped", ""), "written": list(report.get("written", ()))}
            if "" in recalls:
                _fill_in(recalls[""], report.get("recalled", ()))
    return {"task": name, "recalls": [{"at": at, **said} for at, said in sorted(recalls.items())], **outcome}


def _recall(event: Event) -> dict[str, Any]:
    """What was asked and found; nothing of either in a journal without texts."""
    value, request = event.data.get("value") or {}, event.data.get("request") or {}
    hits = [
        {"id": hit["id"], "score": hit["score"], "ranks": hit.get("why", {}), "concept": hit["concept"]}
        for hit in value.get("hits", ())
    ]
    return {
        "query": request.get("query"),
        "search": value.get("mode", "dense"),
        "version": value.get("version"),
        "degraded": value.get("degraded"),
        "found": hits,
    }


def _complete(recall: dict[str, Any], note: Values) -> None:
    """Adds what became of each hit, and those whose text was not kept."""
    known = {item["id"]: item for item in recall["found"]}
    recall["found"] = [{**known.get(item["id"], {}), **item} for item in note["found"]]
    recall |= {"search": note["mode"], "version": note["version"]}


def _fill_in(recall: dict[str, Any], recalled: Sequence[Values]) -> None:
    """The same for journals written before hits were noted, from the Result."""
    outcomes = {item["id"]: item for item in recalled}
    for item in recall["found"]:
        if "rendered" not in item:
            said = outcomes.get(item["id"], {})
            shown = bool(said.get("rendered"))
            item |= {"selected": shown, "rendered": shown, "reason": "" if shown else said.get("reason") or "left out"}


def _now(session: str, ids: Sequence[str]) -> tuple[dict[str, StoredConcept | None], str]:
    """(each concept as it is now, None where it cannot be read; why a memory could not be opened). A mounted memory's
    ids begin with its name."""
    from phronesis.core.errors import ConceptStoreError
    from phronesis.memory.session import Memory

    found: dict[str, StoredConcept | None] = dict.fromkeys(ids)
    problems = []
    for mount in dict.fromkeys(["", *(id.rpartition("/")[0] for id in ids)]):
        try:
            with Memory.open(mount or session, create=False, read_only=bool(mount)) as memory:
                for id in ids:
                    if id.rpartition("/")[0] != mount:
                        continue
                    try:
                        found[id] = memory.get(id.rpartition("/")[2])
                    except ConceptStoreError:
                        continue
        except ConceptStoreError as error:
            problems.append(error.message)
    return found, "; ".join(problems)


def _said_now(found: StoredConcept) -> dict[str, Any]:
    return {**found.model_dump(mode="json"), "trust": found.trust}


def _lines(data: Values) -> Iterator[str]:
    from phronesis.cli.plain import plain

    yield f"run {data['run']}, memory {plain(data['session'])} in mode {data['mode']}"
    if data["problem"]:
        yield f"what the concepts are now is not known: {plain(data['problem'])}"
    for item in data["tasks"]:
        yield f"\ntask {plain(item['task'])}"
        if item["skipped"]:
            yield f"  the memory was left out: {plain(item['skipped'])}"
        for recall in item["recalls"]:
            yield from (f"  {line}" for line in _recall_lines(recall, data["concepts"]))
        if item["accepted"] is not None:
            verdict = "accepted" if item["accepted"] else "not accepted"
            yield f"  the answer {plain(str(item.get('answer')), 60)} was {verdict} ({plain(item['reason'])})"
        for written in item["written"]:
            name = f" {written['id']}" if written.get("id") else ""
            yield f"  {written['outcome']}{name} ({plain(written['reason'])})  {plain(written.get('suggestion', ''), 90)}"
        if not item["finished"]:
            yield "  the task is not finished"


def _recall_lines(recall: Values, concepts: Values) -> Iterator[str]:
    from phronesis.cli.plain import plain

    place = f" for the retry {recall['at']}" if recall["at"] else ""
    yield f"looked for{place} ({recall['search']}, version {recall['version']}): {plain(str(recall['query'] or '-'), 160)}"
    if recall.get("degraded"):
        yield f"degraded: {plain(recall['degraded'])}"
    if not recall["found"]:
        yield "nothing was found"
    for item in recall["found"]:
        shown = "shown" if item.get("rendered") else f"not shown: {item.get('reason') or 'unknown'}"
        reason = f" (selected: {plain(item['text'], 80)})" if item.get("text") else ""
        mark = f" [{item['trust']}]" if item.get("trust") else ""
        yield f"  {item['id']}  {item['score']:.3f}{mark}  {shown}{reason}"
        now = concepts.get(item["id"])
        concept = item.get("concept") or (now or {}).get("concept")
        ways = _ways(item.get("ranks", {}), concept)
        if ways:
            yield f"      found by {ways}"
        if concept is not None:
            yield f"      {_text(concept)}"
        yield f"      {_became(item.get('concept'), now)}"


def _ways(ranks: Values, concept: Values | None) -> str:
    """``dense rank 2 (by "two pumps"), lexical rank 1``."""
    from phronesis.cli.plain import plain
    from phronesis.core.concept import Concept

    parts = [f"{side} rank {ranks[side]:g}" for side in ("dense", "lexical") if side in ranks]
    if "view" in ranks and concept is not None:
        views = Concept.model_validate(concept).views
        number = int(ranks["view"])
        parts.append(f'nearest by "{plain(views[number], 80)}"' if number < len(views) else f"nearest by view {number}")
    return ", ".join(parts)


def _text(concept: Values) -> str:
    from phronesis.cli.plain import plain

    when = f"when {concept['situation']}: " if concept.get("situation") else ""
    return plain(f"{when}{concept['suggestion']}", 200)


def _became(then: Values | None, now: Values | None) -> str:
    """The concept as it is now, and what speaks for and against it."""
    from phronesis.cli.plain import plain

    if now is None:
        return "now: not there"
    heir = f", superseded by {now['superseded_by']}" if now["superseded_by"] else ""
    proofs = "; ".join(
        f"{item['verdict']} by {plain(item['verifier'], 40)} in {plain(item['task'], 40)}"
        for item in now["evidence"][-3:]
    )
    changed = then is not None and _text(then) != _text(now["concept"])
    text = f", and says: {_text(now['concept'])}" if changed else ""
    counts = f"helped {now['helped']} and harmed {now['harmed']} of {now['recalled']} runs"
    return f"now: {now['status']}{heir}, {counts}{f'; evidence: {proofs}' if proofs else ''}{text}"
