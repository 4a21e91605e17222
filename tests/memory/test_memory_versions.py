"""Snapshots, differences, going back and branches, against a plain dictionary; kills while a branch is made."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from phronesis.core.concept import Concept, Evidence
from phronesis.core.errors import ConfigurationError
from phronesis.core.settings import Settings, load_settings
from phronesis.memory.session import Memory, names

PUMPS = Concept(situation="two pumps fill a tank together", suggestion="add the rates, not the times")
DISCOUNT = Concept(
    situation="a discount on a price", suggestion="multiply by one minus the rate", cues=("percent off",)
)
TRAIN = Concept(situation="a train overtakes a car", suggestion="subtract the speeds")


@pytest.fixture
def memory(settings: Settings) -> Iterator[Memory]:
    with Memory.open("s", settings=settings) as opened:
        yield opened


def said(memory: Memory, version: int | None = None) -> dict[str, tuple[Concept, str]]:
    return {item.id: (item.concept, item.status) for item in memory.list(version=version)}


def test_a_snapshot_names_a_version_once(memory: Memory) -> None:
    memory.add([PUMPS])
    first = memory.snapshot("before-physics", note="as sent to Ada")
    assert (first.version, first.note) == (1, "as sent to Ada")
    assert memory.snapshot("before-physics") == first
    memory.add([TRAIN])
    with pytest.raises(ConfigurationError, match=r"'before-physics' of memory 's' is version 1, not 2"):
        memory.snapshot("before-physics")
    memory.snapshot("all")
    assert [item.name for item in memory.snapshots()] == ["before-physics", "all"]
    assert [memory.resolve(ref) for ref in ("before-physics", "all", "1", 0)] == [1, 2, 1, 0]
    assert memory.version() == 2, "a name is no change"
    memory.drop_snapshot("before-physics")
    assert memory.snapshot("before-physics").version == 2


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "..", "12", "x" * 65, "a\n"])
def test_names_that_a_snapshot_may_not_have(memory: Memory, name: str) -> None:
    with pytest.raises(ConfigurationError, match="snapshot name"):
        memory.snapshot(name)


def test_unknown_versions_and_snapshots_are_named(memory: Memory) -> None:
    memory.snapshot("start")
    for ref in (1, "7", -1, "-1"):
        with pytest.raises(ConfigurationError, match=f"no version {ref}"):
            memory.resolve(ref)
    with pytest.raises(ConfigurationError, match="no snapshot 'strat'") as caught:
        memory.diff("strat", 0)
    assert caught.value.mend == "did you mean 'start'?"
    with pytest.raises(ConfigurationError, match="no snapshot 'x'"):
        memory.drop_snapshot("x")


def test_a_difference_says_what_became_of_each_concept(memory: Memory) -> None:
    memory.add([PUMPS, DISCOUNT])
    memory.write([TRAIN], operation="run")
    before = memory.version()
    memory.forget(["c1"], reason="wrong")
    better = DISCOUNT.model_copy(update={"suggestion": "multiply by the rest", "avoid": ("a surcharge",)})
    memory.update("c2", better, reason="corrected")
    for use in ("u1", "u2"):
        memory.record_use(["c3"], accepted=True, operation=use)
    memory.add([Concept(suggestion="draw it")])
    found = memory.diff(before, memory.version())
    assert [item.id for item in found.removed] == ["c1"]
    assert [item.id for item in found.added] == ["c4"]
    assert [(item.id, item.fields) for item in found.changed] == [("c2", ("suggestion", "avoid"))]
    assert (found.changed[0].before, found.changed[0].after) == (DISCOUNT, better)
    assert [(item.id, item.before, item.after) for item in found.statuses] == [("c3", "probation", "active")]
    back = memory.diff(memory.version(), before)
    assert ([item.id for item in back.added], [item.id for item in back.removed]) == (["c1"], ["c4"])
    assert memory.diff(before, before).empty


def test_going_back_is_a_change_of_its_own_and_search_follows(memory: Memory) -> None:
    memory.add([PUMPS, DISCOUNT])
    memory.snapshot("good")
    memory.forget(["c1"], reason="wrong")
    memory.update("c2", Concept(situation="something else", suggestion="nonsense"), reason="corrected")
    memory.add([TRAIN])
    wrong = memory.version()
    planned = memory.restore("good", dry_run=True)
    assert memory.version() == wrong
    done = memory.restore("good", operation="op")
    assert [item.id for item in done.added] == [item.id for item in planned.added] == ["c1"]
    assert (done.changed, done.statuses) == (planned.changed, planned.statuses)
    assert (planned.after, done.before, done.after) == (2, wrong, memory.version())
    assert memory.diff("good", memory.version()).empty
    assert said(memory) == said(memory, 2) == {"c1": (PUMPS, "active"), "c2": (DISCOUNT, "active")}
    assert memory.search(PUMPS.situation, k=1)[0].score == pytest.approx(1.0)
    assert [hit.id for hit in memory.search("percent off", k=5)] == ["c2", "c1"]
    assert [hit.id for hit in memory.search("something else", k=1, version=wrong)] == ["c2"]
    assert memory.get("c3").status == "invalid"
    assert memory.history("c3")[-1].payload["reason"] == "restored to version 2"
    now = memory.version()
    assert memory.restore("good", operation="op") == done
    assert memory.restore("good").empty
    assert memory.version() == now, "nothing differs, so nothing is written"
    memory.restore(wrong)
    assert said(memory) == said(memory, wrong)


def test_vectors_are_those_of_the_earlier_text(settings: Settings) -> None:
    """Copied where they are; made where an earlier version never had any."""
    with Memory.open("s", settings=settings.model_copy(update={"embedder": "none"})) as memory:
        memory.add([PUMPS, DISCOUNT])
        memory.forget(["c1"], reason="wrong")
    with Memory.open("s", settings=settings) as memory:
        memory.restore(2)
        assert memory.stats().vectors == 1, "of the concept that came back; the other's come with the next search"
        assert memory.search("percent off", k=1)[0].score == pytest.approx(1.0)
        held = memory.stats().vectors
        memory.forget(["c2"], reason="wrong")
        memory.restore(2)
        assert memory.stats().vectors == held + 2
        assert memory.search("percent off", k=1)[0].score == pytest.approx(1.0)


def test_texts_that_were_swapped_go_back(memory: Memory) -> None:
    memory.add([PUMPS, DISCOUNT])
    memory.update("c1", TRAIN, reason="corrected")
    memory.update("c2", PUMPS, reason="corrected")
    memory.update("c1", DISCOUNT, reason="corrected")
    swapped = memory.version()
    memory.restore(2)
    assert said(memory) == said(memory, 2)
    assert memory.search("percent off", k=1)[0].id == "c2"
    memory.restore(swapped)
    assert said(memory) == said(memory, swapped)


def test_an_erased_concept_stays_erased_and_is_named(memory: Memory, settings: Settings, tmp_path: Path) -> None:
    memory.add([PUMPS, DISCOUNT])
    memory.update("c1", TRAIN, reason="corrected")
    memory.erase(["c1"])
    memory.forget(["c2"], reason="wrong")
    done = memory.restore(2)
    assert done.erased == memory.diff(2, memory.version()).erased == ("c1",)
    assert [item.id for item in done.added] == ["c2"]
    assert said(memory) == {"c2": (DISCOUNT, "active")}
    memory.branch("copy", at=2)
    memory.export(tmp_path / "a.jsonl", version=2, include_invalid=True)
    with Memory.open("copy", settings=settings) as copy:
        assert list(said(copy)) == ["c2"]
    assert "pumps" not in (tmp_path / "a.jsonl").read_text()


def test_what_was_restored_is_sound(memory: Memory, settings: Settings) -> None:
    memory.add([PUMPS, DISCOUNT])
    memory.forget(["c1"], reason="wrong")
    memory.update("c2", TRAIN, reason="corrected")
    memory.restore(2)
    memory.branch("copy", at=3)
    with Memory.open("copy", settings=settings) as copy:
        for checked in (memory, copy):
            assert checked.verify().problems == ()


def test_uses_and_evidence_stay(memory: Memory) -> None:
    proof = Evidence(run="r", task="t", verdict="accepted", verifier="agreement/1")
    memory.write([TRAIN], operation="run", evidence=proof)
    for use in ("u1", "u2"):
        memory.record_use(["c1"], accepted=True, operation=use)
    memory.restore(1)
    found = memory.get("c1")
    assert (found.status, found.helped, found.evidence) == ("probation", 2, (proof,))


TEXTS = st.sampled_from([Concept(situation=f"situation {n}", suggestion=f"do {n}") for n in range(5)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), TEXTS, st.just(0)),
        st.tuples(st.just("update"), TEXTS, st.integers(0, 9)),
        st.tuples(st.just("forget"), st.none(), st.integers(0, 9)),
        st.tuples(st.just("restore"), st.none(), st.integers(0, 30)),
    ),
    max_size=14,
)


@hypothesis_settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_any_sequence_agrees_with_a_dictionary(steps: list[tuple[str, Concept | None, int]]) -> None:
    """The model: after every step a dictionary from id to text."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings().model_copy(update={"home": Path(folder)})
        with Memory.open("s", settings=settings) as memory:
            states: list[tuple[int, dict[str, Concept]]] = [(0, {})]
            for verb, concept, number in steps:
                now = dict(states[-1][1])
                if verb == "add":
                    assert concept is not None
                    (id,) = memory.add([concept])
                    now[id] = concept
                elif verb == "restore":
                    version, state = states[number % len(states)]
                    memory.restore(version)
                    now = dict(state)
                elif now:
                    id = sorted(now)[number % len(now)]
                    if verb == "forget":
                        memory.forget([id], reason="wrong")
                        del now[id]
                    elif concept not in now.values():
                        assert concept is not None
                        memory.update(id, concept, reason="corrected")
                        now[id] = concept
                states.append((memory.version(), now))
                assert {id: text for id, (text, _) in said(memory).items()} == now
                for text in now.values():
                    assert memory.search(text.situation, k=1)[0].concept == text
            memory.branch("copy")
        with Memory.open("copy", settings=settings) as copy:
            assert {id: text for id, (text, _) in said(copy).items()} == states[-1][1]


