"""A tool from a typed function: its signature is the schema, its docstring what the model is told.

@tool(pure=True)
def word_count(text: str, unique: bool = False) -> int:
    '''How many words a text has.'''
    return len(set(text.split()) if unique else text.split())
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, overload

from pydantic import ValidationError

from phronesis.core.errors import ConfigurationError
from phronesis.core.tool import ToolOutput, ToolSpec
from phronesis.tools.arguments import Arguments
from phronesis.tools.shown import output_of
from phronesis.tools.threads import in_thread


class FunctionTool:
    """A Tool that calls a function. Called directly, it is the function."""

    def __init__(self, function: Callable[..., Any], spec: ToolSpec, arguments: Arguments) -> None:
        """``tool`` makes one."""
        functools.update_wrapper(self, function)
        self._function = function
        self._arguments = arguments
        self._spec = spec

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    def described(self, description: str) -> FunctionTool:
        """The same tool, with another description: one that depends on options."""
        return FunctionTool(self._function, self._spec.model_copy(update={"description": description}), self._arguments)

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self._function(*given, **named)

    async def call(self, arguments: Mapping[str, Any]) -> ToolOutput:
        """What the function makes of the arguments, after they are checked and coerced (``"3"`` for an int is 3).

        A function without ``async`` runs in a thread. Raises ToolError for arguments that do not fit and where the function
        raises one; its other errors come through as they are. A cancelled call of an ``async`` function is cancelled in it;
        one in a thread goes on unseen until it ends."""
        values = self._arguments.checked(arguments)
        if _is_async(self._function):
            result = await self._function(**values)
        else:
            result = await in_thread(lambda: self._function(**values))
            if inspect.isawaitable(result):
                result = await result
        return output_of(result, tool=self._spec.name)

    async def close(self) -> None:
        """Nothing is held."""


@overload
def tool(function: Callable[..., Any], /) -> FunctionTool: ...


@overload
def tool(
    *,
    name: str | None = None,
    pure: bool = False,
    dangerous: bool = False,
    stateful: bool = False,
    timeout: float = 30.0,
    units: str | None = None,
) -> Callable[[Callable[..., Any]], FunctionTool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    pure: bool = False,
    dangerous: bool = False,
    stateful: bool = False,
    timeout: float = 30.0,
    units: str | None = None,
) -> FunctionTool | Callable[[Callable[..., Any]], FunctionTool]:
    """Makes a tool of a function, as ``@tool`` or ``@tool(pure=True, ...)``; the options are those of ``ToolSpec``.

    Every parameter has a type that pydantic knows (``Annotated[int, Field(description=...)]`` says more to the model), and
    there is a docstring. What the function returns: a text; any value that JSON can say; or a ``ToolOutput``. Raises
    ConfigurationError for a function that does not fit."""

    def made(found: Callable[..., Any]) -> FunctionTool:
        called = name or str(getattr(found, "__name__", ""))
        described = inspect.getdoc(found) if not isinstance(found, functools.partial) else None
        if not described:
            raise ConfigurationError(
                f"the tool {called!r} has no docstring", mend="say in it what the tool does and gives back"
            )
        arguments = Arguments.of(found, called)
        if units is not None and units not in arguments.names:
            raise ConfigurationError(
                f"the tool {called!r} counts units by {units!r}, which is none of its parameters",
                mend=f"name one of {', '.join(arguments.names) or 'its parameters'}",
            )
        try:
            spec = ToolSpec(
                name=called,
                description=described,
                parameters=arguments.schema,
                pure=pure,
                dangerous=dangerous,
                stateful=stateful,
                timeout=timeout,
                units=units,
            )
        except ValidationError as error:
            first = error.errors()[0]
            what = ".".join(str(part) for part in first["loc"])
            raise ConfigurationError(
                f"the tool {called!r}: {what} = {first['input']!r}: {first['msg']}", mend=f"pass {what} to @tool"
            ) from None
        return FunctionTool(found, spec, arguments)

    return made if function is None else made(function)


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
