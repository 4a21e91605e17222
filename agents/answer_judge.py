"""Answer judge: says whether an answer means the same as the right one, for answers that no rule can compare."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from phronesis.agents.prompt import load_prompt
from phronesis.core.chat import ChatRequest, Sampling
from phronesis.core.task import Task

SAMPLING = Sampling(temperature=0.0, max_tokens=300)
RULES = {
    "temporal-reasoning": "A number of days, weeks or months that is off by one counts as the same.",
    "knowledge-update": "Where an older state of things is named beside the newest one, the newest one counts.",
    "single-session-preference": (
        "Here the right answers describe what a good reply makes use of. It counts as the same when it makes use of the "
        "person's wishes as described, even where it leaves some of them out."
    ),
}
"""What else holds, by the question types of LongMemEval (Wu et al. 2024, arXiv 2410.10813)."""


class JudgedAnswer(BaseModel):
    """A judge's reply."""

    model_config = ConfigDict(frozen=True)

    reason: str = ""
    verdict: Literal["yes", "no"]


def judge_request(
    task: Task, golds: Sequence[str], answer: str, *, kind: str = "", sampling: Sampling = SAMPLING
) -> ChatRequest:
    """What a judge is asked. Question and answers are quoted as JSON, before a line that depends on every letter of them, so
    that no answer can hold it."""
    asked = {"question": task.messages[-1].content, "right_answers": list(golds), "answer": answer}
    data = json.dumps(asked, ensure_ascii=False)
    fence = f"=== {hashlib.blake2b(data.encode('utf-8', 'replace'), digest_size=6).hexdigest()} ==="
    values = {"data": data, "fence": fence, "rule": RULES.get(kind, "")}
    messages, prefill = load_prompt("answer_judge").fill(values)
    schema = JudgedAnswer.model_json_schema()
    return ChatRequest(messages=messages, prefill=prefill, sampling=sampling, reply_schema=schema)
