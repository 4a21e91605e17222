"""False-positive audit of a bench: right answers are drawn, and auditors say whether what led to them is sound.

Verdicts are appended to ``audit.jsonl`` in the bench's folder. The same question about the same text is never asked the same
auditor twice, so that a stopped audit goes on and a larger sample pays only for what is new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from phronesis.agents.auditor import audit_request, read_verdict
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.item import Item
from phronesis.bench.running.plan import Cell
from phronesis.core.chat import request_hash
from phronesis.core.errors import ConfigurationError, ModelError, PhronesisError
from phronesis.core.events import FILE_NAME as JOURNAL
from phronesis.core.events import EventIndex
from phronesis.core.lines import append_line, whole_lines
from phronesis.core.ports import ChatEndpoint
from phronesis.core.result import Result
from phronesis.core.seeds import generator
from phronesis.core.side_by_side import side_by_side
from phronesis.core.task import Task

FILE_NAME = "audit.jsonl"
REPLY = 4000
"""Characters of an auditor's reply that are kept, from its end."""


def item_id(item: Item) -> str:
    """Names an item in a bench: ``arm@set#repeat/task``."""
    return f"{Cell(item.arm, item.set, item.repeat).key}/{item.task}"


@dataclass(frozen=True, slots=True)
class Audited:
    """A right answer and the text that led to it."""

    item: Item
    task: Task
    text: str

    @property
    def id(self) -> str:
        return item_id(self.item)

    @property
    def request(self) -> str:
        """Hash of what an auditor is asked about it."""
        return request_hash(audit_request(self.task, self.text).to_json())


Asked = tuple[str, str]
"""(auditor, hash of the request): two items with the same question and text share a verdict."""


class Verdict(BaseModel):
    """A line of ``audit.jsonl``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """The item it was first asked about."""
    auditor: str
    """The model's name."""
    request: str
    sound: bool | None
    """None = the reply holds no verdict."""
    reply: str = ""


def draw(items: Sequence[Item], samples: int, *, seed: int = 0) -> list[Item]:
    """At most so many of the items graded right, cells of one arm and set taking turns.

    Within a cell's items every group (level, kind) comes in proportion to its size. The first n of a longer draw are the
    shorter draw. Failed and ungraded items are none."""
    by_arm: dict[tuple[str, str], dict[str, list[Item]]] = {}
    for item in items:
        if item.status == "ok" and item.correct:
            by_arm.setdefault((item.arm, item.set), {}).setdefault(item.group, []).append(item)
    queues = [_by_share(groups, seed, cell) for cell, groups in by_arm.items()]
    turns = chain.from_iterable(zip_longest(*queues))
    return [item for item in turns if item is not None][:samples]


def _by_share(groups: Mapping[str, Sequence[Item]], seed: int, cell: tuple[str, str]) -> list[Item]:
    """Items in an order whose every beginning holds each group in proportion to its size, as far as whole items allow."""
    placed: list[tuple[float, str, Item]] = []
    for name, items in groups.items():
        rng = generator(seed, *cell, name)
        shuffled = sorted(items, key=item_id)
        rng.shuffle(shuffled)
        begin = rng.random()
        placed += [((rank + begin) / len(items), name, item) for rank, item in enumerate(shuffled)]
    return [item for _, _, item in sorted(placed, key=lambda entry: entry[:2])]


def with_texts(folder: BenchFolder, items: Sequence[Item]) -> tuple[list[Audited], list[Item]]:
    """(items with question and text, items whose journal has neither any more). Each journal is indexed once."""
    indexes: dict[str, EventIndex | None] = {}
    found, without = [], []
    for item in items:
        if item.run_id not in indexes:
            path = folder.runs / item.run_id / JOURNAL
            indexes[item.run_id] = EventIndex(path) if item.run_id and path.is_file() else None
        audited = _read(item, indexes[item.run_id])
        if audited is None:
            without.append(item)
        else:
            found.append(audited)
    return found, without


