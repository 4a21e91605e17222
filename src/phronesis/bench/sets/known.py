"""Known sets: what each measures, under which licence, and how its rows become examples."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from phronesis.bench.sets import adapters_code as code
from phronesis.bench.sets import adapters_maths as maths
from phronesis.bench.sets import adapters_plans as plans
from phronesis.bench.sets import adapters_puzzles as puzzles
from phronesis.bench.sets import adapters_reading as reading
from phronesis.bench.sets import adapters_words as words
from phronesis.bench.sets.adapter import NoOptions, Prepare, plain

CC_PLAN = "CC BY 4.0"
APACHE = "Apache-2.0"


@dataclass(frozen=True, kw_only=True)
class KnownSet:
    """A set that is known by name."""

    name: str
    measures: str
    licence: str
    prepare: Prepare
    options: type[BaseModel] = NoOptions


def _set(
    name: str, measures: str, licence: str, prepare: Prepare, options: type[BaseModel] = NoOptions
) -> tuple[str, KnownSet]:
    return name, KnownSet(name=name, measures=measures, licence=licence, prepare=prepare, options=options)


KNOWN: dict[str, KnownSet] = dict(
    (
        _set("gsm8k", "grade-school word problems, test split", "MIT", plain(maths.gsm8k)),
        _set("gsm8k_train", "the same, train split: for tuning and for memories", "MIT", plain(maths.gsm8k)),
        _set("gsm_symbolic_rg", "GSM8K-like templates with other names and numbers", APACHE, plain(maths.gsm_symbolic)),
        _set("svamp", "one or two steps of arithmetic among irrelevant facts", "MIT", plain(maths.svamp)),
        _set("math500", "competition mathematics by level", "MIT", plain(maths.math500)),
        _set("mmlu_math", "multiple choice: the mathematics subjects of MMLU", "MIT", plain(maths.lettered)),
        _set("sat_math", "multiple choice: SAT mathematics", "MIT", plain(maths.lettered)),
        _set("bbh", "27 kinds of symbolic and common-sense reasoning", "MIT", plain(words.bbh)),
        _set("strategyqa", "yes or no over implicit steps", "MIT", plain(words.strategyqa)),
        _set("countdown", "search: an expression that makes a target", "own work", plain(puzzles.countdown)),
        _set("game24", "search: four numbers to 24, by difficulty", "MIT", plain(puzzles.game24)),
        _set("equation_balancer", "a procedure to learn: fill in the operators", "MIT", plain(puzzles.balancer)),
        _set("reasoning_gym", "22 generators at three levels", APACHE, plain(puzzles.gym)),
        _set("arc_agi1", "abstraction from a few grids", APACHE, plain(puzzles.arc)),
        _set("natural_plan_trip", "ordering cities under constraints", CC_PLAN, plain(plans.trip)),
        _set("natural_plan_meeting", "meeting most friends in a day", CC_PLAN, plain(plans.meeting)),
        _set("natural_plan_calendar", "finding a time that suits all", CC_PLAN, plain(plans.calendar)),
        _set("humaneval", "functions from docstrings, by execution", "MIT, Apache-2.0", plain(code.humaneval)),
        _set("mbpp", "functions from a sentence, by execution", "CC BY 4.0", code.mbpp, code.MbppOptions),
        _set(
            "hotpotqa",
            "two-hop questions over ten paragraphs",
            "CC BY-SA 4.0",
            reading.multihop("type"),
            reading.Reading,
        ),
        _set(
            "2wikimultihopqa", "two to four hops over ten paragraphs", APACHE, reading.multihop("type"), reading.Reading
        ),
        _set(
            "musique", "two to four hops that resist shortcuts", "CC BY 4.0", reading.multihop("hops"), reading.Reading
        ),
        _set("nq_open", "single-hop facts", "CC BY-SA 3.0", reading.nq_open, reading.OpenReading),
        _set("bamboogle", "two-hop facts, closed book", "MIT", plain(reading.bamboogle)),
        _set("spider_tiny", "SQL queries over small databases", "CC BY-SA 4.0", code.spider),
        _set("longmemeval", "what earlier conversations said", "MIT", plain(reading.longmemeval)),
    )
)
"""By name, in the order of lists."""

FOR_VERIFIERS: dict[str, str] = {
    "processbench": "holds solutions with the first wrong step marked: it tests verifiers and reviewers",
    "llmbar": "holds pairs of outputs with the better one marked: it tests judges",
}
"""Sets that ask nothing a recipe could answer."""
