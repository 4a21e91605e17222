"""Which endpoint serves a role: the recipe's, the settings', else the embedded engine. Opened when first needed."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence

from phronesis.agents.client.endpoint import Endpoint
from phronesis.agents.client.profile import Capability, model_changed
from phronesis.agents.client.replicas import Replicas
from phronesis.agents.client.retry import RetryRule
from phronesis.agents.scorers.table import choose_scorer, united
from phronesis.core.chat import Batch, ChatRequest, LabelProbabilities
from phronesis.core.ports import Observer
from phronesis.core.reward import RewardRequest, Rewards
from phronesis.core.settings import DEFAULT_MODEL, Settings, addresses
from phronesis.graphs.recipe import ModelSection, Recipe
from phronesis.models.embedded import EngineLease, lease_engine

Served = Endpoint | Replicas
_OPEN: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, ...], Served]] = weakref.WeakKeyDictionary()
_LEASES: dict[str, EngineLease] = {}


class RoleEndpoint:
    """The endpoint of a role. Nothing is started or asked before the first call, so a replay needs no server."""

    def __init__(
        self, section: ModelSection, settings: Settings, *, pinned: str | None = None, observer: Observer | None = None
    ) -> None:
        """``pinned``: the model's name as the run's journal has it. ``observer``: is shown single completions as they
        come."""
        self._observer = observer
        self._section = section
        self._settings = settings
        self._pinned = pinned
        self._endpoint: Served | None = None
        self._opening = asyncio.Lock()

    @property
    def model(self) -> str:
        """The model's name as far as it is known."""
        found = self._endpoint.model if self._endpoint else ""
        return found or self._pinned or self._section.model or ""

    async def open(self) -> Served:
        """The endpoint, found or started. Raises SetupError, ModelChanged where another model than the pinned one serves."""
        async with self._opening:
            if self._endpoint is None:
                self._endpoint = await _resolve(self._section, self._settings, self._pinned)
        return self._endpoint

    async def require(self, capabilities: Sequence[Capability], *, who: str) -> None:
        """Raises CapabilityMissing for the first one the endpoint lacks."""
        await (await self.open()).require(capabilities, who=who)

    async def chunks(self, n: int, request: ChatRequest) -> Sequence[int]:
        return await (await self.open()).chunks(n, request)

    async def complete(self, request: ChatRequest, n: int) -> Batch:
        served, observer = await self.open(), self._observer
        if observer is None or n > 1 or not observer.begin():
            return await served.complete(request, n)
        try:
            return await served.complete_streamed(request, observer)
        finally:
            observer.end()

    async def complete_streamed(self, request: ChatRequest, observer: Observer) -> Batch:
        return await (await self.open()).complete_streamed(request, observer)

    async def label_probabilities(
        self, request: ChatRequest, labels: Sequence[str]
    ) -> tuple[LabelProbabilities, Batch]:
        return await (await self.open()).label_probabilities(request, labels)

    async def reward(self, request: RewardRequest) -> tuple[Rewards, Batch]:
        return await (await self.open()).reward(request)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        async for piece in (await self.open()).stream(request):
            yield piece

    async def tokens(self, text: str) -> int:
        return await (await self.open()).tokens(text)

    async def tool_calls(self) -> bool:
        return await (await self.open()).tool_calls()


def roles_of(recipe: Recipe) -> dict[str, tuple[Capability, ...]]:
    """What a run of the recipe asks of each role's endpoint."""
    roles = dict(recipe.strategy.needs(recipe.knobs))
    memory = recipe.file.memory
    if memory.mode == "write":
        roles.setdefault("abstractor", ())
    if memory.mode != "off":
        if memory.select != "none" or memory.describe:
            roles.setdefault("selector", ())
        if memory.skip_easy:
            roles.setdefault("solver", ())
    if memory.mode in ("read", "write"):
        roles = united((roles, choose_scorer(memory.verifier).roles))
    return roles


def endpoints_for(
    roles: Sequence[str],
    sections: Mapping[str, ModelSection],
    settings: Settings,
    pinned: Mapping[str, str],
    *,
    observer: Observer | None = None,
) -> dict[str, RoleEndpoint]:
    """An endpoint per role; roles with the same section share one."""
    default = sections.get("default", ModelSection())
    made: dict[str, RoleEndpoint] = {}
    found: dict[str, RoleEndpoint] = {}
    for role in roles:
        own = sections.get(role, ModelSection())
        merged = ModelSection(
            model=own.model or default.model,
            base_urls=own.addresses or default.addresses,
            api_key=own.api_key or default.api_key,
        )
        key = merged.model_dump_json()
        if key not in made:
            made[key] = RoleEndpoint(merged, settings, pinned=pinned.get(role), observer=observer)
        found[role] = made[key]
    return found


async def _resolve(section: ModelSection, settings: Settings, pinned: str | None) -> Served:
    urls, key = section.addresses or addresses(settings.base_url or ""), section.api_key
    model = section.model or settings.model
    if key is None and settings.api_key is not None:
        key = settings.api_key.get_secret_value()
    if not urls:
        lease = await _lease(model or DEFAULT_MODEL, settings)
        if pinned and lease.model != pinned:
            raise model_changed(pinned, "the embedded engine serves", [lease.model])
        urls, key, model = (lease.base_url,), lease.api_key, lease.model
    urls = tuple(_whole(url) for url in urls)
    opened = _OPEN.setdefault(asyncio.get_running_loop(), {})
    model = pinned or model
    identity = (*urls, model or "", key or "", "pinned" if pinned else "")
    if identity not in opened or opened[identity].stale:
        found = [_endpoint(url, key, model, settings, pinned=bool(pinned)) for url in urls]
        retry = RetryRule(retries=settings.retries)
        opened[identity] = found[0] if len(found) == 1 else Replicas(endpoints=found, retry=retry)
    return opened[identity]


def _whole(url: str) -> str:
    url = url.rstrip("/")
    return url if url.endswith("/v1") else f"{url}/v1"


def _endpoint(url: str, key: str | None, model: str | None, settings: Settings, *, pinned: bool) -> Endpoint:
    return Endpoint(
        base_url=url,
        api_key=key,
        wanted_model=model,
        pinned=pinned,
        send_seed=settings.send_seed,
        concurrency=settings.concurrency,
        limiter=settings.limiter,
        timeout=settings.timeout,
        retry=RetryRule(retries=settings.retries),
    )


async def _lease(model: str, settings: Settings) -> EngineLease:
    """One lease per model and process, held until the process ends; an engine that stopped is started again."""
    held = _LEASES.pop(model, None)
    fresh = await lease_engine(model, settings)
    if held is not None:
        held.close()
    _LEASES[model] = fresh
    return fresh
