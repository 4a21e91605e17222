"""Which endpoint serves a role: the recipe's, the settings', else the embedded engine. Opened when first needed."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence

from phronesis.agents.client.endpoint import Endpoint
from phronesis.agents.client.profile import Capability
from phronesis.agents.client.retry import RetryRule
from phronesis.core.chat import Batch, ChatRequest, LabelProbabilities
from phronesis.core.settings import DEFAULT_MODEL, Settings
from phronesis.graphs.recipe import ModelSection
from phronesis.models.embedded import EngineLease, lease_engine

_OPEN: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, ...], Endpoint]] = (
    weakref.WeakKeyDictionary()
)
_LEASES: dict[str, EngineLease] = {}


class RoleEndpoint:
    """The endpoint of a role. Nothing is started or asked before the first call, so a replay needs no server."""

    def __init__(self, section: ModelSection, settings: Settings, *, pinned: str | None = None) -> None:
        """``pinned``: the model's name as the run's journal has it."""
        self._section = section
        self._settings = settings
        self._pinned = pinned
        self._endpoint: Endpoint | None = None
        self._opening = asyncio.Lock()

    @property
    def model(self) -> str:
        """The model's name as far as it is known."""
        return self._endpoint.model if self._endpoint else (self._pinned or self._section.model or "")

    async def open(self) -> Endpoint:
        """The endpoint, found or started. Raises SetupError."""
        async with self._opening:
            if self._endpoint is None:
                self._endpoint = await _resolve(self._section, self._settings)
                await self._endpoint.profile()
        return self._endpoint

    async def require(self, capabilities: Sequence[Capability], *, who: str) -> None:
        """Raises CapabilityMissing for the first one the endpoint lacks."""
        await (await self.open()).require(capabilities, who=who)

    async def chunks(self, n: int, request: ChatRequest) -> Sequence[int]:
        return await (await self.open()).chunks(n, request)

    async def complete(self, request: ChatRequest, n: int) -> Batch:
        return await (await self.open()).complete(request, n)

    async def label_probabilities(
        self, request: ChatRequest, labels: Sequence[str]
    ) -> tuple[LabelProbabilities, Batch]:
        return await (await self.open()).label_probabilities(request, labels)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        async for piece in (await self.open()).stream(request):
            yield piece

    async def tokens(self, text: str) -> int:
        return await (await self.open()).tokens(text)


def endpoints_for(
    roles: Sequence[str], sections: Mapping[str, ModelSection], settings: Settings, pinned: Mapping[str, str]
) -> dict[str, RoleEndpoint]:
    """An endpoint per role; roles with the same section share one."""
    default = sections.get("default", ModelSection())
    made: dict[str, RoleEndpoint] = {}
    found: dict[str, RoleEndpoint] = {}
    for role in roles:
        own = sections.get(role, ModelSection())
        merged = ModelSection(
            model=own.model or default.model,
            base_url=own.base_url or default.base_url,
            api_key=own.api_key or default.api_key,
        )
        key = merged.model_dump_json()
        if key not in made:
            made[key] = RoleEndpoint(merged, settings, pinned=pinned.get(role))
        found[role] = made[key]
    return found


async def _resolve(section: ModelSection, settings: Settings) -> Endpoint:
    url, key = section.base_url or settings.base_url, section.api_key
    model = section.model or settings.model
    if key is None and settings.api_key is not None:
        key = settings.api_key.get_secret_value()
    if url is None:
        lease = await _lease(model or DEFAULT_MODEL, settings)
        url, key, model = lease.base_url, lease.api_key, lease.model
    url = url.rstrip("/")
    url = url if url.endswith("/v1") else f"{url}/v1"
    opened = _OPEN.setdefault(asyncio.get_running_loop(), {})
    identity = (url, model or "", key or "")
    if identity not in opened:
        opened[identity] = Endpoint(
            base_url=url,
            api_key=key,
            wanted_model=model,
            send_seed=settings.send_seed,
            concurrency=settings.concurrency,
            timeout=settings.timeout,
            retry=RetryRule(retries=settings.retries),
        )
    return opened[identity]


async def _lease(model: str, settings: Settings) -> EngineLease:
    """One lease per model and process, held until the process ends; an engine that stopped is started again."""
    held = _LEASES.pop(model, None)
    fresh = await lease_engine(model, settings)
    if held is not None:
        held.close()
    _LEASES[model] = fresh
    return fresh
