"""A real llama.cpp server on 127.0.0.1, until it is told to end.

python examples/llama_server.py tiny.gguf 9101
"""

import signal
import sys

import xllamacpp


def serve(model: str, port: int) -> None:
    wish = xllamacpp.CommonParams()
    wish.model.path = model
    wish.hostnames = ["127.0.0.1"]
    wish.port = port
    wish.n_ctx = 16_384
    wish.n_parallel = 2
    # More threads spin against each other on a small machine, and a second one wins nothing with so small a model.
    wish.cpuparams.n_threads = 1
    wish.endpoint_metrics = True
    server = xllamacpp.Server(wish)
    print(f"llama.cpp answers on {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    # Before llama.cpp starts threads of its own, so that they inherit it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    serve(sys.argv[1], int(sys.argv[2]))
