"""A chat client without a run: nothing is journalled, nothing is metered, nothing is replayed."""

from __future__ import annotations

from collections.abc import Sequence

from phronesis.core.chat import ChatRequest, LabelProbabilities, Reply, with_seed
from phronesis.core.errors import ModelError
from phronesis.core.reward import RewardRequest, Rewards
from phronesis.core.seeds import derive
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.graphs.endpoints import RoleEndpoint


class DirectClient:
    """Calls an endpoint. Seeds follow from ``seed`` and the place of the call."""

    def __init__(self, endpoint: RoleEndpoint, *, seed: int = 0) -> None:
        self._endpoint = endpoint
        self._seed = seed

    @property
    def model(self) -> str:
        return self._endpoint.model

    async def sample(self, request: ChatRequest, n: int, *, site: Site) -> tuple[Reply, ...]:
        """n replies in index order. A failed exchange fails its own samples only."""
        cuts, first = list[tuple[int, int]](), 0
        for count in await self._endpoint.chunks(n, request):
            cuts.append((first, count))
            first += count
        parts = await side_by_side([self._exchange(request, first, count, site) for first, count in cuts])
        return tuple(reply for part in parts for reply in part)

    async def _exchange(self, request: ChatRequest, first: int, count: int, site: Site) -> tuple[Reply, ...]:
        seeded = with_seed(request, derive(self._seed, site.key, first))
        try:
            return tuple((await self._endpoint.complete(seeded, count)).completions)
        except ModelError as error:
            return (error,) * count

    async def label_probabilities(
        self, request: ChatRequest, labels: Sequence[str], *, site: Site
    ) -> LabelProbabilities:
        return (await self._endpoint.label_probabilities(request, labels))[0]

    async def reward(self, request: RewardRequest, *, site: Site) -> Rewards:
        return (await self._endpoint.reward(request))[0]

    async def tokens(self, text: str) -> int:
        return await self._endpoint.tokens(text)

    async def tool_calls(self, *, site: Site) -> bool:
        return await self._endpoint.tool_calls()
