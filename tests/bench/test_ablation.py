"""The memory ablation: what each arm must come out as, task by task; whose memories it touches; and how it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from memory_streams import (
    P0,
    POISON,
    Solver,
    ablation,
    code,
    lesson,
    plan_of,
    puzzles,
    right_in_write,
    situation,
)

from phronesis.bench.ablation.markdown import markdown
from phronesis.bench.ablation.memories import inside
from phronesis.bench.ablation.plan import Place, begin, learned
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.item import Item
from phronesis.core.concept import Concept
from phronesis.core.errors import ConceptStoreError, ConfigurationError
from phronesis.core.http import close_pools
from phronesis.core.settings import load_settings
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run
from phronesis.memory.session import Memory, names
from phronesis.testing import FakeServer

STREAM = puzzles()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(Solver(STREAM)) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


def items_of(path: Path) -> dict[str, dict[str, Item]]:
    """Arm -> task -> item."""
    found: dict[str, dict[str, Item]] = {}
    for item in BenchFolder(path).items():
        found.setdefault(item.arm, {})[item.task] = item
    return found


def test_every_arm_is_what_the_closed_form_says(server: FakeServer, tmp_path: Path) -> None:
    plan = plan_of(STREAM, orders=2)
    found = ablation(tmp_path / "b", STREAM, plan)
    arms = items_of(tmp_path / "b")
    luck = {f"t{item.n}": item.guessed for item in STREAM}
    assert {task: item.correct for task, item in arms["off"].items()} == luck
    for place in (Place(0, 0), Place(1, 0)):
        order = plan.order(place.order)
        written, later = right_in_write(STREAM, order[: plan.learn]), order[plan.learn :]
        assert {task: item.correct for task, item in arms[f"write-{place.name}"].items()} == written
        by_id = {f"t{item.n}": item for item in STREAM}
        known = {by_id[task].family for task in order[: plan.learn] if by_id[task].guessed}
        frozen = {task: by_id[task].family in known or luck[task] for task in later}
        assert {task: item.correct for task, item in arms[f"frozen-{place.name}"].items()} == frozen
        for control in ("shuffled", "placebo"):
            mine = arms[f"{control}-{place.name}"]
            assert {task: item.correct for task, item in mine.items()} == {task: luck[task] for task in later}
            same = {task: item.recalled for task, item in arms[f"frozen-{place.name}"].items()}
            assert {task: item.recalled for task, item in mine.items()} == same, "retrieval stays as it is"
    gain, placebo, shuffled = found.arm("frozen"), found.arm("placebo"), found.arm("shuffled")
    assert gain is not None and placebo is not None and shuffled is not None
    assert gain.difference.value > 0.2 and gain.harm_rate.value == 0
    assert placebo.difference.value == shuffled.difference.value == 0
    assert placebo.same_retrieval == shuffled.same_retrieval == 1
    assert gain.precision.value > 0.8 and shuffled.precision.value < 0.2
    assert found.alarm is not None and not found.alarm.harmful and not found.harmful and not found.missing


def test_equal_prompts_share_their_replies(server: FakeServer, tmp_path: Path) -> None:
    found = ablation(tmp_path / "b", STREAM, plan_of(STREAM, orders=1))
    arms = items_of(tmp_path / "b")
    for name, items in arms.items():
        if name != "off":
            for item in items.values():
                solving = [call for call in item.calls if call.role == "solver"]
                assert all(call.served is not bool(item.recalled) for call in solving), name
    paid = sum(item.paid_calls for items in arms.values() for item in items.values())
    assert server.calls == paid
    assert all(item.difference_unshown.value in (0, pytest.approx(float("nan"), nan_ok=True)) for item in found.arms)


def test_a_fresh_one_and_again_share_nothing(server: FakeServer, tmp_path: Path) -> None:
    found = ablation(tmp_path / "b", STREAM, plan_of(STREAM, arms=("off", "again", "write"), orders=1, fresh=True))
    arms = items_of(tmp_path / "b")
    assert not any(call.served for items in arms.values() for item in items.values() for call in item.calls)
    assert len(arms["again"]) == len(STREAM)
    again, off = found.arm("again"), found.off_cost
    assert off is not None and off.paid_calls == off.calls and off.seconds > 0, "paid calls take time too"
    assert again is not None and again.difference.value == 0 and again.shown == 0
    seeds = {(request.text, request.body["seed"]) for request in server.seen}
    assert len(seeds) == len(server.seen), "again draws with seeds of its own"


def test_orders_and_repeats_have_memories_of_their_own_and_the_users_are_untouched(
    server: FakeServer, tmp_path: Path
) -> None:
    settings = load_settings()
    with Memory.open("mine", settings=settings) as memory:
        memory.add([Concept(situation="nothing of the stream", suggestion="rest")])
    path = settings.memory / "mine" / "ledger.sqlite3"
    before = path.read_bytes()
    ablation(tmp_path / "b", STREAM, plan_of(STREAM, orders=2, repeats=2, session="mine", arms=("off", "write")))
    assert names(settings) == ["mine"] and path.read_bytes() == before
    bench = inside(settings, tmp_path / "b")
    assert names(bench) == ["begun-with", "write-1", "write-1.2", "write-2", "write-2.2"]
    for name in names(bench)[1:]:
        with Memory.open(name, settings=bench) as memory:
            assert memory.get("c1").concept.suggestion == "rest"
            assert len(memory.list()) > 1
    assert not (settings.home / "runs").exists()


def test_a_session_is_tested_without_learning(server: FakeServer, tmp_path: Path) -> None:
    with Memory.open("mine", settings=load_settings()) as memory:
        memory.add([lesson(family, code(family)) for family in range(6)])
    plan = plan_of(STREAM, arms=("off", "frozen", "placebo"), orders=1, learn=0, session="mine")
    found = ablation(tmp_path / "b", STREAM, plan)
    gain, placebo = found.arm("frozen"), found.arm("placebo")
    assert gain is not None and placebo is not None
    assert gain.accuracy.value == 1 and gain.readings == len(STREAM) and placebo.difference.value == 0
    assert gain.off == sum(item.guessed for item in STREAM) / len(STREAM) == pytest.approx(P0, abs=0.3)


def test_a_harmful_concept_is_accused_and_harmless_ones_are_not(server: FakeServer, tmp_path: Path) -> None:
    stream = puzzles(families=3, each=24)
    with FakeServer(Solver(stream)) as other, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", other.url)
        with Memory.open("mine", settings=load_settings()) as memory:
            bad = Concept(situation=situation(0), suggestion=f"apply the {POISON} procedure to the amounts")
            ids = memory.add([bad, lesson(1, code(1)), lesson(2, "useless")])
        plan = plan_of(stream, arms=("off", "frozen"), orders=1, learn=0, session="mine")
        found = ablation(tmp_path / "b", stream, plan)
    assert [item.id for item in found.harmful] == [ids[0]]
    by_id = {item.id: item.judgement for item in found.concepts}
    assert by_id[ids[0]].harmed == sum(item.guessed for item in stream if item.family == 0)
    assert by_id[ids[1]].helped > 0 == by_id[ids[1]].harmed and by_id[ids[2]].p == 1
    text = markdown(found)
    assert "ALARM: concept c1" in text and POISON in text


def test_a_harmful_memory_as_a_whole_is_said(server: FakeServer, tmp_path: Path) -> None:
    with Memory.open("mine", settings=load_settings()) as memory:
        memory.add([Concept(situation=situation(family), suggestion=f"{POISON} {family}") for family in range(6)])
    plan = plan_of(STREAM, arms=("off", "frozen"), orders=1, learn=0, session="mine")
    found = ablation(tmp_path / "b", STREAM, plan)
    assert found.alarm is not None and found.alarm.harmful
    assert "ALARM: the memory lowers success" in markdown(found)


class TestGoingOn:
    def test_a_finished_one_asks_for_nothing(self, server: FakeServer, tmp_path: Path) -> None:
        plan = plan_of(STREAM, orders=1)
        first = ablation(tmp_path / "b", STREAM, plan)
        calls = server.calls
        assert ablation(tmp_path / "b", STREAM, plan) == first and server.calls == calls

    def test_a_cut_in_the_middle_of_write_leaves_one_whole(self, server: FakeServer, tmp_path: Path) -> None:
        whole = ablation(tmp_path / "whole", STREAM, plan_of(STREAM, orders=1))
        calls = server.calls

        class Cut(BaseException):
            pass

        def hearing(name: str, plan: object, sets: object):  # type: ignore[no-untyped-def]  # a Hearing
            heard = []

            def hear(cell: object, item: Item) -> None:
                heard.append(item)
                if name.startswith("write") and len(heard) == 4:
                    raise Cut

            return hear

        plan = plan_of(STREAM, orders=1)
        with pytest.raises(Cut):
            ablation(tmp_path / "cut", STREAM, plan, hearing=hearing)
        path = tmp_path / "cut" / "items.jsonl"
        path.write_bytes(path.read_bytes()[:-30])
        again = ablation(tmp_path / "cut", STREAM, plan)
        assert server.calls <= 2 * calls + 3, "at most what was in flight is paid again"
        assert _facts(again) == _facts(whole)
        bench = inside(load_settings(), tmp_path / "cut")
        with Memory.open("write-1", settings=bench) as memory:
            kept = [item.concept.situation for item in memory.list()]
        assert len(kept) == len(set(kept))
        made = [name for item in BenchFolder(tmp_path / "cut").items() for name in item.written]
        assert len(made) == len(set(made)) == len(kept)

    def test_orders_and_arms_may_be_added(self, server: FakeServer, tmp_path: Path) -> None:
        ablation(tmp_path / "b", STREAM, plan_of(STREAM, orders=1, arms=("off", "write")))
        calls = server.calls
        found = ablation(tmp_path / "b", STREAM, plan_of(STREAM, orders=1))
        assert found.arm("placebo") is not None and found.arm("write") is not None
        whole = ablation(tmp_path / "b", STREAM, plan_of(STREAM, orders=2))
        assert server.calls > calls and whole.plan.orders == 2 and not whole.missing

    def test_another_split_is_refused(self, server: FakeServer, tmp_path: Path) -> None:
        ablation(tmp_path / "b", STREAM, plan_of(STREAM, orders=1, arms=("off", "write")))
        with pytest.raises(ConfigurationError, match="learn was 12 and is now 5"):
            begin(tmp_path / "b", plan_of(STREAM, orders=1, arms=("off", "write"), learn=5))
        with pytest.raises(ConfigurationError, match=r"another ablation: recipe\.memory\.k was 1 and is now 2"):
            begin(tmp_path / "b", plan_of(STREAM, orders=1, arms=("off", "write"), overrides={"memory.k": 2}))


class TestWhatCannotBe:
    def test_arms_that_lack_something_are_refused(self, tmp_path: Path) -> None:
        for keys, said in (
            ({"arms": ("write",)}, "'off', which is left out"),
            ({"learn": len(STREAM)}, "all 24 tasks are learned from"),
            ({"arms": ("off", "frozen")}, "nobody writes the memory"),
            ({"learn": 0}, "no task to learn from"),
        ):
            with pytest.raises(ConfigurationError, match=said):
                begin(tmp_path / "b", plan_of(STREAM, **keys))  # type: ignore[arg-type]  # each has its own type
        assert not (tmp_path / "b").exists()

    def test_a_session_that_is_not_there(self, server: FakeServer, tmp_path: Path) -> None:
        with pytest.raises(ConceptStoreError, match="there is no memory 'absent'"):
            ablation(tmp_path / "b", STREAM, plan_of(STREAM, session="absent", arms=("off", "write"), orders=1))

    def test_how_many_are_learned_from(self) -> None:
        assert [learned(count, split=0.5, warm=None) for count in (1, 2, 3, 10)] == [1, 1, 2, 5]
        assert learned(10, split=0.5, warm=7) == 7
        with pytest.raises(ConfigurationError, match="more than the 3 tasks"):
            learned(3, split=0.5, warm=4)


def _facts(found: object) -> object:
    """A report without what differs from run to run."""
    data = found.to_json()  # type: ignore[attr-defined]  # an AblationReport
    for arm in (*data["arms"], data):
        arm.pop("cost", None)
        arm.pop("off_cost", None)
    return data


def test_mounts_are_copied_and_only_read(server: FakeServer, tmp_path: Path) -> None:
    settings = load_settings()
    with Memory.open("shared", settings=settings) as memory:
        memory.add([lesson(family, code(family)) for family in range(6)])
    mounted = {"overrides": {"memory.mounts": ["shared"]}, "orders": 1}
    with pytest.raises(ConfigurationError, match="would still be shown what these say"):
        begin(tmp_path / "b", plan_of(STREAM, **mounted))  # type: ignore[arg-type]  # each has its own type
    found = ablation(tmp_path / "b", STREAM, plan_of(STREAM, arms=("off", "write", "frozen"), **mounted))  # type: ignore[arg-type]  # as above
    gain = found.arm("frozen")
    assert gain is not None and gain.accuracy.value == 1
    assert {item.concept.suggestion for item in found.concepts} >= {lesson(0, code(0)).suggestion}
    assert names(settings) == ["shared"]


def test_a_lender_serves_replies_and_nothing_else(server: FakeServer, tmp_path: Path) -> None:
    """What another arm recalled is never handed out: a memory is asked itself, by whoever borrows replies."""
    with Memory.open("mine", settings=load_settings()) as memory:
        memory.add([lesson(family, code(family)) for family in range(6)])
    path = tmp_path / "b"
    ablation(path, STREAM, plan_of(STREAM, arms=("off", "frozen", "placebo"), orders=1, learn=0, session="mine"))
    run_of = {item.arm: item.run_id for item in BenchFolder(path).items()}
    settings = inside(load_settings(), path)
    recipe = plan_of(STREAM).recipe
    recipe = {**recipe, "memory": {**recipe["memory"], "mode": "frozen", "session": "placebo-1"}}

    async def borrow() -> tuple[str, ...]:
        async with await Run.start(
            Recipe.from_data(recipe, source="test"), settings=settings, draws_from=run_of["frozen-1"]
        ) as run:
            result = await run.solve(STREAM[0].example.task)
            await close_pools()
        assert result.memory is not None and not result.replayed_from
        return tuple(item.text for item in result.memory.recalled if item.rendered)

    (shown,) = asyncio.run(borrow())
    assert code(0) not in shown, "the text is the placebo's, although the lender's recall had the same request"
