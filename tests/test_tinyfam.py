"""TinyFam: what is done to its models is what it is called, and a zoo is built and built on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import tinyfam
import tinyfam_network as network
import torch
from probe_match.fingerprinting.chat.records import Question, Sampling
from tiny import changes, training
from tinyfam_serving import Deployment, Laundered, Routed, TinyChat

WORD = Question("w", "word", "Name an animal.", sampling=Sampling(max_tokens=6))
GREEDY = replace(WORD, sampling=Sampling(temperature=0, max_tokens=1, logprobs=5))


@pytest.mark.parametrize("text", ["The old cat.", "Ünï — 日本 \n\t x", "", "<|end|> is no mark"])
def test_every_text_survives_its_tokens(text: str) -> None:
    """Bytes are the alphabet, so that nothing is unknown, and no text turns into a mark."""
    ids = tiny.tokenizer().encode(text)

    assert tiny.tokenizer().decode(ids) == text
    assert not any(256 <= i < 261 for i in ids)
    assert len(ids) < max(1, len(text.encode())) + 1


def test_weights_are_changed_as_the_names_say() -> None:
    """Pruning empties a share, rounding leaves few values, a merge lies between."""
    weight = tiny.foundation().network.blocks[0].up.weight
    pruned, rounded = changes.pruned(0.5)(weight), changes.rounded(4)(weight)
    merged = changes.merged(tiny.foundation(), tiny.tuned(), 0.5).network.blocks[0].up.weight

    assert (pruned == 0).float().mean() == pytest.approx(0.5, abs=0.01)
    assert max(len(row.unique()) for row in rounded) <= 15
    torch.testing.assert_close(merged, (weight + tiny.tuned().network.blocks[0].up.weight) / 2)


def test_training_lowers_the_loss_of_what_is_trained() -> None:
    """Fine-tuning, low-rank tuning and distillation each come nearer to the texts or odds they learn."""
    words, model = tiny.tokenizer(), tiny.foundation()
    stream = training.tokens(tiny.Author("ledger", 5), words, 100)
    batch = next(training.batches(stream, 16, 1))

    def loss(one: network.Model) -> float:
        with torch.no_grad():
            return float(training._loss(one.network, batch))

    low = training.low_rank(model, stream, 20, 1)
    assert loss(low) < loss(model)
    assert loss(training.tuned(model, stream, [20], 1)[20]) < loss(model)
    assert loss(training.distilled(model, stream, 40, 1)) < np.log(len(words)) - 0.5
    np.testing.assert_array_equal(low.network.blocks[0].up.weight.detach(), model.network.blocks[0].up.weight.detach())


def test_a_model_survives_its_file(tmp_path: Path) -> None:
    """What was saved answers alike when it is loaded, and holds no pickle."""
    network.save(tiny.foundation(), tmp_path / "m.npz")
    again = network.load(tmp_path / "m.npz")
    ids = torch.tensor([[1, 2, 3]])

    torch.testing.assert_close(again.network(ids), tiny.foundation().network(ids))
    with np.load(tmp_path / "m.npz", allow_pickle=False) as arrays:
        assert all(array.dtype != object for array in (arrays[name] for name in arrays.files))


def test_a_zoo_is_built_and_built_on(tmp_path: Path) -> None:
    """A second run makes only what is missing, and the same again; another recipe is refused."""
    recipe = tinyfam.Recipe(steps=3, layers=1, width=16, documents=40, small=True)
    zoo = tinyfam.build(tmp_path, recipe, quiet=True)
    gone = tmp_path / "short-tales-1-int4.npz"
    kept = tmp_path / "short-tales-1.npz"
    before, stamp = network.load(gone), kept.stat().st_mtime_ns
    gone.unlink()
    tinyfam.build(tmp_path, recipe, quiet=True)

    assert len(zoo.lines) == 4 * 5
    torch.testing.assert_close(before.network.embedding.weight, network.load(gone).network.embedding.weight)
    assert kept.stat().st_mtime_ns == stamp
    with pytest.raises(SystemExit, match="give another --output"):
        tinyfam.build(tmp_path, replace(recipe, seed=1), quiet=True)


def test_a_full_zoo_has_the_promised_families() -> None:
    """Eight foundations and at least twelve derivatives of each, parents before their children."""
    lines = list(tinyfam._plan(tinyfam.Recipe()))
    foundations = [line.name for line in lines if line.parent is None]
    names = [line.name for line in lines]

    assert len(foundations) == 8
    assert min(sum(line.parent == name for line in lines) for name in foundations) >= 12
    assert all(line.parent is None or names.index(line.parent) < i for i, line in enumerate(lines))


def test_answers_follow_the_settings_of_a_question() -> None:
    """Temperature 0 says the likeliest token, a seed repeats an answer, log-probabilities are sorted and sound."""
    client = TinyChat(tiny.foundation(), Deployment(jitter=0.0))
    first = client.chat([GREEDY])[0]
    seeded = replace(WORD, sampling=Sampling(max_tokens=6, seed=4))

    assert first.text == first.logprobs[0][0][0] or first.logprobs[0][0][0].startswith("<|")
    assert [p for _, p in first.logprobs[0]] == sorted((p for _, p in first.logprobs[0]), reverse=True)
    assert sum(np.exp(p) for _, p in first.logprobs[0]) <= 1
    assert len({answer.text for answer in client.chat([seeded] * 5)}) == 1
    assert len({answer.text for answer in client.chat([WORD] * 20)}) > 5
    assert first.answer_tokens == 1


def test_a_small_nucleus_is_greedy() -> None:
    """top_p near nothing leaves the likeliest token alone."""
    client = TinyChat(tiny.foundation(), Deployment(jitter=0.0))
    narrow = replace(WORD, sampling=Sampling(max_tokens=1, top_p=1e-6))

    assert {answer.text for answer in client.chat([narrow] * 10)} == {client.chat([GREEDY])[0].text}


def test_deployments_do_what_they_are_called() -> None:
    """A system prompt costs tokens, a cache repeats itself, a route answers by share, a launderer says it otherwise."""
    plain = TinyChat(tiny.foundation(), seed=1)
    above = TinyChat(tiny.foundation(), Deployment(system="Be formal.", usage=True))
    cached = TinyChat(tiny.foundation(), Deployment(cached=True))
    silent = TinyChat(tiny.foundation(), Deployment(usage=False, logprobs=False))
    fixed = TinyChat(tiny.foundation(), Deployment(temperature=0.0, jitter=0.0))
    other = TinyChat(tiny.foundation(), target="other")

    assert above.chat([WORD])[0].prompt_tokens > plain.chat([WORD])[0].prompt_tokens
    assert len({answer.text for answer in cached.chat([WORD] * 10) + cached.chat([WORD] * 10)}) == 1
    assert silent.chat([GREEDY])[0].logprobs == ()
    assert silent.chat([GREEDY])[0].prompt_tokens == -1
    assert len({answer.text for answer in fixed.chat([WORD] * 10)}) == 1
    routed = Routed(plain, other, 0.3).chat([WORD] * 200)
    assert 0.2 < np.mean([answer.model == "other" for answer in routed]) < 0.4
    assert Laundered(plain, other).chat([WORD])[0].model == "other"
