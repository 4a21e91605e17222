"""Questions over paragraphs and conversations: HotpotQA, 2WikiMultihopQA, MuSiQue, NQ, Bamboogle, LongMemEval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from phronesis.bench.dataset import Example
from phronesis.bench.sets.adapter import Adapter, Fields, Prepare, Source, example, items, text
from phronesis.bench.sets.files import read_rows
from phronesis.bench.sets.row import Row
from phronesis.core.errors import ConfigurationError

_CORPUS = "corpus.jsonl"


class Reading(BaseModel):
    """Options of the sets that come with paragraphs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paragraphs: Literal["given", "gold", "none"] = "given"
    """Put before the question: those the set gives with it, distractors among them; the gold ones only; or none, for recipes
    that retrieve and for closed books."""


class OpenReading(BaseModel):
    """Options of Natural Questions, which gives gold paragraphs only, and those for half of its rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paragraphs: Literal["gold", "none"] = "none"
    """Whether the gold paragraph is put before the question."""


def multihop(group: str) -> Prepare:
    """Questions over paragraphs of a corpus file, grouped by a field. Questions that share a gold paragraph are one
    cluster."""

    def prepare(source: Source, options: Reading) -> Adapter:
        corpus = _corpus(source) if options.paragraphs != "none" else {}
        clusters = sharing([(row.fields.get("id"), row.fields.get("gold_pids") or ()) for row in source.rows])

        def adapt(fields: Fields) -> Example:
            wanted = {"given": "context_pids", "gold": "gold_pids"}.get(options.paragraphs)
            shown = [_paragraph(corpus, str(pid)) for pid in items(fields, wanted)] if wanted else []
            return _asked(
                fields,
                [text(fields, "answer"), *(fields.get("answer_aliases") or ())],
                gold_pids=items(fields, "gold_pids"),
                group=fields.get(group),
                cluster=clusters.get(fields.get("id"), ""),
                context="\n\n".join(shown),
            )

        return adapt

    return prepare


def nq_open(source: Source, options: OpenReading) -> Adapter:
    """Any of the answers is right."""

    def adapt(fields: Fields) -> Example:
        answers = [str(answer) for answer in items(fields, "answers")]
        context = str(fields.get("context") or "") if options.paragraphs == "gold" else ""
        return _asked(fields, answers, context=context)

    return adapt


def bamboogle(fields: Fields) -> Example:
    """Closed book: the set has no paragraphs."""
    return _asked(fields, [text(fields, "answer")])


def _asked(
    fields: Fields,
    answers: Sequence[str],
    *,
    gold_pids: Sequence[Any] = (),
    group: Any = "",
    cluster: str = "",
    context: str = "",
) -> Example:
    question = f"{text(fields, 'question').strip()}\n\nAnswer with a name, a date, a number or a few words."
    facts = {"aliases": list(dict.fromkeys(answers)), "gold_pids": list(gold_pids)}
    return example(
        fields,
        question,
        answers[0],
        format="text",
        grader="qa",
        facts=facts,
        group=group,
        cluster=cluster,
        context=context,
    )


def _corpus(source: Source) -> dict[str, str]:
    if source.folder is None or not (source.folder / _CORPUS).is_file():
        raise ConfigurationError(
            f"the paragraphs are missing: no {_CORPUS} in {str(source.folder)!r}",
            mend=f"put {_CORPUS} (pid, title, text) beside the rows, or ask with paragraphs=none",
        )
    return {str(row.fields.get("pid")): _shown(row) for row in read_rows(source.folder / _CORPUS)}


def _shown(row: Row) -> str:
    return f"{row.fields.get('title', '')}: {row.fields.get('text', '')}"


def _paragraph(corpus: Mapping[str, str], pid: str) -> str:
    if pid not in corpus:
        raise ValueError(f"the paragraph {pid!r} is not in {_CORPUS}")
    return corpus[pid]


def sharing(rows: Sequence[tuple[Any, Sequence[Any]]]) -> dict[Any, str]:
    """Id -> its cluster: rows that share something, straight or through others, have the name of the first thing seen;
    rows that share nothing have none. ``rows``: (id, what it uses)."""
    leader: dict[Any, Any] = {}

    def top(thing: Any) -> Any:
        while leader[thing] != thing:
            leader[thing] = thing = leader[leader[thing]]
        return thing

    for _, used in rows:
        for thing in used:
            leader.setdefault(thing, thing)
            leader[top(thing)] = top(used[0])
    tops = {name: top(used[0]) for name, used in rows if used}
    sizes = list(tops.values())
    return {name: str(found) for name, found in tops.items() if sizes.count(found) > 1}


def longmemeval(fields: Fields) -> Example:
    """The evidence sessions are the context; a judge compares with the gold answer. Grouped by question type."""
    kind = text(fields, "question_type")
    shown = "\n\n".join(_session(session) for session in items(fields, "sessions"))
    asked = f" (asked on {fields['question_date']})" if fields.get("question_date") else ""
    question = (
        f"Above are my earlier conversations with you. Answer my question from them{asked}; where they do not hold the "
        f"answer, say so.\n\n{text(fields, 'question')}"
    )
    gold = text(fields, "answer")
    return example(
        fields, question, gold, format="text", grader="judge", facts={"kind": kind}, group=kind, context=shown
    )


def _session(session: Mapping[str, Any]) -> str:
    lines = [f"{turn['role']}: {turn['content']}" for turn in session["turns"]]
    return "\n".join([f"Conversation of {session.get('date') or 'an unknown day'}", *lines])
