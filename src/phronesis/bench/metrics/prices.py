"""What calls cost by a price file. The one metric module that reads a file.

schema = "phronesis/prices/1"
currency = "USD"

[models."qwen2.5-7b"]     # per million tokens
prompt = 0.04
cached = 0.02             # prompt tokens from the prefix cache; the prompt's price if left out
completion = 0.10

[models."my-own-card"]    # or by the second that the hardware is in use
gpu_second = 0.0006
"""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from phronesis.core.errors import ConfigurationError

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ModelPrice(BaseModel):
    """What one model costs: by token, or by second."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Amount | None = None
    """Per million tokens, like ``cached`` and ``completion``."""
    cached: Amount | None = None
    completion: Amount | None = None
    gpu_second: Amount | None = None
    """Per second that the hardware is in use."""

    @model_validator(mode="after")
    def _one_kind(self) -> ModelPrice:
        by_token = (self.prompt, self.cached, self.completion)
        if self.gpu_second is not None:
            if any(price is not None for price in by_token):
                raise ValueError("a price is by the token or by the second, not both")
        elif self.prompt is None or self.completion is None:
            raise ValueError("needs prompt and completion, or gpu_second")
        return self


class Prices(BaseModel):
    """Prices by model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal["phronesis/prices/1"] = Field(alias="schema")
    currency: str = "USD"
    models: dict[str, ModelPrice] = Field(min_length=1)

    @classmethod
    def load(cls, path: Path | str) -> Prices:
        """The prices of a file. Raises ConfigurationError naming the file and the key: not there, not TOML, an unknown key,
        a price that is negative or no number, a model with half of its prices."""
        try:
            return cls.model_validate(tomllib.loads(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise ConfigurationError(
                f"cannot read the price file {str(path)!r}: {error.strerror}", mend="check the path"
            ) from None
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{path} is not UTF-8: {error}", mend="save it as UTF-8") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{path} is not TOML: {error}", mend="correct the line it names") from None
        except ValidationError as error:
            first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigurationError(f"{path}: {key} = {first['input']!r}: {first['msg']}", mend=f"correct {key}")

    def cost(
        self,
        model: str,
        prompt_tokens: float,
        cached_tokens: float,
        completion_tokens: float,
        *,
        seconds: float | None = None,
    ) -> float:
        """What calls cost, in ``currency``. cached_tokens: those of the prompt tokens that came from the prefix cache.

        seconds: needed for a model that is paid by the second. Raises ConfigurationError for a model without a price, and
        ValueError for counts that are negative or do not fit each other."""
        if model not in self.models:
            near = get_close_matches(model, self.models, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigurationError(
                f"the price file has no price of the model {model!r}; it has {', '.join(sorted(self.models))}",
                mend=f'{hint}add [models."{model}"] with prompt and completion, or gpu_second',
            )
        if not 0 <= cached_tokens <= prompt_tokens or completion_tokens < 0:
            raise ValueError(
                f"{prompt_tokens} prompt tokens, {cached_tokens} of them cached, and {completion_tokens} more are no usage"
            )
        price = self.models[model]
        if price.gpu_second is not None:
            if seconds is None or not seconds >= 0:
                raise ValueError(f"{model!r} is paid by the second, and {seconds!r} seconds are no time")
            return price.gpu_second * seconds
        prompt, completion = price.prompt or 0.0, price.completion or 0.0
        cached = prompt if price.cached is None else price.cached
        whole = (prompt_tokens - cached_tokens) * prompt + cached_tokens * cached + completion_tokens * completion
        return whole / 1e6