def test_a_branch_is_the_memory_at_a_version_and_independent(memory: Memory, settings: Settings) -> None:
    memory.add([PUMPS, DISCOUNT])
    memory.snapshot("good")
    memory.forget(["c1"], reason="wrong")
    memory.add([TRAIN])
    memory.branch("experiment", at="good")
    memory.branch("now")
    with Memory.open("now", settings=settings) as now:
        assert said(now) == said(memory)
    with Memory.open("experiment", settings=settings, create=False) as other:
        assert said(other) == said(memory, 2)
        assert said(other, 2) == said(memory, 2), "history came along"
        assert other.search(PUMPS.situation, k=1)[0].score == pytest.approx(1.0)
        event = other.changes(limit=1)[0]
        assert (event.kind, event.id, event.payload) == ("branched", None, {"from": "s", "version": 2})
        version = memory.version()
        assert other.add([Concept(suggestion="only there")]) == ["c4"]
        assert memory.version() == version
    assert names(settings) == ["experiment", "now", "s"]


def test_a_branch_refuses_what_exists_and_what_is_no_name(memory: Memory, settings: Settings) -> None:
    memory.add([PUMPS])
    memory.branch("taken")
    for name in ("taken", "s"):
        with pytest.raises(ConfigurationError, match=f"a memory '{name}' already"):
            memory.branch(name)
    with pytest.raises(ConfigurationError, match=r"memory name '\.\./x'"):
        memory.branch("../x")
    with pytest.raises(ConfigurationError, match="no version 9"):
        memory.branch("other", at=9)
    assert names(settings) == ["s", "taken"]


