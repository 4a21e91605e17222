"""Changes that people make: update, forget, erase, and proposals that wait for them."""

from __future__ import annotations

from collections.abc import Sequence

from phronesis.core.concept import Concept, Evidence, StoredConcept
from phronesis.core.errors import ConfigurationError, Conflict
from phronesis.memory import accepting, erasing, revisions
from phronesis.memory.branching import sweep
from phronesis.memory.opened import OpenMemory
from phronesis.memory.places import FolderPlace
from phronesis.memory.proposals import (
    Action,
    Proposal,
    ProposalStatus,
    check_shape,
    insert_proposal,
    proposal,
    proposals,
)
from phronesis.memory.quotations import Quotation
from phronesis.memory.reading import concept_id, concept_number, current_version, stored
from phronesis.memory.receipts import ErasureReceipt, NotReached, QuotingJournal, Reached
from phronesis.memory.revisions import ConceptVersion
from phronesis.memory.traces import Elsewhere, Progress, search_elsewhere, still_there
from phronesis.memory.writing import check_sizes


def _silent(_: str) -> None:
    """Tells nobody."""


class Changing(OpenMemory):
    """Changes what is remembered."""

    def update(
        self,
        id: str,
        concept: Concept,
        *,
        reason: str,
        expect_version: int | None = None,
        operation: str | None = None,
    ) -> StoredConcept:
        """The concept, which says ``concept`` from now on; durable when it returns. Once per operation id.

        Raises Conflict when it is at another version than ``expect_version`` (None = whichever it is at), is withdrawn or
        erased, or when another valid concept says the same word for word; ConfigurationError for one that is too large."""
        _check_reason(reason)
        check_sizes([concept])
        number = concept_number(id)
        vectors = self._views([concept])
        with self._ledger.writing() as transaction:
            known = None if operation is None else transaction.outcome("update", operation)
            if known is None:
                revisions.change(
                    transaction,
                    self._search,
                    number,
                    concept,
                    vectors=None if vectors is None else vectors[0],
                    expected=expect_version,
                    reason=reason,
                    operation=operation or "",
                )
                at = current_version(transaction.connection)
                if operation is not None:
                    transaction.record_outcome("update", operation, {"id": id, "version": at})
            elif known["id"] != id:
                raise Conflict(
                    f"operation {operation!r} has changed {known['id']}, not {id}", mend="give each change its own id"
                )
            else:
                at = int(known["version"])
            return stored(transaction.connection, at=at, numbers=[number])[number]

    def versions(self, id: str) -> list[ConceptVersion]:
        """Every version of the concept, oldest first, each with the memory's versions in which it held."""
        with self._ledger.reading() as connection:
            return revisions.chain(connection, concept_number(id))

    def withdrawn(self) -> list[ConceptVersion]:
        """The concepts that are invalid now, by id: why, since when, and what took their place."""
        with self._ledger.reading() as connection:
            return revisions.withdrawn(connection)

    def forget(
        self, ids: Sequence[str], *, reason: str, superseded_by: str | None = None, operation: str | None = None
    ) -> list[str]:
        """Takes concepts out of recall, all or none; their history stays and ``revive`` brings them back. The ids that
        were valid until now. Once per operation id.

        At once gone from ``search`` and ``list`` in every process; runs that pinned an older version still see them.
        Raises ConceptStoreError that names an unknown id, Conflict when ``superseded_by`` cannot take their place."""
        _check_reason(reason)
        numbers = _numbers(ids)
        heir = None if superseded_by is None else concept_number(superseded_by)
        with self._ledger.writing() as transaction:
            if operation is not None and (known := transaction.outcome("forget", operation)) is not None:
                return [str(name) for name in known]
            if heir is not None:
                revisions.check_heir(transaction.connection, heir, numbers)
            gone = [
                concept_id(number)
                for number in numbers
                if revisions.withdraw(transaction, number, reason=reason, heir=heir, operation=operation or "")
            ]
            if operation is not None:
                transaction.record_outcome("forget", operation, gone)
            return gone

    def revive(self, id: str, reason: str, *, operation: str | None = None) -> StoredConcept:
        """Brings a forgotten concept back, with the status it had; one that is valid stays as it is.

        Raises Conflict for an erased one, and when another valid concept says the same by now."""
        _check_reason(reason)
        number = concept_number(id)
        with self._ledger.writing() as transaction:
            revisions.bring_back(transaction, number, reason=reason, operation=operation or "")
            now = current_version(transaction.connection)
            return stored(transaction.connection, at=now, numbers=[number])[number]

    def erase(
        self, ids: Sequence[str], *, operation: str | None = None, progress: Progress = _silent
    ) -> ErasureReceipt:
        """Erases concepts for good, out of every version and out of the files' bytes; what was reached and what was not.

        May be repeated: one that was killed, or that another process was in the way of, is completed. Reads every run
        folder and every other memory of this home, writes the ledger's file anew, and deletes the vector index, which is
        made again from the ledger. A run that has the concept in its prompt just now may still journal it. Copies of the
        files outside this home (exports, backups) are not known here. Raises ConceptStoreError that names an unknown id."""
        numbers = _numbers(ids)
        sweep(self.folder.parent)
        while True:
            searched, quotation = self._texts(numbers)
            elsewhere = self._elsewhere(quotation, progress)
            reached = erasing.erase_rows(self._ledger, searched, quotation, elsewhere, operation=operation or "")
            if reached is not None:
                break
        progress("writing the ledger anew")
        missed = erasing.scrub(self._ledger)
        index = self._keeper.discard() or FolderPlace(self._ledger).discard()
        if index is None:
            reached.append(Reached(place="vector index", count=0))
        else:
            mend = "close the processes that have the memory open, then erase again"
            missed.append(NotReached(place=str(self.folder / "index"), why=index, mend=mend))
        with self._ledger.reading() as connection:
            found = erasing.remembered(connection, numbers)
        places = [NotReached.model_validate(item) for item in found["places"]]
        journals = [QuotingJournal.model_validate(item) for item in found["journals"]]
        return self._receipt(
            numbers,
            reached,
            [*missed, *(place for place in places if still_there(self.folder, place))],
            [item for item in journals if item.there],
            done=True,
        )

    def plan_erase(self, ids: Sequence[str], *, progress: Progress = _silent) -> ErasureReceipt:
        """What ``erase`` would reach, and what it would not; changes nothing."""
        numbers = _numbers(ids)
        _, quotation = self._texts(numbers)
        elsewhere = self._elsewhere(quotation, progress)
        reached, left = erasing.would_erase(self._ledger, numbers, quotation)
        return self._receipt(numbers, reached, [*left, *elsewhere.places], list(elsewhere.journals), done=False)

    def _texts(self, numbers: Sequence[int]) -> tuple[dict[int, list[Concept]], Quotation]:
        with self._ledger.reading() as connection:
            searched = erasing.texts_of(connection, numbers)
        return searched, Quotation([concept for concepts in searched.values() for concept in concepts])

    def _elsewhere(self, quotation: Quotation, progress: Progress) -> Elsewhere:
        return search_elsewhere(self.folder, quotation, progress) if quotation else Elsewhere((), ())

    def _receipt(
        self,
        numbers: Sequence[int],
        reached: Sequence[Reached],
        not_reached: Sequence[NotReached],
        journals: Sequence[QuotingJournal],
        *,
        done: bool,
    ) -> ErasureReceipt:
        return ErasureReceipt(
            session=self.name,
            ids=tuple(map(concept_id, numbers)),
            done=done,
            version=self.version(),
            reached=tuple(reached),
            not_reached=tuple(not_reached),
            journals=tuple(journals),
        )

    def propose(
        self,
        action: Action,
        *,
        reason: str,
        ids: Sequence[str] = (),
        concept: Concept | None = None,
        superseded_by: str | None = None,
        evidence: Evidence | None = None,
        operation: str | None = None,
    ) -> Proposal:
        """A change that waits for a person: ``add`` a concept, ``update`` one, ``forget`` some, ``merge`` several into one.

        It is about the versions of now. Once per operation id. Raises ConfigurationError for a proposal of another shape,
        ConceptStoreError that names an unknown id."""
        _check_reason(reason)
        check_shape(action, ids, concept)
        check_sizes([] if concept is None else [concept])
        numbers = _numbers(ids) if ids else []
        with self._ledger.writing() as transaction:
            bases = {
                concept_id(number): revisions.standing(transaction.connection, number).version for number in numbers
            }
            if superseded_by is not None:
                revisions.check_heir(transaction.connection, concept_number(superseded_by), numbers)
            made = insert_proposal(
                transaction,
                action,
                bases=bases,
                concept=concept,
                superseded_by=superseded_by,
                evidence=evidence,
                reason=reason,
                operation=operation,
            )
            return proposal(transaction.connection, made)

    def proposals(self, status: ProposalStatus | None = "open") -> list[Proposal]:
        """Proposals of a status, or all (None), by number."""
        with self._ledger.reading() as connection:
            return proposals(connection, status)

    def proposal(self, number: int) -> Proposal:
        """One proposal with what it would change. Raises ConceptStoreError that names an unknown number."""
        with self._ledger.reading() as connection:
            return proposal(connection, number)

    def accept(self, number: int) -> Proposal:
        """Carries a proposal out; an accepted one stays as it is. A new concept that comes near one that is there becomes
        evidence for it.

        Raises Conflict when a concept it is about changed since (the proposal stays open and says so), and for a rejected
        one."""
        item = self.proposal(number)
        vectors = None if item.concept is None or item.status != "open" else self._views([item.concept])
        accepting.accept(self._ledger, self._search, number, vectors=None if vectors is None else vectors[0])
        return self.proposal(number)

    def reject(self, number: int, reason: str) -> Proposal:
        """Refuses a proposal; a rejected one stays as it is. Raises Conflict for an accepted one."""
        _check_reason(reason)
        accepting.reject(self._ledger, number, reason=reason)
        return self.proposal(number)


def _numbers(ids: Sequence[str]) -> list[int]:
    """Raises ConfigurationError when there are none, ConceptStoreError for an id of another form."""
    if not ids:
        raise ConfigurationError("no concept is named", mend="give ids like c17: phronesis memory list")
    return list(dict.fromkeys(concept_number(name) for name in ids))


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise ConfigurationError("the reason is empty", mend="say why: it stays in the history")
