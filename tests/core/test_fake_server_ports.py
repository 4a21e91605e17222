"""A fake server's address is its own: what a client learned of an earlier one never speaks of it."""

from __future__ import annotations

from phronesis.testing import FakeServer


def test_no_two_servers_of_a_process_have_one_address() -> None:
    seen = set()
    for _ in range(40):
        with FakeServer() as server:
            seen.add(server.url)
    assert len(seen) == 40


def test_a_port_that_is_asked_for_is_taken_again() -> None:
    with FakeServer() as first:
        url = first.url
    with FakeServer(port=int(url.split(":")[2].split("/")[0])) as second:
        assert second.url == url
