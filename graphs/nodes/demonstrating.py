"""What strategies with demonstrations share: reading the file once per run, pinning what it held, measuring prompts."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from phronesis.agents.demonstrations import Demonstrations, read_demonstrations
from phronesis.core.chat import ChatRequest, request_hash
from phronesis.core.errors import ContextOverflow
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.graphs.recipe_path import RecipePath
from phronesis.graphs.strategy import Knobs


class DemonstratedKnobs(Knobs):
    """Knobs of strategies that show demonstrations."""

    m: int = Field(default=0, ge=0)
    """Demonstrations before the question: the first m of ``demos``. The paper: 0 to 256."""
    demos: RecipePath = ""
    """JSONL file of demonstrations, beside the recipe or by its whole path; ``phronesis demos make`` writes one."""

    @model_validator(mode="after")
    def _named(self) -> DemonstratedKnobs:
        if self.m and not self.demos:
            raise ValueError(f"m = {self.m} demonstrations are wanted and demos names no file")
        return self


def demonstrations_of(knobs: DemonstratedKnobs) -> Demonstrations | None:
    """The file that the knobs name, read and long enough; None where none is shown. Raises ConfigurationError."""
    if not knobs.m:
        return None
    found = read_demonstrations(knobs.demos)
    found.first(knobs.m)
    return found


async def pin(ctx: RunContext, found: Demonstrations | None, m: int) -> None:
    """Journals what the file held; a resume over another one raises ReplayDiverged before anything is paid."""
    if found is None:
        return

    async def shown() -> dict[str, Any]:
        return {"shown": m}

    key = f"{ctx.root.path}#demonstrations"
    await ctx.effects.effect(key, {"hash": found.hash, "m": m}, shown, note={"role": "demonstrations"})


async def measured(ctx: RunContext, client: ChatClient, request: ChatRequest, key: str) -> int:
    """Length of the prompt in tokens as the server counts, journalled under the key."""
    text = "\n".join([*(message.content for message in request.messages), request.prefill]).strip()

    async def count() -> int:
        return await client.tokens(text)

    asked = {"prompt": request_hash(request.to_json())}
    return int(await ctx.effects.effect(key, asked, count, note={"role": "tokens"}))


def too_long(site: Site, tokens: int, limit: int, name: str) -> ContextOverflow:
    """The rejection of a prompt that is not sent."""
    return ContextOverflow(
        f"{site.where}: the prompt has {tokens} tokens, more than {name} = {limit}; nothing was sent",
        mend=f"fewer documents or demonstrations (knobs.k, knobs.m), shorter ones (knobs.passage_characters), or a "
        f"higher knobs.{name}",
        tokens=tokens,
        limit=limit,
    )
