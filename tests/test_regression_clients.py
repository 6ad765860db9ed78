"""Every client gives a regressor's numbers as they are."""

from pathlib import Path

import numpy as np
import pytest
import skl2onnx
import skops.io
import torch
from probe_match.clients import function, oip, replay, sklearn
from probe_match.clients import onnx as onnx_client
from probe_match.clients import torch as torch_client
from probe_match.fingerprinting import derivatives
from probe_match.fingerprinting.collect import Client, ask
from probe_match.fingerprinting.errors import TargetError
from probe_match.fingerprinting.oip_server import serve
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.records import Pool
from sklearn.datasets import make_friedman1
from sklearn.linear_model import Ridge
from torch import nn

WIDTH = 6


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Sixty rows with measurements from -1 to 1."""
    x, y = make_friedman1(60, WIDTH, random_state=0)
    return make_pool(x.astype(np.float32), (y - y.mean()) / np.abs(y).max())


@pytest.fixture(scope="module")
def model(pool: Pool) -> Ridge:
    """A ridge regression of them."""
    return Ridge().fit(pool.x, pool.y)


def module_of(model: Ridge) -> nn.Module:
    """The same function as a torch module."""
    layer = nn.Linear(WIDTH, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(model.coef_[None]))
        layer.bias.fill_(float(model.intercept_))
    return nn.Sequential(layer)


@pytest.mark.parametrize(
    "name", ["function", "column", "sklearn", "skops", "torch", "pt2", "onnx", "one row", "oip", "npz"]
)
def test_numbers_arrive_as_they_are(name: str, pool: Pool, model: Ridge, tmp_path: Path) -> None:
    """Negative ones, fractions and whole ones, whatever carries them."""
    assert isinstance(pool.x, np.ndarray)
    with serve({"m": model.predict}, (WIDTH,), max_rows=7) as url:
        client: Client
        if name in ("function", "column"):
            shape = (-1, 1) if name == "column" else (-1,)
            client = function.wrap(lambda rows: model.predict(rows).reshape(shape))
        elif name == "sklearn":
            client = sklearn.wrap(model)
        elif name == "skops":
            skops.io.dump(model, tmp_path / "m.skops")
            client = sklearn.connect(str(tmp_path / "m.skops"))
        elif name == "torch":
            client = torch_client.wrap(nn.Sequential(module_of(model), nn.Flatten(0)), (WIDTH,))
        elif name == "pt2":
            dynamic = {"x": {0: torch.export.Dim("rows", min=1)}}
            program = torch.export.export(_Named(module_of(model)), (torch.zeros(3, WIDTH),), dynamic_shapes=dynamic)
            torch.export.save(program, tmp_path / "m.pt2")
            client = torch_client.connect(str(tmp_path / "m.pt2"))
        elif name in ("onnx", "one row"):
            rows = 1 if name == "one row" else None
            given = [("X", skl2onnx.common.data_types.FloatTensorType([rows, WIDTH]))]
            graph = skl2onnx.convert_sklearn(model, initial_types=given)
            (tmp_path / "m.onnx").write_bytes(graph.SerializeToString())
            client = onnx_client.connect(str(tmp_path / "m.onnx"))
        elif name == "oip":
            client = oip.connect(f"{url}/v2/models/m")
        else:
            np.savez(tmp_path / "m.npz", x=pool.x, labels=model.predict(pool.x))
            client = replay.connect(str(tmp_path / "m.npz"))
        asked = ask(client, pool.x, pool.spec, access="label")

    assert asked.scores is not None
    assert asked.labels.tolist() == [0] * len(pool)
    np.testing.assert_allclose(asked.scores[:, 0], model.predict(pool.x), rtol=1e-4, atol=1e-5)


class _Named(nn.Module):
    """A module whose input has a name to export it by."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the inner module answers."""
        return torch.as_tensor(self.inner(x))


def test_minus_one_in_a_recording_is_an_answer(pool: Pool, tmp_path: Path) -> None:
    """Among labels it stands for none."""
    np.savez(tmp_path / "m.npz", x=pool.x, labels=np.full(len(pool), -1.0))
    asked = ask(replay.connect(str(tmp_path / "m.npz")), pool.x, pool.spec)

    assert asked.scores is not None
    assert (asked.scores == -1).all()


def test_a_torch_regressor_is_tuned_pruned_and_rounded(pool: Pool) -> None:
    """Its copies answer nearly as it does, and those that were tuned are nearer to the measurements."""
    assert isinstance(pool.x, np.ndarray)
    torch.manual_seed(0)
    client = torch_client.wrap(nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, 1)), (WIDTH,))
    many = make_pool(np.tile(pool.x, (8, 1)) + np.arange(480, dtype=np.float32)[:, None] * 1e-6, np.tile(pool.y, 8))
    before = ask(client, pool.x, pool.spec).scores
    panel = derivatives.derive(client, many, pool.x, 0)

    assert before is not None
    assert panel is not None
    assert panel.scores is not None
    assert panel.scores.shape[1:] == (len(pool), 1)
    error = {
        name: float(((given[:, 0] - pool.y) ** 2).mean()) for name, given in zip(panel.names, panel.scores, strict=True)
    }
    assert error["shadow (fine-tuned)"] < ((before[:, 0] - pool.y) ** 2).mean()


def test_a_module_of_several_outputs_is_no_regressor(pool: Pool) -> None:
    """One line says how many came."""
    with pytest.raises(TargetError, match="expected one number per input from torch:Linear, got 3"):
        ask(torch_client.wrap(nn.Linear(WIDTH, 3), (WIDTH,)), pool.x, pool.spec)
