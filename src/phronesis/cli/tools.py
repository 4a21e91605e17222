"""``phronesis tools``: which tools recipes can name, what models are told of them, and one call by hand."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from phronesis.core.tool import Tool, ToolOutput, ToolSpec

app = typer.Typer(help="Tools: list, show, call.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Text = Annotated[str, typer.Argument(metavar="TOOL", help="As recipes write it: calculator, 'sql(file=\"x.sqlite\")'.")]
Documents = Annotated[str, typer.Option("--kb", help="Knowledge base that `search` searches.")]
Session = Annotated[str, typer.Option("--session", help="Memory that `recall` reads.")]


@app.command("list")
def list_(json: Json = False) -> None:
    """The tools that recipes can name under [tools] use, and their options.

    Example:

      phronesis tools list
    """
    import orjson
    from pydantic_core import to_jsonable_python

    from phronesis.core.errors import PhronesisError
    from phronesis.tools.table import find_tool, tool_names

    rows: list[dict[str, Any]] = []
    for name in tool_names():
        try:
            entry = find_tool(name)
        except (PhronesisError, ImportError, AttributeError) as error:
            print(f"phronesis: the tool {name!r} cannot be used: {error}", file=sys.stderr)
            continue
        options = {
            key: "needed" if field.is_required() else field.get_default(call_default_factory=True)
            for key, field in entry.options.model_fields.items()
        }
        rows.append({"name": name, "summary": entry.summary, "options": to_jsonable_python(options)})
    if json:
        typer.echo(orjson.dumps(rows).decode())
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        typer.echo(f"{row['name']:<{width}}  {row['summary']}")
        if row["options"]:
            typer.echo(f"{'':<{width}}  options: {', '.join(f'{k} = {_value(v)}' for k, v in row['options'].items())}")


@app.command()
def show(tool: Text, kb: Documents = "", session: Session = "", json: Json = False) -> None:
    """What models, budgets and approval are told of a tool, or of each tool of a family.

    Examples:

      phronesis tools show calculator

      phronesis tools show 'sql(file="shop.sqlite")'
    """
    import asyncio

    import orjson

    async def specs() -> list[ToolSpec]:
        async with _opened(tool, kb, session) as tools:
            return [found.spec for found in tools.values()]

    found = asyncio.run(specs())
    if json:
        typer.echo(orjson.dumps([spec.model_dump(mode="json") for spec in found]).decode())
        return
    for spec in found:
        typer.echo(f"{spec.name}  ({_traits(spec)})\n{spec.description}")
        typer.echo(orjson.dumps(spec.parameters, option=orjson.OPT_INDENT_2).decode())
        if spec.name == "python":
            from phronesis.tools.confinement import confinement

            typer.echo(f"here: {confinement().note or 'no network; no files but its own; its processes end with it'}")


@app.command()
def call(
    tool: Text,
    arguments: Annotated[str, typer.Argument(metavar="JSON", help="The arguments, a JSON object.")] = "{}",
    name: Annotated[str, typer.Option(help="Which tool of a family of several.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a dangerous tool.")] = False,
    kb: Documents = "",
    session: Session = "",
    json: Json = False,
) -> None:
    """Call a tool once, as an agent would.

    Examples:

      phronesis tools call calculator '{"expression": "15% of 80"}'

      phronesis tools call python '{"code": "print(2 ** 100)"}'
    """
    import asyncio

    import orjson

    given = _arguments(arguments)

    async def called() -> ToolOutput:
        async with _opened(tool, kb, session) as tools:
            chosen = _chosen(tools, name)
            spec = chosen.spec
            if spec.dangerous and not yes:
                _confirm(spec.name)
            return await _in_time(chosen, given)

    output = asyncio.run(called())
    typer.echo(orjson.dumps(output.model_dump(mode="json")).decode() if json else output.text)


def _confirm(name: str) -> None:
    """Asks a person; exit code 1 after a no, ConfigurationError where nobody answers."""
    from phronesis.core.errors import ConfigurationError

    try:
        wanted = typer.confirm(f"{name} is dangerous. Call it?", err=True)
    except typer.Abort:
        raise ConfigurationError(f"{name!r} is dangerous, and nobody said yes", mend="confirm it with --yes") from None
    if not wanted:
        print("phronesis: not called", file=sys.stderr)
        raise typer.Exit(1)


def _opened(tool: str, kb: str, session: str) -> Any:
    """The tools of one entry, with the documents and the memory that were named; closed at the end."""
    from contextlib import AsyncExitStack, asynccontextmanager

    from phronesis.core.settings import load_settings
    from phronesis.core.tool import ToolSurroundings
    from phronesis.memory.session import Memory
    from phronesis.tools.retrievers import open_retriever
    from phronesis.tools.table import open_tools

    @asynccontextmanager
    async def opened() -> Any:
        settings = load_settings()
        async with AsyncExitStack() as stack:
            retriever = memory = None
            if kb:
                found = open_retriever(f"kb(name={_quoted(kb)})", settings)
                stack.push_async_callback(found.close)
                retriever = lambda: found  # noqa: E731
            if session:
                kept = Memory.open(session, settings=settings)
                stack.callback(kept.close)
                memory = lambda: kept  # noqa: E731
            tools = await open_tools([tool], ToolSurroundings(settings=settings, retriever=retriever, memory=memory))
            for each in tools.values():
                stack.push_async_callback(each.close)
            yield tools

    return opened()


def _chosen(tools: dict[str, Tool], name: str) -> Tool:
    from phronesis.core.errors import ConfigurationError

    wanted = name or (next(iter(tools)) if tools else "")
    if wanted not in tools or (len(tools) > 1 and not name):
        problem = f"there is no tool {wanted!r} here" if name or not tools else "there are several tools"
        raise ConfigurationError(problem, mend=f"choose with --name: {', '.join(tools) or 'none'}")
    return tools[wanted]


async def _in_time(tool: Tool, arguments: dict[str, Any]) -> ToolOutput:
    import asyncio

    from phronesis.core.errors import ToolError

    try:
        async with asyncio.timeout(tool.spec.timeout):
            return await tool.call(arguments)
    except TimeoutError:
        raise ToolError(f"{tool.spec.name} took longer than {tool.spec.timeout:g} s") from None


def _arguments(text: str) -> dict[str, Any]:
    import orjson

    from phronesis.core.errors import ConfigurationError

    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"{text[:80]!r} is no JSON: {error}", mend="""write '{"name": value}'""") from None
    if not isinstance(given, dict):
        raise ConfigurationError(f"{text[:80]!r} is no JSON object", mend="""write '{"name": value}'""")
    return given


def _traits(spec: ToolSpec) -> str:
    traits = ["pure" if spec.pure else "not pure"]
    traits += ["dangerous: a person is asked"] if spec.dangerous else []
    traits += ["stateful"] if spec.stateful else []
    traits += [f"a unit for each of {spec.units}"] if spec.units else []
    return ", ".join([*traits, f"at most {spec.timeout:g} s"])


def _value(value: Any) -> str:
    return "''" if value == "" else str(value)


def _quoted(text: str) -> str:
    import orjson

    return orjson.dumps(text).decode()
