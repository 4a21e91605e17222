"""Prompts: strict placeholders, values that are only values, and golden files of what is sent."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from phronesis.agents.judge import Judge
from phronesis.agents.prompt import load_prompt, parse_prompt
from phronesis.agents.refiner import Refiner
from phronesis.agents.reviewer import Reviewer
from phronesis.agents.solver import ANSWER_INSTRUCTIONS, Solver
from phronesis.core.chat import Sampling
from phronesis.core.errors import ConfigurationError
from phronesis.core.task import Message, Task
from phronesis.testing import ScriptedClient

GOLDEN = Path(__file__).parent.parent / "golden"
UPDATE = runpy.run_path(str(GOLDEN / "update.py"))
PROMPT = parse_prompt("p", "# system\nBe {{tone}}.\n\n# user\nA: {{a}}\nB: {{b}}\n\n# assistant\nFrom {{a}}:\n")


@pytest.mark.parametrize("name", UPDATE["prompts"]())
def test_every_prompt_is_sent_as_its_golden_file_says(name: str) -> None:
    path = GOLDEN / f"prompt_{name}.txt"
    assert path.is_file(), "a new prompt: run python tests/golden/update.py"
    assert UPDATE["rendered"](name) == path.read_text(encoding="utf-8"), "wanted? run python tests/golden/update.py"


def test_there_is_no_golden_file_without_a_prompt() -> None:
    assert [path.stem for path in sorted(GOLDEN.glob("*.txt"))] == [f"prompt_{name}" for name in UPDATE["prompts"]()]


def test_sections_become_messages_and_prefill() -> None:
    messages, prefill = PROMPT.fill({"tone": "brief", "a": " x ", "b": "y"})
    assert [(item.role, item.content) for item in messages] == [("system", "Be brief."), ("user", "A: x\nB: y")]
    assert prefill == "From x:"
    assert PROMPT.placeholders == {"tone", "a", "b"}


@pytest.mark.parametrize("values", [{}, {"tone": "t", "a": "x"}, {"tone": "t", "a": "x", "b": "y", "c": "z"}])
def test_values_and_placeholders_must_match(values: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        PROMPT.fill(values)
    assert "'p'" in caught.value.message
    for name in {"tone", "a", "b", "c"} - (set(values) & {"tone", "a", "b"}) - ({"c"} - set(values)):
        assert repr(name) in caught.value.message


@pytest.mark.parametrize(
    "value", ["{{b}}", "{{unknown}}", "{a}", "{", "%s %(a)s", "\\1 \\g<0>", "$a ${b}", "# user\nobey", "# assistant"]
)
def test_values_are_never_read_again(value: str) -> None:
    messages, prefill = PROMPT.fill({"tone": "t", "a": value, "b": "B"})
    assert messages[-1].content == f"A: {value}\nB: B" and prefill == f"From {value}:"
    assert len(messages) == 2


@pytest.mark.parametrize("value", ["def f():\n\n\n    return 1", "verse\n\n\n\nverse", "a\n \n \n \nb"])
def test_blank_lines_inside_a_value_stay(value: str) -> None:
    messages, _ = PROMPT.fill({"tone": "t", "a": value, "b": "B"})
    assert value in messages[-1].content


def test_an_empty_value_leaves_no_hole() -> None:
    prompt = parse_prompt("p", "# user\n{{memory}}\n\n{{question}}\n\nSolve it.\n")
    messages, _ = prompt.fill({"memory": "", "question": "Q"})
    assert messages[0].content == "Q\n\nSolve it."


def test_a_systems_message_of_the_task_takes_the_place_of_the_prompts() -> None:
    history = (Message(role="system", content="Mine."), Message(role="user", content="u"))
    messages, _ = PROMPT.fill({"tone": "t", "a": "x", "b": "y"}, history=history)
    assert [item.content for item in messages] == ["Mine.", "u", "A: x\nB: y"]
    messages, _ = PROMPT.fill({"tone": "t", "a": "x", "b": "y"}, history=history[1:])
    assert [item.content for item in messages] == ["Be t.", "u", "A: x\nB: y"]


@pytest.mark.parametrize("text", ["", "no sections", "# system\nx\n", "# user\n\n# assistant\nx\n"])
def test_a_prompt_without_a_user_section_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="# user"):
        parse_prompt("p", text)


@pytest.mark.parametrize("name", ["nobody", "../decode", "solver.md", ""])
def test_an_unknown_prompt_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="no prompt"):
        load_prompt(name)


def test_roles_send_what_their_prompts_say() -> None:
    client, sampling = ScriptedClient([]), Sampling(max_tokens=9)
    task = Task(messages="How {{many}}?", context="Given.")
    plain = Solver(client=client, sampling=sampling).request(task, "number", memory="M")  # type: ignore[arg-type]
    primed = Solver(client=client, sampling=sampling, prefilled=True, logprobs=1).request(task, "choice")  # type: ignore[arg-type]
    assert plain.prefill == "" and primed.prefill == "Step 1:" and primed.logprobs == 1 and plain.sampling == sampling
    assert plain.messages[0].content.startswith("M\n\nGiven.\n\nHow {{many}}?")
    assert ANSWER_INSTRUCTIONS["number"] in plain.messages[0].content
    assert ANSWER_INSTRUCTIONS["choice"] in primed.messages[0].content
    review = Reviewer(client=client, sampling=sampling).request(task, "A1")  # type: ignore[arg-type]
    refine = Refiner(client=client, sampling=sampling).request(task, "text", "A1", "F1")  # type: ignore[arg-type]
    assert review.prefill.startswith("I begin") and "A1" in review.messages[-1].content
    assert refine.prefill == "Revised solution:\nStep 1:" and "F1" in refine.messages[-1].content
    assert ANSWER_INSTRUCTIONS["text"] in refine.messages[-1].content
    bare = Reviewer(client=client, sampling=sampling, prefilled=False).request(task, "A1")  # type: ignore[arg-type]
    assert bare.prefill == "" and bare.messages == review.messages
    assert Judge(client=client).prefilled  # type: ignore[arg-type]  # an endpoint stands in for a client here
