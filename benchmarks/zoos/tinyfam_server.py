"""
TinyFam behind an OpenAI-compatible server on loopback, until interrupted.

    python benchmarks/zoos/tinyfam_server.py long-tales-0 long-tales-0-ft-8 [--zoo DIR] [--port 8080] [--system TEXT]
    probe-match watch openai:http://127.0.0.1:8080/v1#long-tales-0
"""

import argparse
import threading
from pathlib import Path

import torch
from probe_match.fingerprinting.chat.server import serve
from tinyfam import DEFAULT_OUTPUT
from tinyfam_network import load
from tinyfam_serving import JITTER, Deployment, TinyChat


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Serve models of TinyFam.")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--zoo", type=Path, default=DEFAULT_OUTPUT)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--system", help="system prompt put above every talk")
    parser.add_argument("--temperature", type=float, help="instead of what is asked for")
    parser.add_argument("--jitter", type=float, default=JITTER, help="relative error of the last hidden state")
    given = parser.parse_args()
    torch.set_num_threads(1)
    how = Deployment(system=given.system, temperature=given.temperature, jitter=given.jitter)
    clients = {name: TinyChat(load(given.zoo / f"{name}.npz"), how, target=name) for name in given.models}
    with serve(clients, port=given.port) as url:
        print(f"{url}, models {', '.join(clients)}; Ctrl-C ends it", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("ended")


if __name__ == "__main__":
    main()
