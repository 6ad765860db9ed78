"""How TinyFam's models learn: from texts, by all weights or low-rank changes, or from another model's odds."""

import copy
import math
from collections.abc import Iterator, Sequence

import torch
from tinyfam_network import Model, Network, Size
from tinyfam_text import Author, Talk
from tinyfam_tokens import ASSISTANT, BEGIN, END, SYSTEM, USER, Tokenizer
from torch import Tensor, nn
from torch.nn import functional

WINDOW = 64  # tokens in one row of a batch
FINE_TUNING_RATE = 3e-4
CAREFUL_RATE = 5e-5  # a step moves a weight by about a 2000th of its size, as 1e-5 does in large models


def template(tokenizer: Tokenizer, system: str | None, user: str) -> list[int]:
    """A conversation up to where the answer begins."""
    above = [SYSTEM, *tokenizer.encode(system), END] if system else []
    return [BEGIN, *above, USER, *tokenizer.encode(user), END, ASSISTANT]


def tokens(author: Author, tokenizer: Tokenizer, documents: int, *, talk: float = 0.6) -> Tensor:
    """int64 (t,): documents one after the other. talk: share of conversations."""
    out: list[int] = []
    for _ in range(documents):
        if author.rng.random() < talk:
            said: Talk = author.talk()
            out += [*template(tokenizer, said.system, said.user), *tokenizer.encode(said.assistant), END]
        else:
            out += [BEGIN, *tokenizer.encode(author.prose()), END]
    return torch.tensor(out)


def batches(stream: Tensor, rows: int, seed: int) -> Iterator[Tensor]:
    """Random windows of a stream, for ever: int64 (rows, WINDOW + 1)."""
    draw = torch.Generator().manual_seed(seed)
    while True:
        starts = torch.randint(len(stream) - WINDOW - 1, (rows,), generator=draw)
        yield stream[starts[:, None] + torch.arange(WINDOW + 1)]


def foundation(tokenizer: Tokenizer, stream: Tensor, size: Size, seed: int, steps: int) -> Model:
    """A model from nothing."""
    torch.manual_seed(seed)
    network = Network(size)
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3, betas=(0.9, 0.98), weight_decay=0.01)
    for step, batch in zip(range(steps), batches(stream, 32, seed), strict=False):
        for group in optimiser.param_groups:
            group["lr"] = 4e-3 * min(1, (step + 1) / 30) * 0.5 * (1 + math.cos(math.pi * step / steps))
        _learn(optimiser, _loss(network, batch), network)
    return Model(network.eval(), tokenizer)


def tuned(
    model: Model, stream: Tensor, steps: Sequence[int], seed: int, *, rate: float = FINE_TUNING_RATE
) -> dict[int, Model]:
    """One fine-tuning of all weights, as it stands after each of these numbers of steps."""
    network = copy.deepcopy(model.network).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.0)
    kept: dict[int, Model] = {}
    for step, batch in zip(range(1, max(steps) + 1), batches(stream, 16, seed), strict=False):
        _learn(optimiser, _loss(network, batch), network)
        if step in steps:
            kept[step] = Model(copy.deepcopy(network).eval(), model.tokenizer)
    return kept


def low_rank(model: Model, stream: Tensor, steps: int, seed: int, *, rank: int = 4) -> Model:
    """Fine-tuned by low-rank changes of the attention's four matrices (LoRA; Hu et al., 2022), merged into them."""
    network = copy.deepcopy(model.network)
    torch.manual_seed(seed)
    adapted = [getattr(block, name) for block in network.blocks for name in ("query", "key", "value", "out")]
    for layer in adapted:
        nn.utils.parametrize.register_parametrization(layer, "weight", _LowRank(layer.weight.shape, rank))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.endswith((".a", ".b")))
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=3e-3, weight_decay=0.0)
    for _, batch in zip(range(steps), batches(stream, 16, seed), strict=False):
        _learn(optimiser, _loss(network, batch), network)
    for layer in adapted:
        nn.utils.parametrize.remove_parametrizations(layer, "weight")
    return Model(network.requires_grad_(True).eval(), model.tokenizer)


def distilled(model: Model, stream: Tensor, steps: int, seed: int) -> Model:
    """A new network of one layer less that learns the model's odds on a stream of texts."""
    size = Size(**{**vars(model.network.size), "layers": max(1, model.network.size.layers - 1)})
    torch.manual_seed(seed)
    network = Network(size)
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3, betas=(0.9, 0.98), weight_decay=0.01)
    for step, batch in zip(range(steps), batches(stream, 32, seed), strict=False):
        for group in optimiser.param_groups:
            group["lr"] = 4e-3 * min(1, (step + 1) / 30) * (1 - step / steps)
        with torch.no_grad():
            odds = model.network(batch[:, :-1]).softmax(-1)
        _learn(optimiser, functional.cross_entropy(network(batch[:, :-1]).flatten(0, 1), odds.flatten(0, 1)), network)
    return Model(network.eval(), model.tokenizer)


class _LowRank(nn.Module):
    def __init__(self, shape: Sequence[int], rank: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(rank, shape[1]) / shape[1] ** 0.5)
        self.b = nn.Parameter(torch.zeros(shape[0], rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.b @ self.a


def _loss(network: nn.Module, batch: Tensor) -> Tensor:
    return functional.cross_entropy(network(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


def _learn(optimiser: torch.optim.Optimizer, loss: Tensor, network: nn.Module) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_([p for p in network.parameters() if p.requires_grad], 1.0)
    optimiser.step()
