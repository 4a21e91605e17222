"""Another model at the address of a run: it is named, and replies of two models are never mixed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import phronesis
from phronesis.agents.client.endpoint import Endpoint
from phronesis.cli.main import main
from phronesis.core.chat import ChatRequest, as_messages
from phronesis.core.errors import CapabilityMissing, ModelChanged, PhronesisError, ReplayDiverged
from phronesis.core.http import close_pools
from phronesis.core.journal import FILE_NAME, read_events
from phronesis.core.result import Result
from phronesis.core.settings import load_settings
from phronesis.core.task import Task
from phronesis.graphs.run import Run
from phronesis.testing import FakeRequest, FakeServer, Fault

TASK = Task(messages="What is 7 + 5?", id="sum")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def say(request: FakeRequest, index: int) -> str:
    return " 7 + 5 = 12.\nStep 2: \\boxed{12}"


@contextmanager
def half_run(monkeypatch: pytest.MonkeyPatch, recipe: str, port: int, **overrides: object) -> Iterator[str]:
    """The id of a run that was stopped after its first call, with the address it was asked at still configured."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
    loaded = phronesis.Recipe.load(recipe, overrides=overrides)

    async def work() -> str:
        try:
            async with await Run.start(loaded) as run:
                await run.solve(TASK)
            return run.id
        finally:
            await close_pools()

    with FakeServer(say, model="first", max_n=1, port=port):
        run_id = asyncio.run(work())
    journal = load_settings().runs / run_id / FILE_NAME
    lines = journal.read_bytes().splitlines(keepends=True)
    first_call = next(number for number, line in enumerate(lines) if b'"type":"call"' in line)
    journal.write_bytes(b"".join(lines[: first_call + 1]))
    yield run_id


def resume(run_id: str) -> Result:
    async def work() -> Result:
        try:
            async with await Run.resume(run_id) as run:
                return await run.solve(run.tasks[0])
        finally:
            await close_pools()

    return asyncio.run(work())


def calls_of(run_id: str) -> int:
    return sum(event.type == "call" for event in read_events(load_settings().runs / run_id / FILE_NAME))


def test_a_resume_that_finds_another_model_pays_nothing_and_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with half_run(monkeypatch, "self_consistency", port, **{"knobs.k": 4}) as run_id:
        with FakeServer(say, model="second", max_n=1, port=port) as server:
            with pytest.raises(ModelChanged, match=r"'first'.*'second'") as caught:
                resume(run_id)
            assert server.requests == 0 and calls_of(run_id) == 1
            assert caught.value.exit_code == 3 and "resume" in str(caught.value.mend)
        with FakeServer(say, model="first", max_n=1, port=port) as server:
            assert resume(run_id).answer == "12"
            assert server.calls == 3


def test_another_model_in_the_settings_does_not_replace_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with half_run(monkeypatch, "self_consistency", port, **{"knobs.k": 4}) as run_id:
        monkeypatch.setenv("PHRONESIS_MODEL", "second")
        with FakeServer(say, model="first", max_n=1, port=port) as server:
            assert resume(run_id).answer == "12"
            assert {request.body["model"] for request in server.seen} == {"first"}


def test_the_command_says_so_and_exits_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    with half_run(monkeypatch, "self_consistency", port, **{"knobs.k": 4}) as run_id:
        monkeypatch.setattr("sys.argv", ["phronesis", "runs", "resume", run_id, "--json"])
        with FakeServer(say, model="second", port=port), pytest.raises(SystemExit) as ended:
            main()
    said = capsys.readouterr()
    assert ended.value.code == 3 and said.out == ""
    assert "'first'" in said.err and "'second'" in said.err and "Traceback" not in said.err


@pytest.mark.parametrize(
    ("recipe", "overrides", "switches"),
    [
        ("magicore", {"knobs.k": 2}, {"logprobs": False}),
        ("magicore", {"knobs.k": 2}, {"prefill": "no"}),
    ],
)
def test_the_same_name_with_fewer_capabilities_is_named_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, recipe: str, overrides: dict[str, object], switches: dict[str, object]
) -> None:
    port = free_port()
    with (
        half_run(monkeypatch, recipe, port, **overrides) as run_id,
        FakeServer(say, model="first", max_n=1, port=port, **switches) as server,  # type: ignore[arg-type]  # its own
    ):
        with pytest.raises(CapabilityMissing, match=next(iter(switches))):
            resume(run_id)
        assert server.requests == 0 and calls_of(run_id) == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_a_model_swapped_under_a_running_client_is_noticed(streamed: bool) -> None:
    """As llama.cpp does it: the name in the request is not looked at, the reply carries the server's own."""

    class Silent:
        def begin(self) -> bool:
            return True

        def restart(self) -> None: ...
        def piece(self, text: str, *, thinking: bool) -> None: ...
        def end(self) -> None: ...

    request = ChatRequest(messages=as_messages([("user", "How many?")]))

    async def work(server: FakeServer) -> None:
        try:
            endpoint = Endpoint(base_url=server.url)
            await endpoint.complete(request, 1)
            server.model = "second"
            with pytest.raises(ModelChanged, match="'second', and as 'first' before"):
                await (endpoint.complete_streamed(request, Silent()) if streamed else endpoint.complete(request, 1))
            server.model = "first"
            await endpoint.complete(request, 1)
        finally:
            await close_pools()

    with FakeServer(say, model="first") as server:
        asyncio.run(work(server))
        assert server.calls == 3, "it is not tried again"


def test_a_swap_in_the_middle_of_a_run_stops_it_and_it_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def listen(request: FakeRequest, number: int) -> Fault | None:
        server.model = "second" if number == 2 else "first"
        names.append(server.model)
        return None

    async def work() -> str:
        recipe = phronesis.Recipe.load("self_refine", overrides={"knobs.rounds": 3})
        run = await Run.start(recipe)
        try:
            async with run:
                await run.solve(TASK)
        except ModelChanged:
            return run.id
        finally:
            await close_pools()
        raise AssertionError("nobody noticed")

    with FakeServer(say, model="first", faults=listen) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        run_id = asyncio.run(work())
        assert names == ["first", "first", "second"] and calls_of(run_id) == 2
        server.model = "first"
        assert resume(run_id).status == "ok"


def test_a_new_run_in_the_same_process_asks_the_server_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(server: FakeServer) -> list[str]:
        recipe, found = phronesis.Recipe.load("direct"), []
        try:
            for model in ("first", "second", "second"):
                server.model = model
                try:
                    found.append((await recipe.arun(TASK)).status)
                except PhronesisError as error:
                    found.append(type(error).__name__)
        finally:
            await close_pools()
        return found

    with FakeServer(say, model="first") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert asyncio.run(work(server)) == ["ok", "ModelChanged", "ok"]


def test_a_changed_question_diverges_before_missing_samples_are_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with half_run(monkeypatch, "self_consistency", port, **{"knobs.k": 4}) as run_id:
        journal = load_settings().runs / run_id / FILE_NAME
        journal.write_bytes(
            journal.read_bytes().replace(b'"content":"What is 7 + 5?"', b'"content":"What is 7 + 6?"', 1)
        )
        with FakeServer(say, model="first", max_n=1, port=port) as server:
            with pytest.raises(ReplayDiverged, match=r"7 \+ 5.*7 \+ 6"):
                resume(run_id)
            assert server.requests == 0
