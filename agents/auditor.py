"""Auditor: reads a whole solution whose answer is right, and says whether its derivation is.

After the procedure of Wang et al. 2025 (arXiv 2502.06217): problem and solution, every step checked, a verdict at the end.
"""

from __future__ import annotations

import hashlib
import re

from phronesis.agents.prompt import load_prompt
from phronesis.core.chat import ChatRequest, Sampling
from phronesis.core.task import Task

SAMPLING = Sampling(temperature=0.0, max_tokens=1500)
_MARKS = r"[ \t\r>*_#`\"'.-]*"
_VERDICT = re.compile(rf"^{_MARKS}verdict{_MARKS}:{_MARKS}(sound|flawed)\b{_MARKS}$", re.IGNORECASE | re.MULTILINE)


def audit_request(task: Task, solution: str, *, sampling: Sampling = SAMPLING) -> ChatRequest:
    """What an auditor is asked. It sees no gold answer, no grade and no other attempt."""
    values = {"question": task.question, "solution": solution, "fence": _fence(solution)}
    messages, prefill = load_prompt("auditor").fill(values, history=task.history)
    return ChatRequest(messages=messages, prefill=prefill, sampling=sampling)


def _fence(solution: str) -> str:
    """A line that the solution cannot hold by guessing: it depends on every letter of it."""
    return f"=== {hashlib.blake2b(solution.encode(), digest_size=6).hexdigest()} ==="


def read_verdict(reply: str) -> bool | None:
    """Whether the derivation is sound, by the last line that is a verdict and nothing else; None without one."""
    found = _VERDICT.findall(reply)
    return found[-1].lower() == "sound" if found else None
