"""
llama.cpp's own server, asked through our client: a second real server of other people's making.

Its environment (about 120 MB, wheels only) is made once, under .cache/envs/llama-cpp of the checkout, and kept. The
model is tiny, random and written offline as GGUF: a token a byte, and noise of its own.
"""

import contextlib
import os
import shutil
import signal
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

ENVIRONMENT = Path(__file__).resolve().parent.parent / ".cache" / "envs" / "llama-cpp"
PACKAGES = ("xllamacpp==2026.10.11549", "gguf==0.19.0")
MODEL = """
import sys, numpy as np, gguf
rng, width, layers, heads, shared, inner = np.random.default_rng(0), 64, 2, 4, 2, 128
shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
letters = [*map(chr, shown), *(chr(256 + i) for i in range(256 - len(shown)))]
special = ["<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>"]
out = gguf.GGUFWriter(sys.argv[1], "llama")
out.add_context_length(1024), out.add_embedding_length(width), out.add_block_count(layers)
out.add_feed_forward_length(inner), out.add_head_count(heads), out.add_head_count_kv(shared)
out.add_layer_norm_rms_eps(1e-5), out.add_rope_dimension_count(width // heads)
out.add_vocab_size(len(special + letters))
out.add_tokenizer_model("gpt2"), out.add_tokenizer_pre("gpt-2"), out.add_token_list(special + letters)
out.add_token_types([3] * len(special) + [1] * len(letters)), out.add_token_merges([chr(288) + " t"])
out.add_bos_token_id(0), out.add_eos_token_id(1)
out.add_chat_template("{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}")
draw = lambda name, *shape: out.add_tensor(name + ".weight", (rng.normal(size=shape) * 0.4).astype(np.float32))
ones = lambda name: out.add_tensor(name + ".weight", np.ones(width, np.float32))
draw("token_embd", len(special + letters), width), draw("output", len(special + letters), width), ones("output_norm")
for b in (f"blk.{i}." for i in range(layers)):
    draw(b + "attn_q", width, width), draw(b + "attn_output", width, width)
    draw(b + "attn_k", shared * width // heads, width), draw(b + "attn_v", shared * width // heads, width)
    draw(b + "ffn_gate", inner, width), draw(b + "ffn_up", inner, width), draw(b + "ffn_down", width, inner)
    ones(b + "attn_norm"), ones(b + "ffn_norm")
out.write_header_to_file(), out.write_kv_data_to_file(), out.write_tensors_to_file(), out.close()
"""
SERVER = """
import sys, time, xllamacpp
given = xllamacpp.CommonParams()
given.model.path, given.n_ctx, given.n_parallel, given.port, given.warmup = sys.argv[1], 1024, 2, 0, False
given.cpuparams.n_threads, given.ui = 1, False
server = xllamacpp.Server(given)
print("at", server.listening_address, flush=True)
time.sleep(3600)
"""
QUESTION = Question("c", "open", "Say something.", system="Be brief.", sampling=Sampling(0.0, 6))

pytestmark = pytest.mark.timeout(600)  # the first run installs the server


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment with the server in it."""
    ready = ENVIRONMENT / ".ready"
    if not ready.exists():
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        install = [str(ENVIRONMENT / "bin" / "pip"), "install", "--quiet", "--only-binary", ":all:", *PACKAGES]
        try:
            subprocess.run(
                [sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True, capture_output=True, timeout=120
            )
            subprocess.run(install, check=True, capture_output=True, text=True, timeout=300)
        except (subprocess.SubprocessError, OSError) as error:
            told = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1:]
            pytest.skip(f"LLAMA.CPP'S SERVER NOT TESTED: cannot install {' '.join(PACKAGES)}: {''.join(told)}")
        ready.touch()

    return ENVIRONMENT / "bin" / "python"


@pytest.fixture(scope="module")
def url(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base address of the running server."""
    folder = tmp_path_factory.mktemp("llama")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    model, log = folder / "tiny.gguf", folder / "log"
    subprocess.run([str(python), "-c", MODEL, str(model)], check=True, env=clean, timeout=60)
    with log.open("w") as output:
        server = subprocess.Popen(
            [str(python), "-c", SERVER, str(model)],
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True, env=clean, cwd=folder,
        )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while "\nat http" not in f"\n{log.read_text()}" and time.monotonic() < until and server.poll() is None:
            time.sleep(0.1)
        told = [line for line in log.read_text().splitlines() if line.startswith("at http")]
        if not told:
            pytest.fail(f"llama.cpp's server did not start: {log.read_text()[-2000:]}")
        yield f"{told[0].removeprefix('at ')}/v1"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(10)


def test_it_is_asked_without_naming_its_model(url: str) -> None:
    """The one model it serves is found; greedy answers repeat, tokens are counted, raw text is continued."""
    client = openai.connect(url, timeout=60, concurrency=1)
    raw = Question("r", "open", "You may", raw=True, sampling=Sampling(0.0, 5))
    first, again, longer, continued = client.chat([QUESTION, QUESTION, replace(QUESTION, system="Be brief. " * 5), raw])
    client.close()

    assert client.model.endswith("tiny.gguf")
    assert (first.status, first.answer_tokens) == ("truncated", 6)
    assert first.text == again.text != ""
    assert longer.prompt_tokens > first.prompt_tokens > 0
    assert continued.answer_tokens == 5
    assert str(openai.detect(url.removesuffix("/v1"))) in url  # it answers with and without /v1


def test_it_gives_odds_of_first_tokens_and_takes_a_bias(url: str) -> None:
    """Alternatives are as many as asked for and sum to less than one; a forbidden token is not said."""
    client = openai.connect(url, timeout=60, concurrency=1)
    odds = replace(QUESTION, sampling=Sampling(0.0, 1, logprobs=5))
    (free,) = client.chat([odds])
    token = 5 + ord(free.text) - 33  # special tokens come first, then letters from "!" on
    barred = replace(QUESTION, sampling=Sampling(0.0, 1, bias=((token, -100.0),)))
    (other,) = client.chat([barred])
    client.close()

    assert client.access == "logprobs"
    assert len(free.logprobs[0]) == 5
    assert all(value <= 0 for _, value in free.logprobs[0])
    assert free.logprobs[0][0][0] == free.text != other.text


def test_samples_vary_and_a_seed_repeats_them(url: str) -> None:
    """At temperature 1 answers differ, unless the same seed is passed."""
    client = openai.connect(url, timeout=60, concurrency=2)
    bank = Bank("b", (replace(QUESTION, sampling=Sampling(1.0, 8)),))
    drawn = collecting.ask_chat(client, bank, collecting.plan(bank, questions=6, seed=0)).texts("c")
    seeded = client.chat([replace(QUESTION, sampling=Sampling(1.0, 8, seed=5))] * 2)
    client.close()

    assert len(set(drawn)) > 1
    assert seeded[0].text == seeded[1].text


def test_what_it_refuses_is_one_line(url: str) -> None:
    """A prompt longer than its context fails as an answer, with its own words; an address without the API says so."""
    client = openai.connect(url, timeout=60)
    client.chat([QUESTION])
    (long,) = client.chat([replace(QUESTION, text="word " * 2000)])
    client.close()

    assert long.status == "failed"
    assert "context" in long.error
    lost = openai.connect(f"{url.removesuffix('/v1')}/nowhere#m", timeout=10)
    with pytest.raises(TargetError, match="no chat API"):
        lost.chat([QUESTION])
    lost.close()
