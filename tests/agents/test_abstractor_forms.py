"""The abstractor's forms: what it is shown, what it makes of replies, and that nothing is ever filled in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest

from phronesis.agents.abstractor import Abstractor
from phronesis.agents.client.metered import Metered
from phronesis.agents.client.run_client import Journaled
from phronesis.agents.parameterised import ConceptEntries, ParameterisedAbstractor, resolve
from phronesis.core.budget import Account, Branch
from phronesis.core.chat import Sampling
from phronesis.core.concept import Concept
from phronesis.core.effects import Effects
from phronesis.core.errors import MalformedReply
from phronesis.core.journal import Journal
from phronesis.core.site import Site
from phronesis.core.task import Message, Task
from phronesis.testing import ScriptedClient

TASK = Task(messages="Ann has 31 parts, Bob 52 of 830 euros. What does Ann get?", id="parts")
LESSON = {"situation": "a total is shared in parts", "suggestion": "work out one part first"}
OTHER = {"situation": "a price is raised by a share", "suggestion": "divide by one plus the share"}
CODE = {"pseudocode": "part = total / parts\nshare = part * own", "summary": "share a total by parts"}
SPLIT = {
    "concept": "split in proportion",
    "kind": "routine",
    "subtype": "proportion",
    "typing": "amounts",
    "parameters": [{"name": "total", "typing": "amount", "description": None}],
    "description": "shares a total by parts",
    "cues": ["unequal parts"],
    "implementation": [{"order": "one part first"}],
}
SAMPLING = Sampling(temperature=0.2, max_tokens=200)


def go(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def client(*replies: Any) -> tuple[ScriptedClient, Journaled, Site]:
    endpoint = ScriptedClient([reply if isinstance(reply, str) else json.dumps(reply) for reply in replies])
    journaled = Journaled(Metered(endpoint), Effects(Journal(None), "t"), seed=0, task="t")
    return endpoint, journaled, Site(Branch("memory", Account()), "abstractor")


def sent(endpoint: ScriptedClient, number: int = -1) -> str:
    return "\n".join(message.content for message in endpoint.requests[number].messages)


def test_one_lesson_is_the_reply_of_one_call() -> None:
    endpoint, chat, site = client(LESSON)
    (concept,) = go(Abstractor(client=chat, sampling=SAMPLING).abstract(TASK, "830 / 83 = 10", site=site))
    assert (concept.situation, concept.suggestion, concept.kind) == (*LESSON.values(), "lesson")
    assert concept.source == "parts" and len(endpoint.requests) == 1
    assert "830" not in sent(endpoint) and "# / # = #" in sent(endpoint)


def test_several_lessons_are_cut_to_the_number_asked_for() -> None:
    endpoint, chat, site = client({"lessons": [LESSON, OTHER, LESSON]})
    found = go(Abstractor(client=chat, sampling=SAMPLING, lessons=2).abstract(TASK, "x", site=site))
    assert [item.situation for item in found] == [LESSON["situation"], OTHER["situation"]]
    assert "at most two lessons" in sent(endpoint)


def test_a_contrast_shows_both_attempts() -> None:
    endpoint, chat, site = client({"lessons": [OTHER]})
    found = go(Abstractor(client=chat, sampling=SAMPLING).contrast(TASK, "good way 7", "bad way 8", site=site))
    assert len(found) == 1 and found[0].kind == "lesson"
    text = sent(endpoint)
    assert text.index("good way #") < text.index("bad way #")


def test_a_pitfall_is_of_its_kind_and_names_the_test() -> None:
    endpoint, chat, site = client(OTHER)
    (concept,) = go(Abstractor(client=chat, sampling=SAMPLING).pitfall(TASK, "x", "none gave it", site=site))
    assert concept.kind == "pitfall" and "The test: none gave it" in sent(endpoint)


@pytest.mark.parametrize(
    "bad",
    [
        "I have no idea.",
        {"situation": LESSON["situation"]},
        {**LESSON, "suggestion": "divide by 83 parts"},
        {**LESSON, "suggestion": "go"},
        {"lessons": []},
    ],
)
def test_a_bad_reply_is_asked_for_once_more_and_then_fails(bad: Any) -> None:
    endpoint, chat, site = client(bad, LESSON)
    (concept,) = go(Abstractor(client=chat, sampling=SAMPLING).abstract(TASK, "x", site=site))
    assert concept.situation == LESSON["situation"] and len(endpoint.requests) == 2
    endpoint, chat, site = client(bad, bad)
    with pytest.raises(MalformedReply):
        go(Abstractor(client=chat, sampling=SAMPLING).abstract(TASK, "x", site=site))
    assert len(endpoint.requests) == 2


def test_earlier_turns_are_shown_and_the_system_message_is_not() -> None:
    turns = (Message(role="system", content="Answer in rhyme."), Message(role="user", content="About 9 boats."))
    task = Task(messages=(*turns, Message(role="user", content="How many?")))
    endpoint, chat, site = client(LESSON)
    go(Abstractor(client=chat, sampling=SAMPLING).abstract(task, "x", site=site))
    assert "About # boats." in sent(endpoint) and "rhyme" not in sent(endpoint)


def test_parameterised_takes_two_calls_and_shows_the_vocabulary_in_the_second() -> None:
    endpoint, chat, site = client(CODE, {"concepts": [SPLIT]})
    abstractor = ParameterisedAbstractor(client=chat, sampling=SAMPLING)
    (entry,) = go(abstractor.abstract(TASK, "830 / 83 = 10", "- known thing: what it is", site=site))
    assert len(endpoint.requests) == 2
    assert "known thing" not in sent(endpoint, 0) and "830" not in sent(endpoint, 0)
    assert (
        "known thing" in sent(endpoint, 1) and CODE["summary"] in sent(endpoint, 1) and "Ann" not in sent(endpoint, 1)
    )
    ((concept,), refused) = resolve((entry,), {}, source="parts")
    assert refused == () and concept.name == "split in proportion" and concept.kind == "routine"
    assert concept.parameters[0].name == "total" and concept.parameters[0].description == ""
    assert concept.implementation == ("order: one part first",) and concept.subtype == "proportion"
    assert concept.source == "parts"


def test_parameterised_re_asks_each_call_once() -> None:
    endpoint, chat, site = client("no", CODE, {"concepts": []}, {"concepts": [SPLIT]})
    abstractor = ParameterisedAbstractor(client=chat, sampling=SAMPLING)
    assert len(go(abstractor.abstract(TASK, "x", "", site=site))) == 1 and len(endpoint.requests) == 4
    assert "(none yet)" in sent(endpoint)
    endpoint, chat, site = client(CODE, "no", "no")
    with pytest.raises(MalformedReply):
        go(ParameterisedAbstractor(client=chat, sampling=SAMPLING).abstract(TASK, "x", "", site=site))


def entries(*items: dict[str, Any]) -> Any:
    return ConceptEntries.model_validate({"concepts": items}).concepts


KNOWN = {
    "Split In Proportion": Concept(name="split in proportion", kind="routine", suggestion="shares a total"),
}


def test_an_unknown_kind_is_refused_for_a_new_name_and_taken_for_a_known_one() -> None:
    """ArcMemo's rule: specification invariant 4."""
    new = resolve(entries({"concept": "mirror", "kind": "idea", "description": "turn it round"}), {}, source="t")
    assert new.concepts == () and new.refused[0][0] == "mirror" and "'idea'" in new.refused[0][1]
    old = resolve(entries({"concept": "SPLIT in proportion", "kind": "idea", "cues": ["by parts"]}), KNOWN, source="t")
    assert old.refused == () and old.concepts[0].kind == "routine" and old.concepts[0].cues == ("by parts",)


def test_a_bare_name_is_enough_for_a_known_concept_and_too_little_for_a_new_one() -> None:
    found = resolve(entries({"concept": "split in proportion"}), KNOWN, source="t")
    assert found.concepts[0].suggestion == "shares a total"
    refused = resolve(entries({"concept": "mirror", "kind": "routine"}), KNOWN, source="t").refused
    assert refused == (("mirror", "a new concept without a description"),)
    assert resolve(entries({"concept": "--", "kind": "routine", "description": "x"}), {}, source="t").concepts == ()


@pytest.mark.parametrize("field", ["description", "cues", "implementation", "concept"])
def test_figures_are_refused_in_every_text(field: str) -> None:
    said: Any = ["has 7 of them"] if field in ("cues", "implementation") else "has 7 of them"
    with pytest.raises(ValueError, match="'7'"):
        entries({**SPLIT, field: said})
