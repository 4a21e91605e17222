"""What an endpoint can do, found out once per process by asking it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from phronesis.core.errors import CapabilityMissing

Capability = Literal["logprobs", "prefill", "structured"]

_MENDS: dict[Capability, str] = {
    "logprobs": "serve the model with vLLM or llama.cpp (both report logprobs), or choose a scorer that needs none",
    "prefill": "serve the model with vLLM or llama.cpp (both continue an assistant message), or choose another strategy",
    "structured": "serve the model with vLLM or llama.cpp, or choose a role that replies in free text",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The capabilities of one model at one address."""

    model: str
    """Name the server knows the model by."""
    engine: str = "unknown"
    """``owned_by`` of the model list: vllm, llamacpp ..."""
    logprobs: int = 0
    """Most alternatives per token; 0 = none at all."""
    max_n: int = 1
    """Most choices per request."""
    counts_all_choices: bool = True
    """False: usage covers only the first of n choices (llama.cpp); the client then counts the tokens itself."""
    prefill: Literal["no", "continue", "echo"] = "no"
    """Whether an assistant message is continued, and whether the reply repeats it."""
    structured: bool = False
    """A JSON schema is enforced."""
    tokenize: bool = False
    """POST /tokenize answers."""
    context_length: int | None = None
    """Tokens of prompt and reply together, where the server says."""

    def lacks(self, capability: Capability) -> bool:
        if capability == "prefill":
            return self.prefill == "no"
        return not getattr(self, capability)

    def require(self, capability: Capability, *, who: str, url: str) -> None:
        """Raises CapabilityMissing that says who needs what."""
        if self.lacks(capability):
            raise CapabilityMissing(
                f"{who} needs {capability}, which {url} (model {self.model!r}) does not offer",
                mend=_MENDS[capability],
                capability=capability,
            )
