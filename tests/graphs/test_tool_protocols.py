"""The way tools are called over a whole run: pinned at its start, resumed and replayed without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from agent_runs import TASK, Script, answer, as_native, look
from strategy_runs import Said, cut_everywhere, journal_of, recipe_of, resume, solve
from toy_tools import install

from phronesis.core.result import Result
from phronesis.graphs.replay import replay_sync
from phronesis.testing import FakeRequest, FakeServer

Tools = Literal["parse", "text"]


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)


def serving(tools: Tools) -> FakeServer:
    """A server whose agent looks a name up and answers."""
    script = Script([look("abc"), answer(3)])

    def reply(request: FakeRequest, index: int) -> Said:
        said = script(request, index)
        return as_native(said) if request.tools else said

    return FakeServer(reply, tools=tools)


def ran(server: FakeServer, **keys: Any) -> Result:
    return solve(recipe_of("react", server, tools__use=["lookup"], **keys))


def pinned(result: Result) -> list[Any]:
    return [event["value"] for event in journal_of(result) if event["key"] == "tool_calls#agent"]


@pytest.mark.parametrize("tools", ["parse", "text"])
def test_a_run_says_once_which_protocol_it_has_and_its_requests_show_it(tools: Tools) -> None:
    with serving(tools) as server:
        result = ran(server)
        assert result.answer == "3" and pinned(result) == [tools == "parse"]
        assert [bool(request.tools) for request in server.seen] == [tools == "parse"] * 2
        asked = [event["request"] for event in journal_of(result) if event["type"] == "call"]
        assert ["tools" in request for request in asked] == [tools == "parse"] * 2
        assert [request["reply_schema"] is None for request in asked] == [tools == "parse"] * 2


@pytest.mark.parametrize("tools", ["parse", "text"])
def test_a_run_is_cut_anywhere_and_resumed_in_its_protocol(tools: Tools) -> None:
    with serving(tools) as server:
        script = Script([look("abc"), answer(3)])

        def stateless(request: FakeRequest, index: int) -> Said:
            said = script.agent["abc is 3" in request.text]
            assert isinstance(said, str)
            return as_native(said) if request.tools else said

        server.reply = stateless
        cut_everywhere(recipe_of("react", server, tools__use=["lookup"]), server, TASK)


@pytest.mark.parametrize("tools", ["parse", "text"])
def test_with_the_server_gone_a_run_is_read_again_and_replayed(tools: Tools) -> None:
    with serving(tools) as server:
        result = ran(server)
    assert resume(result.run_id).comparable() == result.comparable()
    (again,) = replay_sync(result.run_id)
    assert (again.answer, pinned(again)) == ("3", [tools == "parse"])


def test_a_replay_under_another_protocol_lacks_replies_and_asks_nobody() -> None:
    with serving("parse") as server:
        native, prompted = ran(server), ran(server, protocol="prompted")
    for recorded, protocol in ((native, "prompted"), (prompted, "auto")):
        (again,) = replay_sync(recorded.run_id, overrides={"knobs.protocol": protocol})
        assert again.answer is None and {failure.error for failure in again.failures} == {"NotRecorded"}
