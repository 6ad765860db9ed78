"""
A real OpenAI-compatible server of other people's making, `transformers serve`, asked through our client and commands.

Its environment (about 1.2 GB) is made once, under .cache/envs/transformers of the checkout, and kept. The model is
tiny, random and made offline: what it says is noise, but noise of its own.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from probe_match.clients import openai
from probe_match.fingerprinting.chat import collecting
from probe_match.fingerprinting.chat.records import Bank, Question, Sampling
from probe_match.fingerprinting.errors import TargetError

ENVIRONMENT = Path(__file__).resolve().parent.parent / ".cache" / "envs" / "transformers"
PACKAGES = ("transformers[serving]==5.23.0", "torch==2.13.0")
MODEL = """
import sys, torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
words = Tokenizer(models.BPE())
words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
special = ["<unk>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>"]
words.train_from_iterator([open(sys.argv[2]).read()], trainers.BpeTrainer(
    vocab_size=600, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
tokens = PreTrainedTokenizerFast(
    tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>")
tokens.chat_template = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}")
torch.manual_seed(0)
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=len(tokens), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=2))
model.generation_config = GenerationConfig(do_sample=True, bos_token_id=1, eos_token_id=2, pad_token_id=2)
model.save_pretrained(sys.argv[1])
tokens.save_pretrained(sys.argv[1])
"""
QUESTION = Question("c", "open", "Say something.", system="Be brief.", sampling=Sampling(0.0, 6))

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]  # by `make test-servers`, whose first run installs it


@pytest.fixture(scope="module")
def environment() -> Path:
    """The bin folder of an environment with the server in it."""
    ready = ENVIRONMENT / ".ready"
    if not ready.exists():
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        install = [str(ENVIRONMENT / "bin" / "pip"), "install", "--quiet", *PACKAGES]
        try:
            subprocess.run(
                [sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True, capture_output=True, timeout=120
            )
            subprocess.run(install, check=True, capture_output=True, text=True, timeout=600)
        except (subprocess.SubprocessError, OSError) as error:
            told = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1:]
            pytest.skip(f"TRANSFORMERS SERVE NOT TESTED: cannot install {' '.join(PACKAGES)}: {''.join(told)}")
        ready.touch()

    return ENVIRONMENT / "bin"


@pytest.fixture(scope="module")
def url(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base address of the running server and the name of its model behind a #."""
    folder = tmp_path_factory.mktemp("serve")
    (folder / "hub").mkdir()  # it wants this folder, empty or not
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "HF_", "TRANSFORMERS"))}
    clean |= {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(folder / "hub"), "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
    model, text = folder / "tiny", Path(__file__).resolve().parent.parent / "LICENSE"
    subprocess.run(
        [str(environment / "python"), "-c", MODEL, str(model), str(text)], check=True, env=clean, timeout=180
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [str(environment / "transformers"), "serve", str(model), "--host", "127.0.0.1", "--port", str(port),
             "--device", "cpu"],
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True, env=clean, cwd=folder,
        )  # fmt: skip
    try:
        base = f"http://127.0.0.1:{port}/v1"
        wait_until_ready(server, f"{base}#{model}", log)
        yield f"{base}#{model}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(10)


def wait_until_ready(server: "subprocess.Popen[bytes]", where: str, log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and server.poll() is None:
        client = openai.connect(where, timeout=20)
        try:
            client.chat([QUESTION])
        except TargetError:
            time.sleep(0.5)
        else:
            return
        finally:
            client.close()
    pytest.fail(f"transformers serve did not start: {log.read_text()[-2000:]}")


def test_a_real_server_answers_chats_and_raw_text(url: str) -> None:
    """Greedy answers repeat, tokens are counted, and a longer prompt counts more."""
    client = openai.connect(url, timeout=60, concurrency=1)
    raw = Question("r", "open", "You may", raw=True, sampling=Sampling(0.0, 5))
    first, again, longer, continued = client.chat([QUESTION, QUESTION, replace(QUESTION, system="Be brief. " * 5), raw])
    client.close()

    assert (first.status, first.answer_tokens) == ("truncated", 6)
    assert first.text == again.text != ""
    assert longer.prompt_tokens > first.prompt_tokens > 0
    assert (continued.status, continued.finish) == ("truncated", "length")


def test_what_a_real_server_does_not_take_is_noted(url: str) -> None:
    """It ignores log-probabilities and seeds in its own ways; the client says so and the answers stand."""
    client = openai.connect(url, timeout=60)
    (answer,) = client.chat([replace(QUESTION, sampling=Sampling(1.0, 6, seed=1, logprobs=5))])
    client.close()

    assert answer.text
    assert client.access == "text"
    assert "gives no log-probabilities" in client.notes


def test_a_real_server_names_an_unknown_model(url: str) -> None:
    """One line, whatever its own words are."""
    client = openai.connect(f"{url.partition('#')[0]}#no-such-model", timeout=60)
    with pytest.raises(TargetError, match="no model 'no-such-model'"):
        client.chat([QUESTION])
    client.close()


def test_a_real_server_draws_at_a_temperature(url: str) -> None:
    """Warm answers differ, through the one door with its counts."""
    client = openai.connect(url, timeout=60, concurrency=2)
    bank = Bank("b", (replace(QUESTION, sampling=Sampling(1.0, 3)),))
    spoken = collecting.ask_chat(client, bank, collecting.plan(bank, questions=8, seed=0))
    client.close()

    assert len(set(spoken.texts("c"))) > 3
    assert collecting.spent(spoken).answer_tokens == 24
    assert json.dumps(spoken.notes) == "[]"
