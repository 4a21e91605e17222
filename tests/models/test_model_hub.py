"""The hub as a source, against a small server that speaks the part of its protocol a download needs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from phronesis.core.settings import Settings

CONTENT = b"weights " * 1000
PULL = """
import sys
from phronesis.core.errors import PhronesisError
from phronesis.core.settings import load_settings
from phronesis.models.catalogue import ModelEntry
from phronesis.models.pull import pull_entry

try:
    print(pull_entry(ModelEntry.model_validate_json(sys.argv[1]), load_settings()).read_bytes().hex())
except PhronesisError as error:
    print(error)
"""


@contextmanager
def hub(content: bytes) -> Iterator[tuple[str, list[str]]]:
    """Address of a hub whose every file is ``content``, and the requests it got."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.send_response(200)
            self.send_header("X-Repo-Commit", "c" * 40)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_GET = do_HEAD = answer

        def log_message(self, format: str, *values: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def pulled(address: str, settings: Settings) -> str:
    """Output of a process that pulls the model from that hub; the library reads its address when it is imported."""
    entry = (
        '{"name":"own","kind":"gguf","purpose":"A test.","file":"own.gguf","licence":"MIT",'
        f'"bytes":{len(CONTENT)},"sha256":"{hashlib.sha256(CONTENT).hexdigest()}",'
        '"hub":{"repo":"some/one","files":["own.gguf"]}}'
    )
    environment = os.environ | {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(settings.home / "hf")}
    environment |= {"PHRONESIS_MODEL_SOURCES": "hub", "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", PULL, entry]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_file_of_the_hub_is_checked_and_put_in_place(settings: Settings) -> None:
    pytest.importorskip("huggingface_hub")
    with hub(CONTENT) as (address, asked):
        assert pulled(address, settings).strip() == CONTENT.hex()
    assert "GET /some/one/resolve/main/own.gguf" in asked
    assert sorted(path.name for path in settings.models.iterdir()) == [".own.lock", "own.gguf"]


def test_a_hub_that_has_another_file_is_left_before_the_download(settings: Settings) -> None:
    pytest.importorskip("huggingface_hub")
    with hub(CONTENT[::-1]) as (address, asked):
        said = pulled(address, settings)
    assert f"some/one has sha256 {hashlib.sha256(CONTENT[::-1]).hexdigest()}, the catalogue" in said
    assert "HEAD /some/one/resolve/main/own.gguf" in asked
    assert not [request for request in asked if request.startswith("GET") and "own.gguf" in request]
