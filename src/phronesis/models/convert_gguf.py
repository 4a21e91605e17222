"""Writes a GGUF file's weights and tokenizer as a folder in Hugging Face layout, bfloat16, flushed to disk.

Run by path with a Python that has transformers: ``python convert_gguf.py FILE FOLDER``. It imports nothing of phronesis.
Exit code 3 names the packages that are lacking.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec


def _convert(file: str, folder: str) -> None:
    import torch
    import transformers

    place, name = os.path.split(os.path.abspath(file))
    options = {"gguf_file": name, "dtype": torch.bfloat16}
    if hasattr(transformers, "GgufConfig"):
        # Newer releases keep the file's quantisation unless they are told not to; vLLM on a CPU reads plain weights only.
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    print("reading weights", flush=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(place, **options)
    print("writing weights", flush=True)
    model.save_pretrained(folder)
    print("writing tokenizer", flush=True)
    transformers.AutoTokenizer.from_pretrained(place, gguf_file=name).save_pretrained(folder)


def _flush(folder: str) -> None:
    names = [os.path.join(where, name) for where, _, files in os.walk(folder) for name in files]
    for name in [*names, folder]:
        descriptor = os.open(name, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def main(file: str, folder: str) -> int:
    """0 when the folder is complete on disk."""
    lacking = [name for name in ("torch", "transformers", "gguf", "accelerate") if find_spec(name) is None]
    if lacking:
        print(f"lacking: {' '.join(lacking)}", flush=True)
        return 3
    _convert(file, folder)
    _flush(folder)
    print("done", flush=True)
    return 0


if __name__ == "__main__":
    # The folder this file lies in has modules with everyday names; nothing may find them instead of its own.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or os.curdir) != here]
    sys.exit(main(*sys.argv[1:]))