BRANCH_FOREVER = """
import phronesis
with phronesis.Memory.open("s") as memory:
    for n in range(100000):
        print(n, flush=True)
        memory.branch(f"b{n}", at=20)
"""


def test_a_kill_leaves_no_half_branch(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as memory:
        memory.add([Concept(situation=f"situation {n}", suggestion=f"do {n}") for n in range(40)])
        expected = said(memory, 20)
        for kill in range(6):
            with subprocess.Popen([sys.executable, "-c", BRANCH_FOREVER], stdout=subprocess.PIPE, text=True) as child:
                assert child.stdout is not None
                child.stdout.readline()
                time.sleep(0.004 * kill)
                child.send_signal(signal.SIGKILL)
            for name in names(settings):
                if name != "s":
                    with Memory.open(name, settings=settings, create=False) as found:
                        assert said(found) == expected
                        assert found.changes(limit=1)[0].kind == "branched"
                    for path in sorted(found.folder.rglob("*"), reverse=True):
                        path.unlink()
                    found.folder.rmdir()
        memory.branch("after")
        assert list((settings.memory / ".unfinished").iterdir()) == [], "what the kills left is swept away"


def test_changes_of_the_whole_memory(memory: Memory) -> None:
    memory.add([PUMPS, DISCOUNT, TRAIN])
    memory.forget(["c2"], reason="wrong")
    assert [(event.version, event.kind, event.id) for event in memory.changes(limit=2)] == [
        (3, "created", "c3"),
        (4, "forgotten", "c2"),
    ]
    memory.snapshot("here")
    assert memory.changes(since="here") == []
    with pytest.raises(ConfigurationError, match="limit = 0"):
        memory.changes(limit=0)
