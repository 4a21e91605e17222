"""An MCP server without any library, as faulty as its first argument says. Started by the tests of the tool mcp."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

ECHO = {"type": "object", "properties": {"text": {"type": "string"}}}
TOOLS: dict[str, Any] = {
    "echo": {"description": "Says it again. " * 200, "inputSchema": ECHO},
    "files.read": {"inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
    "die": {"inputSchema": {"type": "object"}},
    "hang": {"inputSchema": {"type": "object"}},
    "flood": {"inputSchema": {"type": "object"}},
    "rubbish": {"inputSchema": {"type": "object"}},
    "fail": {"inputSchema": {"type": "object"}},
    "refuse": {"inputSchema": {"type": "object"}},
    "wrong": {"inputSchema": {"type": "object"}},
    "image": {"inputSchema": {"type": "object"}},
    "data": {"inputSchema": {"type": "object"}},
    "secret": {"inputSchema": {"type": "object"}},
    "count": {"inputSchema": {"type": "object"}},
}  # fmt: skip
BROKEN = {
    "list": {"inputSchema": ["no", "schema"]},
    "type": {"inputSchema": {"type": "string"}},
    "keyword": {"inputSchema": {"type": "object", "properties": {"a": {"type": "strange"}}}},
    "huge": {"inputSchema": {"type": "object", "description": "x" * 30_000}},
}


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": value}], **more}


def called(name: str, arguments: dict[str, Any], count: int) -> dict[str, Any]:
    if name == "die":
        print("the last words", os.environ.get("API_TOKEN"), file=sys.stderr, flush=True)
        os._exit(3)
    if name == "hang":
        time.sleep(600)
    if name == "flood":
        sys.stdout.write("x" * (20 * 2**20))
        sys.stdout.flush()
        time.sleep(600)
    if name == "rubbish":
        sys.stdout.write("no message\n" * 500)
        sys.stdout.flush()
        time.sleep(600)
    if name == "wrong":
        return {"content": "not a list"}
    if name == "fail":
        return text("it went wrong", isError=True)
    if name == "image":
        return {"content": [{"type": "image", "data": "aGk=", "mimeType": "image/png"}]}
    if name == "data":
        return {"content": [], "structuredContent": {"a": 1}}
    if name == "secret":
        return text(f"token {os.environ.get('API_TOKEN')}, key {os.environ.get('OPENAI_API_KEY')}")
    if name == "count":
        return text(str(count))
    return text(str(arguments.get("text")))


def main(fault: str, note: str) -> None:
    if note:
        with Path(note).open("a") as pids:
            pids.write(f"{os.getpid()}\n")
    if fault == "silent":
        time.sleep(600)
    tools = {"echo": TOOLS["echo"], **{f"broken_{fault}": BROKEN[fault]}} if fault in BROKEN else TOOLS
    count = 0
    if fault == "chatty":
        sys.stdout.write("starting up\n")
    for line in sys.stdin:
        message = json.loads(line)
        number, method = message.get("id"), message.get("method")
        if method == "initialize":
            version = message["params"]["protocolVersion"]
            info = {"name": "toy", "version": "1"}
            send(
                {
                    "id": number,
                    "result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info},
                }
            )
        elif method == "tools/list":
            listed = [{"name": name, **spec} for name, spec in tools.items()]
            send({"id": number, "result": {"tools": listed, **({"nextCursor": "again"} if fault == "endless" else {})}})
        elif method == "tools/call":
            count += 1
            name = message["params"]["name"]
            if name == "refuse":
                send({"id": number, "error": {"code": -32602, "message": "not like this"}})
            else:
                send({"id": number, "result": called(name, message["params"].get("arguments", {}), count)})
        elif number is not None:
            send({"id": number, "error": {"code": -32601, "message": "unknown method"}})
    if fault == "stays":
        time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
