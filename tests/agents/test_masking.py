"""Masks: what the abstractor is not shown and may not give back."""

from __future__ import annotations

import json
import re

import pytest

from phronesis.agents.abstractor import Lesson
from phronesis.agents.masking import EXAMPLES, Mask, general, names_in
from phronesis.agents.prompt import load_prompt

STORY = "Sophia can peel 9 clams a minute. Her friend Ben helps Sophia on Monday. How long do Ben's clams take?"


def test_names_are_found_wherever_they_stand() -> None:
    assert names_in(STORY) == ("Sophia", "Ben")
    assert names_in("Students read. Some students play. In May they stop, although I do not.") == ()


def test_numbers_and_names_are_masked_alike_in_every_text() -> None:
    mask = Mask.of(STORY)
    assert mask(STORY) == ("X can peel # clams a minute. Her friend Y helps X on Monday. How long do Y's clams take?")
    assert mask("Step 1: Ben peels 2/3.") == "Step #: Y peels #."


def test_more_names_than_letters_share_them() -> None:
    names = ("Ada", "Bob", "Cy", "Dan", "Eve", "Fay", "Gus", "Hal", "Ivy", "Jo", "Kim", "Lea")
    assert Mask(names)(" ".join(names)) == "X Y Z W V U T S R Q P X"


def test_names_of_other_scripts_are_names() -> None:
    assert names_in("Then María and Łukasz met Ζωή and an UFO.") == ("María", "Łukasz", "Ζωή")


@pytest.mark.parametrize("copy", EXAMPLES)
def test_the_example_is_no_lesson(copy: str) -> None:
    with pytest.raises(ValueError, match="repeats the example"):
        general(f"{copy[0].upper()}{copy[1:]}.")


def test_a_lesson_near_the_example_is_one() -> None:
    assert general("divide the cost by the number of guests, then add the tip to each share")
    assert general("three friends travel at different speeds") == "three friends travel at different speeds"


@pytest.mark.parametrize("name", ["abstractor", "abstractor_lessons", "abstractor_contrast", "abstractor_pitfall"])
def test_every_example_a_prompt_gives_is_known(name: str) -> None:
    values = dict.fromkeys(("question", "solution", "accepted", "rejected", "attempt", "outcome", "lessons"), "?")
    wanted = {key: value for key, value in values.items() if "{{" + key + "}}" in _raw(name)}
    messages, _ = load_prompt(name).fill(wanted)
    (example,) = re.findall(r"Example:\n(\{.*\})", messages[-1].content)
    parsed = json.loads(example)
    for lesson in parsed.get("lessons", [parsed]):
        assert {lesson["situation"], lesson["suggestion"]} <= set(EXAMPLES)
        with pytest.raises(ValueError, match="repeats the example"):
            Lesson.model_validate(lesson)


def _raw(name: str) -> str:
    from importlib.resources import files

    return (files("phronesis.agents") / "prompts" / f"{name}.md").read_text(encoding="utf-8")
