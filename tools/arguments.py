"""The arguments of a typed function: as a JSON schema, and checked against it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from phronesis.core.errors import ConfigurationError, ToolError

_SHOWN = 80
"""Characters of a wrong value that a message repeats."""


class _WithoutTitles(GenerateJsonSchema):
    """Titles repeat names, and a model pays for them in tokens."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


@dataclass(frozen=True)
class Arguments:
    """What a function takes by name."""

    tool: str
    model: type[BaseModel]
    names: tuple[str, ...]

    @classmethod
    def of(cls, function: Callable[..., Any], tool: str) -> Arguments:
        """Read from the signature. Raises ConfigurationError for a parameter without a name, a type or a schema."""
        try:
            hints = get_type_hints(_typed(function), include_extras=True)
        except (NameError, TypeError) as error:
            raise ConfigurationError(
                f"the types of the tool {tool!r} cannot be read: {error}", mend="define them at the top of its module"
            ) from None
        fields: dict[str, Any] = {}
        names = []
        for place, parameter in enumerate(inspect.signature(function).parameters.values()):
            _check_kind(parameter, tool)
            if parameter.name not in hints:
                raise ConfigurationError(
                    f"the parameter {parameter.name!r} of the tool {tool!r} has no type",
                    mend=f"write {parameter.name}: str, or whatever it is",
                )
            default = ... if parameter.default is parameter.empty else parameter.default
            # Numbered fields with the names as aliases: a parameter may be called `schema` or `_x`.
            fields[f"a{place}"] = (Annotated[hints[parameter.name], Field(alias=parameter.name)], default)
            names.append(parameter.name)
        try:
            model = create_model("Arguments", __config__=ConfigDict(extra="forbid"), **fields)
            model.model_json_schema(schema_generator=_WithoutTitles)
        except (PydanticUserError, TypeError, ValueError) as error:
            said = str(error).partition("\n")[0]
            raise ConfigurationError(
                f"the tool {tool!r} has a parameter that JSON cannot say: {said}",
                mend="take texts, numbers, lists or models",
            ) from None
        return cls(tool, model, tuple(names))

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema, an object without further properties."""
        schema = self.model.model_json_schema(schema_generator=_WithoutTitles)
        return {key: value for key, value in schema.items() if key != "title"} | {
            "properties": schema.get("properties", {})
        }

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The values to call the function with; what is not given is left to its defaults.

        Raises ToolError that names the first argument that does not fit, its value and what is expected."""
        try:
            values = self.model.model_validate(dict(given))
        except ValidationError as error:
            raise self._refusal(error) from None
        names = (name for name, field in self.model.model_fields.items() if name in values.model_fields_set)
        return {str(self.model.model_fields[name].alias): getattr(values, name) for name in names}

    def _refusal(self, error: ValidationError) -> ToolError:
        found = error.errors(include_url=False)
        first = next((item for item in found if item["type"] == "extra_forbidden"), found[0])
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            near = get_close_matches(where, self.names, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"arguments: {', '.join(self.names) or 'none'}"
            return ToolError(f"{self.tool}: there is no argument {where!r}", mend=hint)
        if first["type"] == "missing":
            return ToolError(f"{self.tool}: the argument {where!r} is missing", mend=f"give {where}")
        shown = repr(first["input"])
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
        return ToolError(f"{self.tool}: {where} = {shown} does not fit: {first['msg']}", mend=f"correct {where}")


def _check_kind(parameter: inspect.Parameter, tool: str) -> None:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
        raise ConfigurationError(
            f"the tool {tool!r} takes {parameter}, which cannot be given by name", mend="name every parameter"
        )


def _typed(function: Callable[..., Any]) -> Any:
    """Where the annotations of a callable stand."""
    plain = inspect.isroutine(function) or inspect.isclass(function)
    return function if plain else getattr(function, "__call__", function)  # noqa: B004  # its method, not whether it has one
