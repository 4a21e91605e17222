"""What an erasure says it did: every place it reached, every place it did not, and the journals that are left."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, computed_field


class Reached(BaseModel):
    """A place where what was erased stood, and stands no longer."""

    model_config = ConfigDict(frozen=True)

    place: str
    count: int
    """Rows, files or texts, as the place names them; 0 = there was nothing (left) to do."""


class NotReached(BaseModel):
    """A place where what was erased still stands, or may."""

    model_config = ConfigDict(frozen=True)

    place: str
    why: str
    mend: str
    """The command or step that mends it."""
    session: str = ""
    """The memory whose concepts quote it, where it is one."""
    ids: tuple[str, ...] = ()
    """Those concepts."""


class QuotingJournal(BaseModel):
    """A run whose folder quotes what was erased. Journals are never edited: the run can be deleted."""

    model_config = ConfigDict(frozen=True)

    run: str
    path: str
    """The file that quotes."""
    command: str
    """Deletes the run."""

    @property
    def there(self) -> bool:
        """Whether the run was not deleted yet."""
        return Path(self.path).exists()


class ErasureReceipt(BaseModel):
    """The account of an erasure. It quotes nothing of what was erased."""

    model_config = ConfigDict(frozen=True)

    session: str
    ids: tuple[str, ...]
    done: bool
    """False: it says what an erasure would reach, and nothing was done."""
    version: int
    """The memory's version after it."""
    reached: tuple[Reached, ...]
    not_reached: tuple[NotReached, ...]
    journals: tuple[QuotingJournal, ...]

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own idiom
    @property
    def complete(self) -> bool:
        """Nothing that we know of is left; otherwise follow the mends and erase again: it goes on where it stopped."""
        return self.done and not self.not_reached and not self.journals
