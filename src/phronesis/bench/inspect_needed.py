"""Whether inspect_ai is here: it comes with the extra ``bench``."""

from __future__ import annotations

from importlib.util import find_spec

from phronesis.core.errors import SetupError


def need_inspect() -> None:
    """Raises SetupError where inspect_ai is not installed."""
    if find_spec("inspect_ai") is None:
        raise SetupError("inspect_ai is not installed", mend="pip install 'phronesis[bench]'")
