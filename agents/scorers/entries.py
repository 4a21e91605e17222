"""Table entries of the scorers that need no file of their own for them."""

from __future__ import annotations

from phronesis.agents.judge import Judge
from phronesis.agents.scorers.arithmetic import Arithmetic
from phronesis.agents.scorers.judged import Judged
from phronesis.agents.scorers.self_certainty import AnswerCertainty, SelfCertainty
from phronesis.agents.scorers.table import ScorerCalls, ScorerEntry

SELF_CERTAINTY = ScorerEntry(
    name="self_certainty",
    kind="outcome",
    summary="exp(mean log-probability) of the attempt; free",
    build=lambda around, options: SelfCertainty(),
    logprobs=lambda options: True,
)
ANSWER_CERTAINTY = ScorerEntry(
    name="answer_certainty",
    kind="outcome",
    summary="exp(mean log-probability) of the marked answer's tokens; free",
    build=lambda around, options: AnswerCertainty(),
    logprobs=lambda options: True,
)
ARITHMETIC = ScorerEntry(
    name="arithmetic",
    kind="step",
    summary="every written equation worked out again; free and exact",
    build=lambda around, options: Arithmetic(),
)
JUDGE = ScorerEntry(
    name="judge",
    kind="outcome",
    summary="P(Yes) to 'is the final answer correct?', no reasoning; 1 call an attempt",
    build=lambda around, options: Judged(Judge(client=around.client("judge"))),
    calls=lambda options: ScorerCalls(attempt=1),
    roles=lambda options: {"judge": ("logprobs", "prefill")},
)
