"""Every error phronesis raises, in one tree.

PhronesisError
├── ConfigurationError            what the user wrote is wrong: the message names the value and the mend
│   ├── RecipeError               a recipe file or an override
│   └── UnknownStrategy           a strategy nobody registered
├── SetupError                    the environment lacks something; ``mend`` is the command that provides it
│   ├── ModelMissing              no model file, or one whose sha256 is wrong
│   ├── EndpointUnreachable       nothing answers at the configured address
│   ├── CapabilityMissing         the server cannot do what the recipe needs
│   ├── ModelChanged              another model answers than the run began with; replies of two models are never mixed
│   └── JournalUnwritable         the run folder cannot be written (disk full, read-only)
├── ModelError                    one call failed; data for the strategy, never an answer
│   ├── Retryable
│   │   ├── RateLimited           429
│   │   ├── ServerFailed          5xx, or the connection was lost
│   │   └── TimedOut              no reply within the time of a call
│   ├── ContextOverflow           prompt and reply do not fit the model's context
│   ├── MalformedReply            not what was asked for, after repair and one re-ask
│   ├── Refused                   any other 4xx
│   └── NotRecorded               a replay lacks this reply and may not ask for it
├── BudgetExhausted               a limit was reached; strategies turn it into "best so far"
├── ReplayDiverged                the journal holds another request under this key
├── RunLocked                     another process works on this run
├── ConceptStoreError
│   ├── EmbedderMismatch          vectors of another embedder
│   ├── IndexDamaged              the vector index lost rows; search goes on exactly, rebuild mends it
│   └── Conflict                  somebody else changed the concept first
├── ToolError                     a tool failed, or may not be run
│   ├── OutcomeUnknown            a call that changes something was begun by an earlier session, and nobody knows how it ended
│   └── ResumeRefused             a tool keeps state between calls, and an earlier session's is gone
├── RetrievalError                a retriever failed
└── AwaitingAnswer                a person has to answer before the task goes on; nothing is lost

``effect`` journals the ones marked ``recorded``: on replay the same failure is raised at the same place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class PhronesisError(Exception):
    """Base of the tree. ``details`` are JSON values; they travel through the journal."""

    recorded: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, mend: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend
        self.details = details

    def __str__(self) -> str:
        return f"{self.message}\n  mend: {self.mend}" if self.mend else self.message

    def to_json(self) -> dict[str, Any]:
        """The error as a journal writes it; ``revive`` is the inverse."""
        return {"type": type(self).__name__, "message": self.message, "mend": self.mend, "details": self.details}


class ConfigurationError(PhronesisError):
    exit_code = 2


class RecipeError(ConfigurationError):
    pass


class UnknownStrategy(ConfigurationError):
    pass


class SetupError(PhronesisError):
    exit_code = 3


class ModelMissing(SetupError):
    pass


class EndpointUnreachable(SetupError):
    pass


class CapabilityMissing(SetupError):
    pass


class ModelChanged(SetupError):
    pass


class JournalUnwritable(SetupError):
    pass


class ModelError(PhronesisError):
    recorded = True


class Retryable(ModelError):
    """Worth another attempt; ``retry_after`` in details is in seconds when the server named it."""


class RateLimited(Retryable):
    pass


class ServerFailed(Retryable):
    pass


class TimedOut(Retryable):
    pass


class ContextOverflow(ModelError):
    pass


class MalformedReply(ModelError):
    pass


class Refused(ModelError):
    pass


class NotRecorded(ModelError):
    """``details['calls']``: how many calls would be needed."""


class BudgetExhausted(PhronesisError):
    """``details['limit']`` is one of calls, tokens, seconds, depth, tools.NAME."""

    recorded = True


class ReplayDiverged(PhronesisError):
    pass


class RunLocked(PhronesisError):
    pass


class ConceptStoreError(PhronesisError):
    recorded = True


class EmbedderMismatch(ConceptStoreError):
    exit_code = 3


class IndexDamaged(ConceptStoreError):
    pass


class Conflict(ConceptStoreError):
    pass


class ToolError(PhronesisError):
    recorded = True


class OutcomeUnknown(ToolError):
    recorded = False


class ResumeRefused(ToolError):
    recorded = False


class RetrievalError(PhronesisError):
    recorded = True


class AwaitingAnswer(PhronesisError):
    """``details``: ``task``, ``key`` of the question, and ``request``, what is asked."""


def _tree(root: type[PhronesisError]) -> dict[str, type[PhronesisError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


def revive(record: Mapping[str, Any]) -> PhronesisError:
    """The error that ``to_json`` wrote. A type this version does not know becomes a plain PhronesisError."""
    kind = _tree(PhronesisError).get(str(record.get("type")), PhronesisError)
    details = {str(key): value for key, value in dict(record.get("details") or {}).items()}
    return kind(str(record.get("message", "")), mend=record.get("mend"), **details)
