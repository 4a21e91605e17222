"""What is asked: messages and the task that holds them. No gold answer lives here."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from phronesis.core.errors import ConfigurationError

AnswerFormat = Literal["number", "choice", "text", "latex", "code"]
Speaker = Literal["system", "user", "assistant", "tool"]


class WrittenCall(BaseModel):
    """A call of a tool as a model wrote it, in the form a server parsed it into."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """Names the call within its conversation; the result carries it too."""
    name: str
    arguments: str
    """Meant as a JSON object, and not always one."""


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Speaker
    """Who speaks."""
    content: str
    """What is said."""
    tool_calls: tuple[WrittenCall, ...] = Field(default=(), repr=False)
    """Calls that an assistant's turn makes, for servers that parse them; never in a task."""
    tool_call_id: str = Field(default="", repr=False)
    """The call that a tool's turn answers; never in a task."""

    def to_json(self) -> dict[str, Any]:
        """The message as requests and journals have it: what is unset is left out."""
        data: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            data["tool_calls"] = [call.model_dump() for call in self.tool_calls]
        if self.tool_call_id:
            data["tool_call_id"] = self.tool_call_id
        return data

    @model_serializer(mode="wrap")
    def _without_unset(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = dump(self)
        return {name: value for name, value in data.items() if value or name in ("role", "content")}


def _as_messages(value: Any) -> Any:
    """A plain string is one user message."""
    return (Message(role="user", content=value),) if isinstance(value, str) else value


class Task(BaseModel):
    """One problem."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: Annotated[tuple[Message, ...], BeforeValidator(_as_messages)]
    """The conversation so far; the last message is the user's question. System prompt and history are kept."""
    id: str = ""
    """Stable name of the task; empty = a hash of its content."""
    context: str | None = None
    """Text the question refers to, put before it."""
    answer_format: AnswerFormat | None = None
    """How an answer is read and compared; None = the recipe's."""

    @model_validator(mode="before")
    @classmethod
    def _name(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("id"):
            text = f"{_as_messages(data.get('messages'))!r}|{data.get('context')!r}|{data.get('answer_format')!r}"
            data = {**data, "id": "t" + hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}
        return data

    @model_validator(mode="after")
    def _asks(self) -> Task:
        if not self.messages or self.messages[-1].role != "user" or not self.messages[-1].content.strip():
            raise ValueError("the last message must be a user's and not be empty")
        if any(turn.role == "tool" or turn.tool_calls or turn.tool_call_id for turn in self.messages):
            raise ValueError("a task holds no tool calls and no tool's turns: tools are called inside a run")
        return self

    @property
    def question(self) -> str:
        """The last user message, after the context if there is one."""
        text = self.messages[-1].content.strip()
        return f"{self.context.strip()}\n\n{text}" if self.context and self.context.strip() else text

    @property
    def history(self) -> tuple[Message, ...]:
        """Everything before the question: system prompt and earlier turns."""
        return self.messages[:-1]


def as_task(value: Task | str, *, id: str = "") -> Task:
    """A Task from a Task or a question. An empty question is a ConfigurationError."""
    if isinstance(value, Task):
        return value
    if not value.strip():
        raise ConfigurationError(f"the question is empty ({value!r})", mend="give the problem's text as QUESTION")
    return Task(messages=(Message(role="user", content=value),), id=id)


def task_of_row(row: Any, number: int) -> Task:
    """The task of one line of a data set: ``messages`` or ``question``, and perhaps ``id`` (else ``line<number>``),
    ``context`` and ``answer_format``; other fields, gold answers above all, are never read. Raises ValueError."""
    if not isinstance(row, dict):
        raise ValueError("not an object")
    asked = row.get("messages") or row.get("question")
    if not asked:
        raise ValueError("neither 'question' nor 'messages', or they are empty")
    name = row.get("id")
    if not (name is None or isinstance(name, (str, int))):
        raise ValueError(f"id = {name!r} is neither text nor a number")
    fields = {name: row[name] for name in ("context", "answer_format") if row.get(name) is not None}
    return Task(id=f"line{number}" if name in (None, "") else str(name), messages=asked, **fields)
