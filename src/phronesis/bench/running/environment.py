"""Settings as the variables of another process's environment: how a worker learns what holds, secrets included."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import SecretStr

from phronesis.core.settings import Settings

_STAND_INS = {"base_url": "OPENAI_BASE_URL", "api_key": "OPENAI_API_KEY"}


def environment_of(
    settings: Settings, *, concurrency: int | None = None, around: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The whole environment of a worker under these settings. ``around``: what else is in it; None = this process's.

    ``concurrency`` is its share of the requests in flight per endpoint. A secret stands in it and nowhere else: not on a
    command line, not in a file."""
    found = dict(os.environ if around is None else around)
    for name in Settings.model_fields:
        found.pop(f"PHRONESIS_{name.upper()}", None)
        found.pop(_STAND_INS.get(name, ""), None)
        value = getattr(settings, name)
        if name == "concurrency" and concurrency is not None:
            value = concurrency
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value is not None:
            found[f"PHRONESIS_{name.upper()}"] = str(value)
    return found
