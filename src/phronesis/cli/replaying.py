"""``phronesis runs replay``: the replay with its progress, and what the recording served."""

from __future__ import annotations

import sys
from collections import Counter

import orjson
import typer

from phronesis.cli.progress import Progress
from phronesis.cli.sessions import Take, carried_out, collect
from phronesis.core.loop import run_sync
from phronesis.graphs.replay import Changes, Replay, start_replay


def carry_out(run_id: str, changes: Changes, *, json: bool, parallel: int) -> int:
    """Replays a run and shows what came out; the exit code."""
    opened: list[Replay] = []

    async def work(progress: Progress, take: Take) -> None:
        replay = await start_replay(run_id, changes, listener=progress.hear)
        opened.append(replay)
        async with replay.run as run:
            progress.run_id, progress.total = run.id, len(replay.tasks)
            await collect(run, replay.tasks, take, parallel=parallel)

    code = carried_out(work, None, None, json=json, table=True)
    for line in _told(opened[0], changes):
        print(line, file=sys.stderr)
    return code


def _told(replay: Replay, changes: Changes) -> list[str]:
    lines = [f"replayed from {replay.run.replayed_from}: {_counted(replay.served) or 'nothing'} served"]
    if replay.made:
        lines[0] += f", {_counted(replay.made)} made"
    if replay.missing:
        calls = replay.missing.total() + (changes.calls if changes.calls else 0)
        lines.append(f"missing in the recording: {_counted(replay.missing)}; allow them with --calls {calls} or more")
    if replay.lacking:
        lines.append(f"missing in the recording, and no call can bring it: {_counted(replay.lacking)}; start a run")
    if replay.left_out:
        lines.append(f"{replay.left_out} tasks left out: nothing of them was recorded")
    if replay.run.recipe.file.memory.mode != "off":
        lines.append("the memory was not opened: recalled concepts came from the recording, and nothing was learned")
    return lines


def dry_run(run_id: str, changes: Changes, *, json: bool) -> int:
    """Says how many effects the recording would serve and how many calls are missing, without a run folder or a call."""

    async def work() -> Replay:
        replay = await start_replay(run_id, changes, dry=True)
        async with replay.run as run:
            async for _ in run.solve_all(replay.tasks):
                pass
        return replay

    replay = run_sync(work())
    if json:
        told = {
            "run": run_id,
            "strategy": replay.run.recipe.strategy.name,
            "changes": changes.to_json(),
            "tasks": len(replay.tasks),
            "left_out": replay.left_out,
            "served": dict(replay.served),
            "missing": dict(replay.missing),
            "lacking": dict(replay.lacking),
        }
        typer.echo(orjson.dumps(told).decode())
        return 0
    typer.echo(f"{len(replay.tasks)} task(s) through {replay.run.recipe.strategy.name}, from the recording of {run_id}")
    typer.echo(f"served: {_counted(replay.served) or 'nothing'}")
    typer.echo(f"missing: {_counted(replay.missing) or 'nothing'}")
    if replay.missing:
        typer.echo("and what would follow from the missing replies; allow calls with --calls N")
    if replay.lacking:
        typer.echo(f"missing, and no call can bring it: {_counted(replay.lacking)}")
    if replay.left_out:
        typer.echo(f"{replay.left_out} tasks would be left out: nothing of them was recorded")
    return 0


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
