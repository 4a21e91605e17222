"""Where in a run a call is made: what names it in the journal, and who pays."""

from __future__ import annotations

from dataclasses import dataclass

from phronesis.core.budget import Account, Branch


@dataclass(frozen=True, slots=True)
class Site:
    """The place of one call. Its key is ours and the same in every session of a run."""

    branch: Branch
    role: str
    occurrence: str = "0"
    """Tells apart calls of one role at one path; ``0.again`` is a re-ask."""

    @property
    def key(self) -> str:
        return f"{self.branch.path}#{self.role}.{self.occurrence}"

    @property
    def where(self) -> str:
        """For people: path and role."""
        return f"{self.branch.path or 'task'} {self.role}"

    def at(self, occurrence: str) -> Site:
        """Another call of the role at this place."""
        return Site(self.branch, self.role, f"{self.occurrence}.{occurrence}")

    def as_role(self, role: str) -> Site:
        """The same place, booked and journalled under a role."""
        return Site(self.branch, role, self.occurrence)

    def paid_by(self, account: Account) -> Site:
        """The same place on a sub-account."""
        return Site(Branch(self.branch.path, account), self.role, self.occurrence)

    def again(self) -> Site:
        """The place of a re-ask."""
        return Site(self.branch, self.role, f"{self.occurrence}.again")
