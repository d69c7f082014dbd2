"""Serve a Qwen2 checkpoint with llama.cpp, for comparison.

    python tests/bench/llama_cpp.py FOLDER PORT [--weights f32|f16|bf16|q8_0] [--context TOKENS]

This is llama.cpp's own HTTP server as `xllamacpp` carries it, compiled for AVX2 and not for the
machine at hand, on two threads. The weights are written as GGUF, by default in float32, so that it
computes with the same ones as the others. No prompt is kept for the next request.
"""

import argparse
import tempfile
import time
from pathlib import Path

import xllamacpp

from cookbook.exports import gguf_file
from cookbook.exports.merge import Weights

SLOTS = 16  # requests at once
CONTEXT = 512  # tokens of each
THREADS = 2
WEIGHTS = ("f32", "f16", "bf16", "q8_0")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--weights", choices=WEIGHTS, default="f32")
    parser.add_argument("--context", type=int, default=CONTEXT, help="tokens of a request")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        weights = Path(temporary) / "base.gguf"
        # The base alone, without an adapter.
        base = Weights(args.folder)
        gguf_file.write(base, None, weights, kind=args.weights, name=args.folder.name)
        params = xllamacpp.CommonParams()
        params.model.path = str(weights)
        params.port = args.port
        params.n_parallel = SLOTS
        params.n_ctx = SLOTS * args.context
        params.cpuparams.n_threads = THREADS
        params.cpuparams_batch.n_threads = THREADS
        params.cache_prompt = False
        params.cache_ram_mib = 0
        # It serves as long as it is referred to; this process waits to be ended.
        server = xllamacpp.Server(params)
        print(server.listening_address, flush=True)
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
