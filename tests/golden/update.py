"""Every shipped prompt rendered with fixed inputs, as the files beside this one.

tests/agents/test_prompts.py compares them. After a wanted change of a prompt run `python tests/golden/update.py` and look
at the difference before it is committed: recorded runs diverge when a prompt changes.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from phronesis.agents.prompt import load_prompt
from phronesis.core.task import Message

HERE = Path(__file__).parent
VALUES = {
    "question": "Tom has 3 bags with 4 apples and eats {{memory}} of them.\nHow many are left?",
    "answer_instruction": "End with the final number, without a unit, in \\boxed{}.",
    "memory": "Known from earlier problems:\n- when packs are bought: multiply first",
    "solution": "Step 1: 3 * 4 = 12.\nStep 2: \\boxed{10}",
    "fence": "=== 0a1b2c3d4e5f ===",
    "annotated": "Step 1: 3 * 4 = 12. (Score: 10/10)\nStep 2: \\boxed{10} (Score: 2/10)",
    "steps": "Step 1: 3 * 4 = 12.",
    "attempts": "Attempt 1:\n3 * 4 = 12. \\boxed{12}\n\nFeedback on attempt 1:\nNobody ate. Verdict: No",
    "first": "3 * 4 - 2 = 10. \\boxed{10}",
    "second": "3 + 4 = 7. \\boxed{7}",
    "answer": "10",
    "program": "def solution():\n    return 3 * 4 - eaten",
    "error": "NameError: name 'eaten' is not defined (line 2)",
    "return_instruction": "It returns a number.",
    "data": '{"question": "How many {{are}} left?", "right_answers": ["10"], "answer": "ten"}',
    "rule": "A number that is off by one counts as the same.",
    "concepts": "c1. When packs are bought: multiply first\nc7. check the units",
    "attempt": "An attempt that was not accepted:\n3 * 4 = 12. \\boxed{12}",
    "k": "2",
    "lessons": "two lessons",
    "accepted": "3 * 4 - 2 = 10. \\boxed{10}",
    "rejected": "3 * 4 = 12. \\boxed{12}",
    "outcome": "of the programs that ran, none gave its answer",
    "summary": "multiply what one pack holds, then take away",
    "pseudocode": "whole = packs * content\nleft = whole - used",
    "entry": '{"suggestion": "add {{the}} rates", "cues": ["two pumps", "two taps"], "implementation": []}',
    "entries": '{"number": 1, "suggestion": "add the rates"}\n{"number": 2, "suggestion": "sum up the rates"}',
    "record": 'Step 1. I count.\nCall: count({"what": "{{apples}}"})\nResult (ok): "12"',
    "budget": "Budget (LOW):\ncount: 8 used, 2 left of 10",
    "planning": "Begin with a plan.",
    "plan": "Your plan so far:\n1 [x] count",
    "answers": "A: 10\n   Checked: all eaten: satisfied",
    "code": "0a1b",
    "tools": '- count: Counts {{things}}.\n    "what" (string): which ones',
    "call_form": '{"thought": "I use count to find out ...", "tool": "count", "arguments": {"what": "..."}}',
    "parallel": "One reply may hold up to 3 calls.",
    "feedback": "I looked at the steps with low scores first. Step 2 subtracts nothing.",
    "again": "Not again, for they look for the same: 'bags of {{Tom}}'.",
    "asked": "Searched already:\n- bags of Tom",
    "demonstrations": "Question: What did {{Mia}} pick?\nAnswer: plums",
    "evidence": "[1] Tom grows apples (Orchards)\n[2] He eats {{two}}",
    "example": "Sub-question: Who ate?",
    "form": "Reply with one word, STOP or CONTINUE.",
    "known": "- Tom has 3 bags (Orchards)",
    "notes": "[1] Tom grows apples (Orchards)\n[2] He eats {{two}}",
    "number": "2 search queries",
    "opening": "Decision:",
    "order": "Ask one more sub-question, or give the final answer.",
    "passages": "[1] Orchards\nTom grows {{apples}}.\n\n[2] Tom eats two.",
    "query": "how many {{apples}} Tom ate",
    "sentences": "## Orchards\n[1] Tom grows {{apples}}.\n[2] He eats two.",
    "synopsis": "Step 1\n- the task: Tom has {{3}} bags",
    "taxonomy": "M2.1 wrong operation: added in the place of multiplied",
    "findings": "- added bags and apples (M2.1)",
    "claims": "1. 3 * 4 = 12.\n2. He {{eats}} them.",
    "checks": "1. Is 3 * 4 = 12? (a calculation)\n   yes: it is",
    "check": "Is this right: 3 * 4 = {{12}}.",
    "source": "a calculation",
    "suggest": " If the checks already show what the answer is, say it.",
    "suggest_key": ', "suggested_answer": ""',
    "levels": "",
    "most": "3",
    "persona": "You are a strict teacher.",
    "scale": "give a score from 0 to 10.",
    "said": "critic: step 2 adds {{bags}}.",
    "verdict": "Verdict 0a1b",
    "evaluation": "Principles:\n- counts {{all}} apples (weight 5)\nCritique: A leaves out two.\nScores: 3",
    "criteria": 'reading: Is each {{number}} used as stated?\n  "wrong"\n  "right"',
    "trajectory": "Step 1. I searched for {{apples}} and found 3 bags.",
}
HISTORY = (Message(role="system", content="You teach."), Message(role="assistant", content="Ask me."))


def prompts() -> list[str]:
    """Names of the shipped prompts."""
    folder = resources.files("phronesis.agents.prompts")
    return sorted(item.name.removesuffix(".md") for item in folder.iterdir() if item.name.endswith(".md"))


def rendered(name: str) -> str:
    """A prompt as it is sent: alone, with empty values, and after a history."""
    prompt = load_prompt(name)
    values = {key: VALUES[key] for key in prompt.placeholders}
    parts = []
    for title, given, history in (
        ("plain", values, ()),
        ("empty values", dict.fromkeys(values, ""), ()),
        ("after a history", values, HISTORY),
    ):
        messages, prefill = prompt.fill(given, history=history)
        parts.append(f"==== {title}")
        parts += [f"---- {message.role}\n{message.content}" for message in messages]
        parts.append(f"---- prefill {json.dumps(prefill)}")
    return "\n".join(parts) + "\n"


def main() -> None:
    """Writes the files anew and deletes those of prompts that are gone."""
    for path in HERE.glob("prompt_*.txt"):
        path.unlink()
    for name in prompts():
        (HERE / f"prompt_{name}.txt").write_text(rendered(name), encoding="utf-8")
        print(f"prompt_{name}.txt")


if __name__ == "__main__":
    main()
