"""One Chroma server for all processes: the same results as exact search, whatever becomes of the server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from phronesis.core.concept import Concept
from phronesis.core.errors import ConfigurationError, IndexDamaged
from phronesis.core.settings import Settings, load_settings
from phronesis.memory.session import Memory

WORDS = ["pumps", "tank", "rate", "train", "speed", "price", "discount", "angle", "circle", "coins"]


class Server:
    """A ``chroma run`` on a port of its own, which it keeps over restarts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [str(Path(sys.executable).parent / "chroma"), "run", "--path", str(self.folder)]
        log = (self.folder.parent / "chroma.log").open("ab")
        with log:
            self.child = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(self.port)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}/api/v2/heartbeat", timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the Chroma server did not start")

    def stop(self) -> None:
        if self.child is not None:
            self.child.send_signal(signal.SIGCONT)
            self.child.kill()
            self.child.wait()
            self.child = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "chroma")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def shared(server: Server, settings: Settings) -> Settings:
    return settings.model_copy(update={"chroma_url": server.url})


def numbered(count: int, *, start: int = 0) -> list[Concept]:
    return [
        Concept(situation=f"{WORDS[n % 10]} {WORDS[n // 10 % 10]} case {n}", suggestion=f"do {n}")
        for n in range(start, start + count)
    ]


def found(memory: Memory) -> list[list[tuple[str, float]]]:
    return [[(hit.id, hit.score) for hit in memory.search(f"{word} case", k=6)] for word in WORDS]


def exactly(settings: Settings) -> list[list[tuple[str, float]]]:
    with Memory.open("s", settings=settings.model_copy(update={"chroma_url": None})) as plain:
        return found(plain)


DELETE = """
import chromadb, sys
(collection,) = chromadb.HttpClient(host="127.0.0.1", port=int(sys.argv[1])).list_collections()
collection.delete(ids=[str(n) for n in range(10, 40)])
"""


def delete_rows(server: Server) -> None:
    """In a process of its own, whose connections end with it."""
    subprocess.run([sys.executable, "-c", DELETE, str(server.port)], check=True)


def wait_for(memory: Memory, indexed: int) -> None:
    """Searches until the background has brought the index there."""
    deadline = time.monotonic() + 60
    while memory.stats().indexed < indexed and time.monotonic() < deadline:
        memory.search("pumps")
        time.sleep(0.02)
    assert (memory.stats().index, memory.stats().indexed) == ("ready", indexed)


def test_two_memories_use_one_index_at_once_and_find_what_exact_search_finds(shared: Settings) -> None:
    with Memory.open("s", settings=shared) as first, Memory.open("s", settings=shared) as second:
        first.add(numbered(300))
        assert first.reindex() == second.reindex() == "ready"
        assert found(first) == found(second) == exactly(shared)
        second.add(numbered(20, start=400))
        assert second.reindex() == "ready"
        assert found(first) == found(second) == exactly(shared)
        assert first.reindex() == "ready"
        assert first.stats().indexed == second.stats().indexed == 320
        assert not (first.folder / "index").exists()


def test_processes_that_catch_up_at_once_leave_a_whole_index(
    shared: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHRONESIS_CHROMA_URL", server.url)
    script = "import phronesis\nwith phronesis.Memory.open('s') as m: print(m.reindex(), m.verify().problems)"
    with Memory.open("s", settings=shared) as memory:
        memory.add(numbered(2000))
        children = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) for _ in range(3)]
        assert [child.communicate()[0] for child in children] == [b"ready ()\n"] * 3
        assert memory.reindex() == "ready"
        assert memory.stats().indexed == 2000
        assert memory.verify().sound


def test_memories_of_one_name_in_two_homes_do_not_share_an_index(shared: Settings, tmp_path: Path) -> None:
    other = shared.model_copy(update={"home": tmp_path / "other home"})
    with Memory.open("s", settings=shared) as one, Memory.open("s", settings=other) as two:
        one.add(numbered(50))
        two.add(numbered(50, start=1000))
        assert one.reindex() == two.reindex() == "ready"
        assert found(one) == exactly(shared)
        assert found(two) == exactly(other)
        assert one.reindex() == two.reindex() == "ready"


def test_a_server_that_dies_is_not_missed_and_taken_up_again(shared: Settings, server: Server) -> None:
    with Memory.open("s", settings=shared) as memory:
        memory.add(numbered(2100))
        assert memory.reindex() == "ready"
        server.stop()
        expected = exactly(shared)
        assert found(memory) == expected
        assert memory.stats().index.startswith("unreachable: Chroma server http://127.0.0.1")
        with pytest.raises(IndexDamaged, match="Chroma server") as refused:
            memory.reindex()
        assert "PHRONESIS_CHROMA_URL" in str(refused.value.mend)
        memory.add(numbered(5, start=5000))
        assert memory.search("pumps pumps case 5000", k=1)[0].id == "c2101"
        server.start()
        wait_for(memory, 2105)
        assert found(memory) == exactly(shared)


def test_a_server_that_lost_its_data_is_filled_again(shared: Settings, server: Server, tmp_path: Path) -> None:
    with Memory.open("s", settings=shared) as memory:
        memory.add(numbered(60))
        assert memory.reindex() == "ready"
        server.stop()
        server.folder = tmp_path / "another folder"
        server.start()
        assert found(memory) == exactly(shared)
        assert memory.reindex() == "ready"
        assert memory.stats().indexed == 60
        assert found(memory) == exactly(shared)


def test_a_collection_that_lost_rows_is_found_and_made_again(shared: Settings, server: Server) -> None:
    with Memory.open("s", settings=shared) as memory:
        memory.add(numbered(60))
        assert memory.reindex() == "ready"
    delete_rows(server)
    with Memory.open("s", settings=shared) as memory:
        report = memory.verify()
        assert [problem.where for problem in report.problems] == ["index"]
        assert "30 of 60" in report.problems[0].what
        assert memory.repair().sound
        assert memory.stats().indexed == 60
        assert found(memory) == exactly(shared)


def test_a_server_that_hangs_holds_nobody_up_for_good(shared: Settings, server: Server) -> None:
    with Memory.open("s", settings=shared) as memory:
        memory.add(numbered(60))
        assert memory.reindex() == "ready"
        assert server.child is not None
        server.child.send_signal(signal.SIGSTOP)
        assert found(memory) == exactly(shared)
        assert "did not answer within" in memory.stats().index
        server.child.send_signal(signal.SIGCONT)
        assert memory.reindex() == "ready"
        assert found(memory) == exactly(shared)


def test_a_server_of_something_else_is_named_and_search_is_exact(settings: Settings) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Memory.open("s", settings=settings.model_copy(update={"chroma_url": url})) as memory:
            memory.add(numbered(30))
            with pytest.raises(IndexDamaged, match="Chroma server"):
                memory.reindex()
            assert url in memory.stats().index
            assert found(memory) == exactly(settings)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize("value", ["localhost:8000", "ftp://x", "http://", "http://x:y", "http://x/path"])
def test_an_address_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="chroma_url"):
        load_settings({**os.environ, "PHRONESIS_CHROMA_URL": value})
