"""The tree of errors: every class goes through JSON and comes back as itself."""

from __future__ import annotations

import pickle
import re

import orjson
import pytest

from phronesis.core import errors
from phronesis.core.errors import ModelError, PhronesisError, RateLimited, revive


def tree(root: type[PhronesisError]) -> list[type[PhronesisError]]:
    own = [child for child in root.__subclasses__() if child.__module__ == errors.__name__]
    return [root, *(item for child in own for item in tree(child))]


CLASSES = tree(PhronesisError)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_makes_the_round_trip(kind: type[PhronesisError]) -> None:
    error = kind("what 素 happened", mend="do this", limit="calls", status=429, nested={"a": [1, None, 2.5]}, none=None)
    back = revive(orjson.loads(orjson.dumps(error.to_json())))
    assert type(back) is kind
    assert back.to_json() == error.to_json()
    assert (back.message, back.mend, back.details, str(back)) == (error.message, error.mend, error.details, str(error))
    bare = revive(kind("only a message").to_json())
    assert (type(bare), str(bare), bare.mend, bare.details) == (kind, "only a message", None, {})
    assert str(pickle.loads(pickle.dumps(kind("in another process")))) == "in another process"


def test_the_drawing_shows_the_tree_as_it_is() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(r"^[│├└─ ]*([A-Z]\w+)", errors.__doc__.split("\n\n")[1], flags=re.MULTILINE)
    assert sorted(drawn) == sorted(kind.__name__ for kind in CLASSES)


def test_names_are_unique_in_the_tree() -> None:
    assert len({kind.__name__ for kind in CLASSES}) == len(CLASSES)


def test_an_unknown_type_becomes_the_plain_error() -> None:
    back = revive({"type": "FromTheFuture", "message": "new", "details": {"x": 1}})
    assert type(back) is PhronesisError and str(back) == "new" and back.details == {"x": 1}
    assert type(revive({})) is PhronesisError


def test_the_mend_is_part_of_the_text() -> None:
    assert str(RateLimited("429", mend="wait")) == "429\n  mend: wait"


def test_what_is_journalled_and_what_a_command_exits_with() -> None:
    recorded = {kind.__name__ for kind in CLASSES if kind.recorded}
    assert recorded >= {kind.__name__ for kind in tree(ModelError)} | {"BudgetExhausted", "ToolError", "Conflict"}
    assert not recorded & {
        "CapabilityMissing",
        "EndpointUnreachable",
        "JournalUnwritable",
        "ReplayDiverged",
        "RunLocked",
    }
    codes = {kind.__name__: kind.exit_code for kind in CLASSES}
    assert codes["RecipeError"] == codes["UnknownStrategy"] == 2
    assert codes["ModelMissing"] == codes["EndpointUnreachable"] == codes["JournalUnwritable"] == 3
    assert codes["BudgetExhausted"] == codes["ServerFailed"] == 1
