"""
TinyFam's network: a decoder-only transformer with rotary positions, tied embeddings and RMS norms.

Prompts are padded on the right: the network is causal, so nothing before the padding sees it.
"""

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from probe_match.fingerprinting import storage
from tinyfam_tokens import Tokenizer
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Size:
    """width: of the hidden state. context: most tokens read at once; what is longer loses its beginning."""

    vocabulary: int
    layers: int = 2
    width: int = 64
    heads: int = 4
    context: int = 256


class Block(nn.Module):
    """Attention, then a perceptron, each added to what came in."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.heads = size.heads
        self.norm_a, self.norm_b = nn.RMSNorm(size.width), nn.RMSNorm(size.width)
        self.query = nn.Linear(size.width, size.width, bias=False)
        self.key = nn.Linear(size.width, size.width, bias=False)
        self.value = nn.Linear(size.width, size.width, bias=False)
        self.out = nn.Linear(size.width, size.width, bias=False)
        self.up = nn.Linear(size.width, 4 * size.width, bias=False)
        self.down = nn.Linear(4 * size.width, size.width, bias=False)

    def forward(self, x: Tensor, turn: Tensor) -> Tensor:
        """x: (n, t, width). turn: (t, width/heads/2) angles."""
        h = self.norm_a(x)
        q, k, v = (
            layer(h).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(_turned(q, turn), _turned(k, turn), v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.norm_b(x))))


class Network(nn.Module):
    """Next-token logits."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.embedding = nn.Embedding(size.vocabulary, size.width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.norm = nn.RMSNorm(size.width)
        nn.init.normal_(self.embedding.weight, std=0.05)
        half = size.width // size.heads // 2
        self.register_buffer("pace", 1000.0 ** -(torch.arange(half) / half), persistent=False)

    def hidden(self, ids: Tensor) -> Tensor:
        """The last hidden state, normed: (n, t) -> (n, t, width)."""
        turn = torch.arange(ids.shape[1])[:, None] * self.pace
        x = self.embedding(ids) * self.size.width**0.5
        for block in self.blocks:
            x = block(x, turn)
        return self.norm(x)

    def head(self, hidden: Tensor) -> Tensor:
        """Logits: (…, width) -> (…, vocabulary)."""
        return hidden @ self.embedding.weight.T

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of what follows each token: (n, t) -> (n, t, vocabulary)."""
        return self.head(self.hidden(ids))


def _turned(x: Tensor, turn: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat([a * turn.cos() - b * turn.sin(), a * turn.sin() + b * turn.cos()], -1)


@dataclass(frozen=True, eq=False)
class Model:
    """A network and the tokenizer it was trained with."""

    network: Network
    tokenizer: Tokenizer


def save(model: Model, file: Path) -> None:
    """An npz archive of the weights, the merges and the size, written whole or not at all."""
    arrays = {f"w.{name}": value.detach().numpy() for name, value in model.network.state_dict().items()}
    arrays["merges"] = np.array(model.tokenizer.merges, np.int32).reshape(-1, 2)
    arrays["size"] = np.frombuffer(json.dumps(asdict(model.network.size)).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    storage.write_file(file, buffer.getvalue())


def load(file: Path) -> Model:
    """What `save` wrote. Raises BadData."""
    arrays = storage.read_npz(storage.read_file(file, "model"), str(file))
    size = Size(**json.loads(arrays.pop("size").tobytes()))
    tokenizer = Tokenizer([tuple(pair) for pair in arrays.pop("merges").tolist()])
    network = Network(size)
    network.load_state_dict({name[2:]: torch.from_numpy(value) for name, value in arrays.items()})
    return Model(network.eval(), tokenizer)
