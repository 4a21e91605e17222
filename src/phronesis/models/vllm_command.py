"""The command line and variables of a vLLM server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from phronesis.core.errors import ConfigurationError
from phronesis.models.vllm_environment import VllmEnvironment, child_environ
from phronesis.models.vllm_weights import Weights

CPU_CACHE_GIB = "4"
"""Memory for the key-value cache on a CPU; vLLM's own choice there is most of the machine's memory."""
FINGERPRINT = "vllm-cpu"
"""How the ``system_fingerprint`` of a server on a CPU begins: clients keep seeds from it, one can kill it (measured with
0.28.0: the generators of a CPU cannot be wound back after a prompt that was cut into pieces)."""
FINGERPRINT_SINCE = (0, 28)
"""First release seen to take the fingerprint options."""

_OURS = {
    "--model": "name the model before the --",
    "--host": "give --host before the --",
    "--port": "give --port before the --",
    "--uds": "vLLM must listen on a port to be watched",
}
_CACHE_FLAGS = ("--kv-cache-memory-bytes", "--gpu-memory-utilization")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServePlan:
    """One server that is to be started."""

    environment: VllmEnvironment
    weights: Weights
    host: str
    """Address it listens on."""
    port: int
    context: int | None = None
    """Tokens of prompt and reply together; None = the model's own length."""
    flags: tuple[str, ...] = ()
    """Handed to vLLM as they are, after ours: the last one counts."""

    @property
    def name(self) -> str:
        """What requests call the model."""
        return value_of(self.flags, "--served-model-name") or self.weights.name

    @property
    def watched_host(self) -> str:
        """Address it can be reached at from this machine."""
        return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)

    @property
    def base_url(self) -> str:
        """Address with /v1, as seen from this machine."""
        return f"http://{self.watched_host}:{self.port}/v1"

    @property
    def tells_seed_trouble(self) -> bool:
        """Whether clients learn from the server itself that it must not get seeds; True where seeds do no harm."""
        cpu = self.environment.cpu
        return not cpu or (self.environment.release >= FINGERPRINT_SINCE and not _given(self.flags, "--fingerprint"))

    def command(self) -> list[str]:
        """The program and its arguments. The module is started, not ``vllm serve``: that one asks for a distribution
        called vllm and fails in a vllm-cpu environment."""
        command = [str(self.environment.python), "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--model", self.weights.source, "--host", self.host, "--port", str(self.port)]
        if not _given(self.flags, "--served-model-name"):
            command += ["--served-model-name", self.weights.name]
        if self.context is not None:
            command += ["--max-model-len", str(self.context)]
        if self.environment.cpu:
            command += ["--dtype", "bfloat16"]
            if self.tells_seed_trouble:
                fingerprint = f"{FINGERPRINT}-{self.environment.version}"
                command += ["--fingerprint-mode", "custom", "--fingerprint-value", fingerprint]
        return command + list(self.flags)

    def environ(self) -> dict[str, str]:
        """Its variables. What the user has set stays."""
        values = child_environ(self.environment.python)
        if self.weights.source != self.weights.name:
            values.setdefault("HF_HUB_OFFLINE", "1")
        if self.environment.cpu:
            values.setdefault("VLLM_CPU_NUM_OF_RESERVED_CPU", "0")
            if not any(_given(self.flags, flag) for flag in _CACHE_FLAGS):
                values.setdefault("VLLM_CPU_KVCACHE_SPACE", CPU_CACHE_GIB)
        return values


def _given(flags: Sequence[str], start: str) -> bool:
    return any(flag.replace("_", "-").startswith(start) for flag in flags)


def value_of(flags: Sequence[str], name: str) -> str | None:
    """What an option among the flags is given: the word after ``--name``, or what follows ``--name=``. The last counts."""
    found = None
    for flag, following in zip(flags, [*flags[1:], None], strict=False):
        left, equals, right = flag.partition("=")
        if left.replace("_", "-") == name:
            found = right if equals else following
    return found


def check_flags(flags: Sequence[str]) -> tuple[str, ...]:
    """The flags. Raises ConfigurationError for one that would take the server out of our sight."""
    if flags and not flags[0].startswith("-"):
        raise ConfigurationError(
            f"{flags[0]!r} is no option of vLLM", mend="phronesis models serve NAME -- --max-num-seqs 64"
        )
    for flag in flags:
        name = flag.partition("=")[0].replace("_", "-")
        if name in _OURS:
            raise ConfigurationError(f"{flag!r} cannot be handed to vLLM", mend=_OURS[name])
    return tuple(flags)


def context_for(wanted: int | None, weights: Weights, *, cpu: bool, default: int) -> int | None:
    """Tokens to serve: what is wanted; else on a CPU the default, or less for a shorter model; else the model's own."""
    if wanted is not None or not cpu or _is_hub(weights):
        return wanted
    return min(default, weights.longest or default)


def _is_hub(weights: Weights) -> bool:
    return weights.source == weights.name
