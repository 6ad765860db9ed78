"""
Install the model servers that the quick tests start, so that the tests themselves only test. What fails is tried again,
and told, by the test that needs it.
"""

import contextlib
import sys

import pytest
import test_llama_cpp_serve

import peers

NEEDED = {
    "mlserver": peers.PEERS["mlserver"].packages,
    "mlflow": peers.PEERS["mlflow"].packages,
    "llama-cpp": ("--only-binary", ":all:", *test_llama_cpp_serve.PACKAGES),
}

if __name__ == "__main__":
    for name, packages in NEEDED.items():
        if not (peers.ENVIRONMENTS / name / ".ready").exists():
            sys.stdout.write(f"Installing {name} into .cache/envs (once)\n")
            sys.stdout.flush()
            with contextlib.suppress(pytest.skip.Exception):
                peers.environment(name, packages)
