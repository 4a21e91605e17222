"""Effects: made once, handed out again, refused when the question has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from phronesis.core.effects import Effects, chunk_key, first_difference
from phronesis.core.errors import (
    BudgetExhausted,
    CapabilityMissing,
    Conflict,
    PhronesisError,
    RateLimited,
    ReplayDiverged,
    ToolError,
)
from phronesis.core.journal import FILE_NAME, Event, Journal, read_events


def session(folder: Path, work: Callable[[Effects], Awaitable[Any]], *, texts: bool = True) -> Any:
    """One session of a run: journal opened, work done, journal closed."""
    journal = Journal(folder, texts=texts)
    try:

        async def go() -> Any:
            return await work(Effects(journal, "t"))

        return asyncio.run(go())
    finally:
        journal.close()


def makes(value: Any, made: list[Any]) -> Callable[[], Awaitable[Any]]:
    async def do() -> Any:
        made.append(value)
        if isinstance(value, BaseException):
            raise value
        return value

    return do


def keys(folder: Path) -> list[tuple[str, str]]:
    return [(event.type, event.key) for event in read_events(folder / FILE_NAME)]


def test_a_value_is_made_once_and_replayed(tmp_path: Path) -> None:
    made: list[Any] = []
    request = {"b": 1, "a": ["x"]}
    value = {"text": "seven", "n": [1, 2.5, None]}
    for _ in range(3):
        assert session(tmp_path, lambda e: e.effect("k", request, makes(value, made))) == value
    assert made == [value]
    assert keys(tmp_path) == [("effect", "k")]


def test_it_is_journalled_before_anybody_sees_it(tmp_path: Path) -> None:
    async def work(effects: Effects) -> None:
        await effects.effect("k", {}, makes(1, []))
        assert keys(tmp_path) == [("effect", "k")]
        assert effects.has("k")

    session(tmp_path, work)


def test_the_order_of_a_requests_keys_does_not_matter(tmp_path: Path) -> None:
    session(tmp_path, lambda e: e.effect("k", {"a": 1, "b": 2}, makes(1, [])))
    assert session(tmp_path, lambda e: e.effect("k", {"b": 2, "a": 1}, makes(2, []))) == 1


def test_encode_and_decode_are_inverse_on_replay(tmp_path: Path) -> None:
    def go() -> Any:
        return session(
            tmp_path,
            lambda e: e.effect(
                "k", {}, makes({3, 1}, []), encode=sorted, decode=set, type="recall", note={"role": "r"}
            ),
        )

    assert go() == go() == {1, 3}
    (event,) = read_events(tmp_path / FILE_NAME)
    assert event.type == "recall" and event.data["role"] == "r"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RateLimited("slow down", retry_after=2.5, status=429), "failure"),
        (Conflict("somebody else", mend="try again"), "failure"),
        (ToolError("no such file"), "failure"),
        (BudgetExhausted("used up", limit="seconds"), "budget"),
    ],
)
def test_a_failure_is_replayed_as_the_same_type(tmp_path: Path, error: PhronesisError, kind: str) -> None:
    made: list[Any] = []
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            session(tmp_path, lambda e: e.effect("k", {"q": 1}, makes(error, made)))
        assert type(caught.value) is type(error)
        assert caught.value.to_json() == error.to_json()
    assert len(made) == 1
    assert keys(tmp_path) == [(kind, "k")]


@pytest.mark.parametrize("error", [CapabilityMissing("no logprobs"), KeyError("bug"), asyncio.CancelledError()])
def test_other_errors_leave_no_trace_and_are_tried_again(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        session(tmp_path, lambda e: e.effect("k", {}, makes(error, [])))
    assert keys(tmp_path) == []
    assert session(tmp_path, lambda e: e.effect("k", {}, makes(5, []))) == 5


def test_a_changed_request_diverges_and_pays_nothing(tmp_path: Path) -> None:
    made: list[Any] = []
    session(tmp_path, lambda e: e.effect("k", {"n": 1, "messages": [{"role": "user", "content": "two"}]}, makes(1, [])))
    with pytest.raises(ReplayDiverged) as caught:
        changed = {"n": 1, "messages": [{"role": "user", "content": "three"}]}
        session(tmp_path, lambda e: e.effect("k", changed, makes(2, made)))
    assert "'k'" in caught.value.message
    assert "request.messages[0].content was 'two' and is now 'three'" in caught.value.message
    assert made == [] and keys(tmp_path) == [("effect", "k")]


@pytest.mark.parametrize(
    ("recorded", "wanted", "named"),
    [
        ({"a": 1}, {"a": 2}, "request.a was 1 and is now 2"),
        ({"a": 1, "b": 1}, {"a": 1}, "request.b was 1 and is now None"),
        ({"a": [1, 2]}, {"a": [1, 3]}, "request.a[1] was 2 and is now 3"),
        ({"a": {"b": {"c": "x"}}}, {"a": {"b": {"c": None}}}, "request.a.b.c was 'x' and is now None"),
        ({"seed": 1, "text": "x"}, {"seed": 2, "text": "y"}, "request.seed was 1 and is now 2"),
    ],
)
def test_the_first_difference_is_named(recorded: Any, wanted: Any, named: str) -> None:
    assert first_difference(recorded, wanted) == named


def test_a_difference_far_into_a_long_text_is_shown() -> None:
    same = "A long prompt that both of them begin with. " * 20
    named = first_difference({"content": same + "seven"}, {"content": same + "eight"})
    assert "seven" in named and "eight" in named
    assert len(named) < 400


def test_a_further_turn_is_named() -> None:
    turn = {"role": "user", "content": "A question that is longer than sixty characters, as most of them are."}
    named = first_difference({"messages": [turn]}, {"messages": [turn, {"role": "user", "content": "more"}]})
    assert "request.messages[1]" in named and "more" in named


def test_a_key_may_be_used_once(tmp_path: Path) -> None:
    async def work(effects: Effects) -> None:
        await effects.effect("k", {}, makes(1, []))
        with pytest.raises(AssertionError, match="share the key"):
            await effects.effect("k", {}, makes(2, []))

    session(tmp_path, work)


def test_impure_work_announces_itself_and_runs_once(tmp_path: Path) -> None:
    made: list[Any] = []
    for _ in range(2):
        assert session(tmp_path, lambda e: e.effect("k", {"to": "x"}, makes("sent", made), impure=True)) == "sent"
    assert made == ["sent"]
    assert keys(tmp_path) == [("intent", "k"), ("effect", "k")]


def test_impure_work_without_a_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        session(tmp_path, lambda e: e.effect("k", {}, makes(KeyError("stopped"), []), impure=True))
    made: list[Any] = []
    for _ in range(2):
        with pytest.raises(ToolError, match="outcome is unknown"):
            session(tmp_path, lambda e: e.effect("k", {}, makes("again", made), impure=True))
    assert made == [] and keys(tmp_path) == [("intent", "k")]


def test_an_impure_failure_is_an_outcome(tmp_path: Path) -> None:
    made: list[Any] = []
    for _ in range(2):
        with pytest.raises(ToolError, match="refused by the tool"):
            session(tmp_path, lambda e: e.effect("k", {}, makes(ToolError("refused by the tool"), made), impure=True))
    assert len(made) == 1


def test_effects_of_another_task_are_not_mine(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(Event("effect", "other", "k", {"hash": "x", "request": {}, "value": 9}))
    journal.close()
    assert session(tmp_path, lambda e: e.effect("k", {}, makes(1, []))) == 1


def test_without_texts_nothing_can_be_replayed_and_no_text_is_written(tmp_path: Path) -> None:
    session(tmp_path, lambda e: e.effect("k", {"content": "CANARY1"}, makes("CANARY2", [])), texts=False)
    assert "CANARY" not in (tmp_path / FILE_NAME).read_text()
    with pytest.raises(ReplayDiverged, match="without texts"):
        session(tmp_path, lambda e: e.effect("k", {"content": "CANARY1"}, makes("again", [])))


def test_active_seconds_go_on_from_the_last_session(tmp_path: Path) -> None:
    async def first(effects: Effects) -> None:
        effects.watch(lambda: 12.5)
        await effects.effect("k", {}, makes(1, []))
        effects.watch(lambda: 4.0)
        effects.note("decision", "d", {})

    session(tmp_path, first)

    async def second(effects: Effects) -> float:
        return effects.seconds_before

    assert session(tmp_path, second) == 12.5


def test_denials_are_recorded_and_revived(tmp_path: Path) -> None:
    async def first(effects: Effects) -> None:
        effects.record_error("k!", BudgetExhausted("used up", limit="tokens"))

    async def second(effects: Effects) -> PhronesisError:
        assert effects.has("k!")
        return effects.recorded_error("k!")

    session(tmp_path, first)
    assert keys(tmp_path) == [("budget", "k!")]
    revived = session(tmp_path, second)
    assert type(revived) is BudgetExhausted and revived.details == {"limit": "tokens"}


def test_spans_list_the_chunks_of_one_call(tmp_path: Path) -> None:
    async def first(effects: Effects) -> None:
        for base, first_, count in (("p#solver.0", 2, 2), ("p#solver.0", 0, 2), ("p#solver.0.again", 0, 1)):
            note = {"first": first_, "count": count}
            await effects.effect(chunk_key(base, first_, count), {}, makes(1, []), type="call", note=note)

    async def second(effects: Effects) -> list[tuple[int, int]]:
        return effects.spans("p#solver.0")

    session(tmp_path, first)
    assert session(tmp_path, second) == [(0, 2), (2, 2)]