def _read(item: Item, index: EventIndex | None) -> Audited | None:
    if index is None:
        return None
    asked = next(index.of(item.task, "task_started"), None)
    ended = list(index.of(item.task, "task_finished"))
    if asked is None or not ended:
        return None
    result = Result.model_validate(ended[-1].data["result"])
    same = (candidate.text for candidate in result.candidates if candidate.answer == result.answer)
    text = result.answer_text.strip() or next((text for text in same if text.strip()), "")
    return Audited(item, Task.model_validate(asked.data["asked"]), text) if text else None


def verdicts(folder: Path) -> dict[Asked, Verdict]:
    """Every verdict in a bench's folder. Raises ConfigurationError naming a line that is none."""
    found = {}
    for number, line in enumerate(whole_lines(folder / FILE_NAME), start=1):
        try:
            item = Verdict.model_validate_json(line)
        except ValidationError as error:
            raise ConfigurationError(
                f"{folder / FILE_NAME}:{number} is no verdict: {error.errors()[0]['msg']}",
                mend="the file was changed by hand; delete the line, and the auditor is asked again",
            ) from None
        found[item.auditor, item.request] = item
    return found


def missing(chosen: Sequence[Audited], auditor: str, known: Mapping[Asked, Verdict]) -> list[Audited]:
    """Those that the auditor was not asked about yet; of items with the same question and text the first."""
    wanted = {item.request: item for item in reversed(chosen) if (auditor, item.request) not in known}
    return list(reversed(wanted.values()))


async def ask(
    folder: Path,
    wanted: Sequence[Audited],
    auditor: str,
    endpoint: ChatEndpoint,
    *,
    parallel: int,
    hear: Callable[[], None] = lambda: None,
) -> list[ModelError]:
    """Asks one auditor, 1 call each, and writes every verdict as it comes; the calls that failed, which a next audit makes
    again. SetupError and JournalUnwritable end it: nothing more is asked."""
    room, failed, broken = asyncio.Semaphore(parallel), list[ModelError](), False

    async def one(item: Audited) -> None:
        nonlocal broken
        async with room:
            if broken:
                return
            try:
                batch = await endpoint.complete(audit_request(item.task, item.text), 1)
                reply = batch.completions[0].text
                verdict = Verdict(
                    id=item.id,
                    auditor=auditor,
                    request=item.request,
                    sound=read_verdict(reply),
                    reply=reply.strip()[-REPLY:],
                )
                append_line(folder / FILE_NAME, verdict.model_dump_json().encode(), sync=False)
            except ModelError as error:
                failed.append(error)
            except PhronesisError:
                broken = True
                raise
            hear()

    await side_by_side([one(item) for item in wanted])
    return failed


def read_labels(path: Path, audited: Mapping[str, str]) -> tuple[dict[str, bool], list[str]]:
    """(human verdicts by item id, names in the file that were not audited), of a JSON object: name -> whether the derivation
    is sound. audited: item id -> task. A bare task id is a name too where one item of that task was audited.

    Raises ConfigurationError for anything else."""
    form = 'write {"arm@set#0/task": true}'
    try:
        data = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read the labels {str(path)!r}: {error.strerror}", mend="check it") from None
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"{str(path)!r} is not JSON: {error}", mend=form) from None
    if not isinstance(data, dict):
        raise ConfigurationError(f"{str(path)!r} is no JSON object", mend=form)
    found, unknown = dict[str, bool](), list[str]()
    for name, sound in data.items():
        if not isinstance(sound, bool):
            raise ConfigurationError(
                f"{str(path)!r}: the label of {name!r} is {sound!r}", mend="write true for sound, false for flawed"
            )
        meant = [name] if name in audited else [id for id, task in audited.items() if task == name]
        if len(meant) > 1:
            raise ConfigurationError(
                f"{str(path)!r}: the task {name!r} was audited {len(meant)} times", mend=f"write {meant[0]!r}"
            )
        found.update(dict.fromkeys(meant, sound))
        unknown += [] if meant else [name]
    return found, unknown
