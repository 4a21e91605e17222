"""A memory whose folder cannot be written: what only reads works, what writes says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from privileges import permissions_hold

from phronesis.core.concept import Concept
from phronesis.core.errors import PhronesisError
from phronesis.core.settings import Settings
from phronesis.memory.session import Memory


@pytest.fixture
def sealed(settings: Settings) -> Settings:
    with Memory.open("s", settings=settings) as memory:
        memory.add([Concept(situation="packs are bought", suggestion="count the pieces")])
    folder = settings.memory / "s"
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return settings


def test_reading_works_and_changes_nothing(sealed: Settings) -> None:
    before = _contents(sealed.memory / "s")
    with permissions_hold(), Memory.open("s", settings=sealed, create=False) as memory:
        assert [item.id for item in memory.list()] == ["c1"]
        assert [hit.id for hit in memory.search("packs")] == ["c1"]
        assert memory.get("c1").recalled == 0 and memory.stats().count == 1
        assert memory.verify().sound
    assert _contents(sealed.memory / "s") == before


def test_writing_is_refused_with_the_folder_named(sealed: Settings) -> None:
    with permissions_hold(), Memory.open("s", settings=sealed, create=False) as memory:
        with pytest.raises(PhronesisError, match="opened to be read") as refused:
            memory.forget(["c1"], reason="x")
        assert "can be written" in str(refused.value.mend)
        assert memory.stats().count == 1


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
