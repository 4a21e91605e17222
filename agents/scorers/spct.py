"""SPCT judge: writes its own principles, then a critique, then scores; several such runs vote, and a filter drops the worst.

Source: Inference-Time Scaling for Generalist Reward Modeling (arXiv 2504.02495), with a prompted judge instead of
DeepSeek-GRM; ``think_more`` is J1's simple test-time scaling (budget forcing), which helps trained judges only, as its
authors found. Each run sees the responses in an order of its own. A run whose reply cannot be read is dropped, not asked
again: k runs are k calls. Two stand-ins for the meta reward model: agreement with the other runs, which costs nothing, and a
model that is asked whether a run's evaluation is sound and consistent with its principles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from phronesis.agents.client.profile import Capability
from phronesis.agents.prompt import load_prompt
from phronesis.agents.scorers.table import ScorerCalls, ScorerContext, ScorerEntry, ScorerOptions
from phronesis.agents.verification.panel import MOST, leaders, sheet_code, shown_attempts
from phronesis.agents.verification.principled import (
    JudgeRun,
    judgement_form,
    judgement_type,
    meta_type,
    read_judgement,
    read_soundness,
)
from phronesis.agents.verification.run_votes import Tally, agreements, kept, tally
from phronesis.core.chat import ChatRequest, Completion, Sampling, completion_of
from phronesis.core.errors import BudgetExhausted, MalformedReply, ModelError
from phronesis.core.result import Candidate
from phronesis.core.seeds import generator
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.core.task import Task

_ALTERNATIVES = 5


class SpctOptions(ScorerOptions):
    """What can be set."""

    k: int = Field(default=4, ge=1, le=64)
    """Runs; the paper goes up to 32."""
    meta: Literal["agreement", "judge", "none"] = "agreement"
    """What a run is kept for: agreement with the mean of the others (no call), a judge's word on it (1 call a run), or
    nothing: all are kept. The paper's: a trained meta reward model."""
    k_meta: int | None = Field(default=None, ge=1)
    """Runs that are kept; None = half of k, rounded up. k = the plain vote."""
    meta_reading: Literal["probability", "verdict"] = "probability"
    """Whether the meta judge's yes counts with its probability (needs logprobs), or as 1."""
    think_more: int = Field(default=0, ge=0, le=8)
    """t, times a run that wants to end its critique has to think on, one call each; needs prefill. J1's finding: nothing
    is gained by judges that were not trained for it."""
    accept_at: int = Field(default=6, ge=1, le=10)
    """Mean score from which a response is accepted."""
    answers: int = Field(default=4, ge=1, le=MOST)
    """Different answers judged, in the order they were first given; the others get no figure."""
    max_tokens: int = Field(default=800, ge=16)
    """Longest reply."""
    temperature: float = Field(default=0.5, ge=0)
    """Of the judge; the paper's. When it is low all runs go by the same principles."""

    @field_validator("k_meta")
    @classmethod
    def _some(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and value > info.data.get("k", value):
            raise ValueError(f"k_meta must not be more than k = {info.data['k']}")
        return value

    @property
    def filtered(self) -> int:
        """Runs that are kept."""
        return self.k if self.meta == "none" else self.k_meta or (self.k + 1) // 2

    @property
    def asks(self) -> bool:
        """Whether runs are judged by a call: not when all are kept."""
        return self.meta == "judge" and self.filtered < self.k

    @property
    def chain(self) -> int:
        """Calls of one run, one after another."""
        return 1 + self.think_more + self.asks


@dataclass(frozen=True, kw_only=True)
class Spct:
    """S_i / (10 runs kept) for the attempts of each answer, in (0, 1], ranked by sums, then first places, then order. k calls
    side by side, t more in a row for each, and 1 for each run where a judge filters them. Runs that cannot be read are
    dropped; without any there is no figure."""

    around: ScorerContext
    options: SpctOptions
    name: str = "spct_judge"

    def calls_for(self, candidates: Sequence[Candidate]) -> int:
        return _calls(self.options).task if leaders(candidates, self.options.answers) else 0

    async def score(self, task: Task, candidates: Sequence[Candidate], *, site: Site) -> tuple[float | None, ...]:
        judged = leaders(candidates, self.options.answers)
        if not judged:
            return (None,) * len(candidates)
        numbers = range(self.options.k)
        names = {f"{site.key}.run{number}": self.options.chain for number in numbers}
        accounts = site.branch.account.split(names)
        places = [site.at(f"r{number}").paid_by(accounts[f"{site.key}.run{number}"]) for number in numbers]
        try:
            runs = await side_by_side([self._run(task, judged, place) for place in places])
        finally:
            site.branch.account.join(tuple(names))
        if all(run.error is not None for run in runs):
            raise runs[0].error  # type: ignore[misc]  # every run was just checked
        marked = self._marked(runs)
        found = tally([run.scores for run in marked if run.kept])
        self._note(judged, marked, found, site)
        by_answer = dict(zip([item.answer for item in judged], found.figures, strict=False))
        return tuple(None if item.answer is None else by_answer.get(item.answer) for item in candidates)

    def _marked(self, runs: Sequence[JudgeRun]) -> list[JudgeRun]:
        """The runs with their meta scores, and those that are kept."""
        read = [index for index, run in enumerate(runs) if run.judgement is not None]
        metas = [runs[index].meta for index in read]
        if self.options.meta == "agreement":
            metas = [*agreements([runs[index].scores for index in read])]
        chosen = {read[place] for place in kept(metas, self.options.filtered)}
        known = dict(zip(read, metas, strict=True))
        return [replace(run, meta=known.get(index), kept=index in chosen) for index, run in enumerate(runs)]

    async def _run(self, task: Task, judged: Sequence[Candidate], site: Site) -> JudgeRun:
        """One run; what went wrong with it is its value, so that the others go on."""
        mixed = list(range(len(judged)))
        generator(0, task.id, site.key).shuffle(mixed)
        run = JudgeRun(tuple(mixed))
        shown = shown_attempts([judged[index] for index in mixed])
        code = sheet_code(task.question, shown)
        try:
            said = await self._said(self._request(task, shown, code, len(mixed)), site.as_role("judge"))
            judgement = read_judgement(said, len(mixed), code)
        except MalformedReply as error:
            return replace(run, dropped=error.message)
        except (ModelError, BudgetExhausted) as error:
            return replace(run, error=error, dropped=f"{type(error).__name__}: {error.message}")
        run = await self._thinking_on(replace(run, judgement=judgement), task, shown, code, site.as_role("judge"))
        return await self._checked(run, task, shown, site.as_role("meta")) if self.options.asks else run

    async def _thinking_on(self, run: JudgeRun, task: Task, shown: str, code: str, site: Site) -> JudgeRun:
        """The run after the continuations; one that cannot be read leaves what was read last."""
        for turn in range(1, self.options.think_more + 1):
            assert run.judgement is not None
            opened = run.judgement.opened
            request = replace(self._request(task, shown, code, len(run.order)), prefill=opened, reply_schema=None)
            try:
                said = await self._said(request, site.at(f"more{turn}"))
                further = read_judgement(replace(said, text=opened + said.text), len(run.order), code)
            except (ModelError, BudgetExhausted):
                return run
            run = replace(run, judgement=further, thought=turn)
        return run

    async def _checked(self, run: JudgeRun, task: Task, shown: str, site: Site) -> JudgeRun:
        """The run with what the meta judge makes of it; None where it cannot tell."""
        assert run.judgement is not None
        evaluation = run.judgement.shown
        code = sheet_code(task.question, f"{shown}\n{evaluation}")
        values = {"question": task.question, "attempts": shown, "evaluation": evaluation, "code": code}
        messages, _ = load_prompt("spct_meta").fill(values, history=task.history)
        request = ChatRequest(
            messages=messages,
            sampling=self.around.sampling("meta", Sampling(temperature=0.0, top_p=1.0, max_tokens=200)),
            reply_schema=meta_type(code).model_json_schema(),
            logprobs=_ALTERNATIVES if self.options.meta_reading == "probability" else 0,
        )
        try:
            return replace(run, meta=read_soundness(await self._said(request, site), code))
        except (ModelError, BudgetExhausted):
            return run

    async def _said(self, request: ChatRequest, site: Site) -> Completion:
        (reply,) = await self.around.client(site.role).sample(request, 1, site=site)
        return completion_of(reply)

    def _request(self, task: Task, shown: str, code: str, count: int) -> ChatRequest:
        each = "the solution a score" if count == 1 else "each solution a score, in the order of the letters"
        values = {
            "question": task.question,
            "attempts": shown,
            "order": "The order of the solutions means nothing." if count > 1 else "",
            "scale": f"give {each}, in whole numbers from 1 (certainly wrong) to 10 (certainly right).",
            "form": judgement_form(code),
        }
        messages, _ = load_prompt("spct_judge").fill(values, history=task.history)
        default = Sampling(temperature=self.options.temperature, top_p=0.95, max_tokens=self.options.max_tokens)
        schema = judgement_type(count, code).model_json_schema()
        return ChatRequest(messages=messages, sampling=self.around.sampling("judge", default), reply_schema=schema)

    def _note(self, judged: Sequence[Candidate], runs: Sequence[JudgeRun], found: Tally, site: Site) -> None:
        self.around.note(
            f"{site.key}.spct",
            {
                "rule": "spct",
                "of": [item.id for item in judged],
                "runs": [run.to_json() for run in runs],
                "dropped": sum(run.judgement is None for run in runs),
                "sums": list(found.sums),
                "first_places": list(found.first_places),
                "tied": found.tied,
                "figures": list(found.figures),
            },
        )


def _calls(options: SpctOptions) -> ScorerCalls:
    return ScorerCalls(task=options.k * options.chain, task_depth=options.chain)


def _roles(options: SpctOptions) -> dict[str, tuple[Capability, ...]]:
    judge: dict[str, tuple[Capability, ...]] = {"judge": ("prefill",) if options.think_more else ()}
    meta: tuple[Capability, ...] = ("logprobs",) if options.meta_reading == "probability" else ()
    return {**judge, "meta": meta} if options.asks else judge


ENTRY = ScorerEntry(
    name="spct_judge",
    kind="group",
    summary="runs that write principles, a critique, then scores vote; the worst are dropped; k calls a task",
    build=lambda around, options: Spct(around=around, options=options),
    options=SpctOptions,
    calls=_calls,
    roles=_roles,
    accept=lambda options: options.accept_at / 10,
)
