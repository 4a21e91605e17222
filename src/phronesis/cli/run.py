"""``phronesis run``: one question, or a data set, through a recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """
Examples:

  phronesis run self_consistency "A box holds 12 pencils. Mia buys 3 boxes and gives 8 away. How many are left?"

  phronesis run magicore --json --set knobs.k=4 --budget calls=20,seconds=120 "..."

  phronesis run magicore --dataset problems.jsonl --out results.jsonl

  phronesis run rag --kb papers "Which of them measures recall?"

  phronesis run react --tool calculator --tool "python(seconds=5)" --approve all "..."

  phronesis run self_consistency --verify "generative(votes=4)" --verify-ask reject "..."

  cat question.txt | phronesis run direct -
"""


def run(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name or a path to a .toml file.")],
    question: Annotated[str | None, typer.Argument(help="The problem; - reads it from standard input.")] = None,
    dataset: Annotated[Path | None, typer.Option(help="JSONL file with a task a line (question, id ...).")] = None,
    out: Annotated[
        Path | None, typer.Option(help="JSONL file for results; tasks it already holds are skipped.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="Memory session; turns the memory on (mode write).")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory mode: off, read, frozen or write.")] = None,
    mount: Annotated[
        list[str] | None,
        typer.Option(
            help="Another memory to recall from, never written to; repeatable. Turns the memory on (mode read)."
        ),
    ] = None,
    kb: Annotated[str | None, typer.Option(metavar="NAME", help="Knowledge base to search (retrieval.kb).")] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC", help="A further tool, like calculator or 'python(seconds=5)'; repeatable (tools.use)."
        ),
    ] = None,
    approve: Annotated[
        str | None,
        typer.Option(help="Before which tool calls a person is asked: dangerous, all or none (tools.approve)."),
    ] = None,
    verify: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="A verifier around the recipe, like deep_verifier or 'generative(votes=4)' (verify.strategy).",
        ),
    ] = None,
    verify_ask: Annotated[
        str | None,
        typer.Option(help="Which verdicts a person is asked about: accept, reject, unsure, all or none (verify.ask)."),
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a recipe key, KEY=VALUE.")] = None,
    budget: Annotated[str | None, typer.Option(help="Limits, for example calls=40,seconds=120.")] = None,
    parallel: Annotated[
        int, typer.Option(help="Tasks of a data set side by side; within a batch where the memory learns.", min=1)
    ] = 4,
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream",
            help="Show a single question's replies as they are written; the default on a terminal, and only there.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the Result as JSON, nothing else.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and what it may cost.")] = False,
    no_texts: Annotated[
        bool, typer.Option("--no-texts", help="Leave prompts and replies out of the journal; no resume then.")
    ] = False,
) -> None:
    """Run a recipe on a question or a data set."""
    from phronesis.cli import sessions
    from phronesis.cli.values import budget_of, settings_of
    from phronesis.core.errors import ConfigurationError
    from phronesis.core.task import as_task
    from phronesis.graphs.recipe import Recipe

    overrides = {**settings_of(set_ or [], option="--set"), **budget_of(budget)}
    if session is not None:
        overrides["memory.session"] = session
    if mount:
        overrides["memory.mounts"] = mount
    given = {"retrieval.kb": kb, "tools.approve": approve, "verify.strategy": verify, "verify.ask": verify_ask}
    overrides |= {key: value for key, value in given.items() if value is not None}
    if tool:
        named = Recipe.load(recipe, overrides=overrides).file.tools.use
        overrides["tools.use"] = list(dict.fromkeys((*named, *tool)))
    loaded = Recipe.load(recipe, overrides=overrides)
    mode = memory
    if mode is None and loaded.file.memory.mode == "off" and (session is not None or mount):
        mode = "write" if session is not None else "read"
    if mode is not None:
        loaded = Recipe.load(recipe, overrides={**overrides, "memory.mode": mode})
    if (question is None) == (dataset is None):
        raise ConfigurationError("give a QUESTION or --dataset FILE, and not both", mend="see phronesis run --help")
    if stream and (json or dataset is not None):
        other = "--json" if json else "--dataset"
        raise ConfigurationError(f"--stream does not go with {other}", mend=f"leave out --stream or {other}")
    if question == "-":
        question = sys.stdin.read()
    tasks = None if question is None else [as_task(question)]
    if dry_run:
        sessions.show_plan(loaded, dataset=dataset, json=json)
        return
    if tasks is not None:
        code = sessions.run_question(loaded, tasks[0], json=json, texts=not no_texts, stream=stream is not False)
    else:
        assert dataset is not None
        code = sessions.run_dataset(loaded, dataset, out, json=json, parallel=parallel, texts=not no_texts)
    raise typer.Exit(code)


run.__doc__ = f"{run.__doc__}\n\n\b{EXAMPLES}"
