"""What an endpoint can do, found out once per process by asking it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from phronesis.core.errors import CapabilityMissing, ModelChanged

Capability = Literal["logprobs", "prefill", "structured", "pooling", "prompt_logprobs", "step_rewards", "tool_calls"]
"""``step_rewards`` = one of pooling and prompt_logprobs, whichever the reward model's format wants."""
OF_REWARDS: frozenset[Capability] = frozenset({"pooling", "prompt_logprobs", "step_rewards"})
"""Found out by a probe of their own, which costs nothing where no role needs one."""
PromptLogprobs = Literal["no", "vllm", "echo"]
"""How a server reports log-probabilities of a prompt's tokens: as vLLM's ``prompt_logprobs``, or with the prompt echoed."""

_SERVE_REWARDS = "serve a reward model with `vllm serve MODEL --runner pooling` and name its address in [models.reward]"

MENDS: dict[Capability, str] = {
    "logprobs": "serve the model with vLLM or llama.cpp (both report logprobs), or choose a scorer that needs none",
    "prefill": "serve the model with vLLM or llama.cpp (both continue an assistant message), or choose another strategy",
    "structured": "serve the model with vLLM or llama.cpp, or choose a role that replies in free text",
    "pooling": _SERVE_REWARDS,
    "prompt_logprobs": "serve the model with vLLM (it reports prompt_logprobs) and name its address in [models.reward]",
    "tool_calls": "serve the model with vLLM and --enable-auto-tool-choice --tool-call-parser hermes (Qwen; other models "
    'have parsers of their own), or set protocol = "prompted"',
    "step_rewards": f"{_SERVE_REWARDS}; a causal one (Math-Shepherd) is served as usual, by vLLM",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The capabilities of one model at one address."""

    model: str
    """Name the server knows the model by."""
    answers_as: str = ""
    """Name that its replies carry; empty = none. Another one later means that another model answers."""
    engine: str = "unknown"
    """``owned_by`` of the model list: vllm, llamacpp ..."""
    logprobs: int = 0
    """Most alternatives per token; 0 = none at all."""
    max_n: int = 1
    """Most choices per request, as far as it is known."""
    proven_n: int = 1
    """Choices per request that were tried and came."""
    greedy_n: bool = True
    """Several choices at temperature 0 too; vLLM refuses them."""
    counts_all_choices: bool = True
    """False: usage covers only the first of n choices (llama.cpp); the client then counts the tokens itself."""
    prefill: Literal["no", "continue", "echo"] = "no"
    """Whether an assistant message is continued, and whether the reply repeats it."""
    structured: bool = False
    """A JSON schema is enforced."""
    opens_thinking: bool = False
    """The chat template begins each reply inside the thinking, so that only the closing tag comes back."""
    tokenize: bool = False
    """POST /tokenize answers."""
    seed: bool = True
    """False: a seed can kill the server (vLLM on a CPU), so none is sent unless the settings insist."""
    context_length: int | None = None
    """Tokens of prompt and reply together, where the server says."""

    tool_calls: bool | None = None
    """Calls of tools come back parsed; None = nobody asked yet."""
    pooling: bool = False
    """POST /pooling answers. Known of a reward model's endpoint only, like ``prompt_logprobs``."""
    prompt_logprobs: PromptLogprobs = "no"
    """Whether /v1/completions reports log-probabilities of the prompt, and how."""

    def lacks(self, capability: Capability) -> bool:
        if capability == "step_rewards":
            return self.lacks("pooling") and self.lacks("prompt_logprobs")
        if capability == "prompt_logprobs":
            return self.prompt_logprobs == "no"
        if capability == "prefill":
            return self.prefill == "no"
        return not getattr(self, capability)

    def require(self, capability: Capability, *, who: str, url: str) -> None:
        """Raises CapabilityMissing that says who needs what."""
        if self.lacks(capability):
            raise CapabilityMissing(
                f"{who} needs {capability}, which {url} (model {self.model!r}) does not offer",
                mend=MENDS[capability],
                capability=capability,
            )


def weakest(profiles: Sequence[Profile]) -> Profile:
    """What several servers of one model can all do; name and engine are those of the first."""
    contexts = [profile.context_length for profile in profiles if profile.context_length is not None]
    return replace(
        profiles[0],
        logprobs=min(profile.logprobs for profile in profiles),
        max_n=min(profile.max_n for profile in profiles),
        proven_n=min(profile.proven_n for profile in profiles),
        greedy_n=all(profile.greedy_n for profile in profiles),
        counts_all_choices=all(profile.counts_all_choices for profile in profiles),
        prefill="no" if any(profile.prefill == "no" for profile in profiles) else profiles[0].prefill,
        opens_thinking=any(profile.opens_thinking for profile in profiles),
        structured=all(profile.structured for profile in profiles),
        tokenize=all(profile.tokenize for profile in profiles),
        seed=all(profile.seed for profile in profiles),
        context_length=min(contexts, default=None),
    )


def model_changed(begun_with: str | None, who: str, names: Sequence[str]) -> ModelChanged:
    """The error for a run that finds another model than the one it began with. ``who``: "X serves"."""
    return ModelChanged(
        f"the run began with the model {begun_with!r}, and {who} {', '.join(map(repr, names[:8]))}",
        mend=f"serve {begun_with!r} again, then resume the run; or start a new run",
    )
