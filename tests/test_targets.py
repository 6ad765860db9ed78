"""Targets are opened by name, by suffix or by asking a URL, and every mistake is one line."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from probe_match.fingerprinting.errors import BadData, ProbeMatchError, TargetError, UsageError
from probe_match.fingerprinting.oip_server import serve
from probe_match.fingerprinting.targets import open_target
from sklearn.linear_model import LogisticRegression


@pytest.fixture
def recording(tmp_path: Path) -> str:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"x": [1, 2], "label": 1}\n')
    return str(path)


def test_a_client_and_where_opens_that_client(recording: str) -> None:
    """What follows the first colon is the client's own business."""
    assert open_target(f"replay:{recording}").target == f"replay:{recording}"
    assert open_target("function:numpy:argmax").target == "function:numpy:argmax"


def test_a_bare_path_goes_by_its_suffix(recording: str) -> None:
    """A file needs no client's name, even with a colon in its path."""
    with_colon = Path(recording).with_name("a:b.jsonl")
    with_colon.write_text(Path(recording).read_text())

    assert open_target(recording).target.startswith("replay:")
    assert open_target(str(with_colon)).target.startswith("replay:")


def test_a_bare_url_is_asked_what_it_speaks() -> None:
    """With a model in the URL or only one on the server, it is opened; else the models are named."""
    models = {"a": lambda x: np.zeros(len(x), int)}
    with serve(models, (2,)) as url:
        for target in (url, f"{url}/v2/models/a"):
            client = open_target(target)

            assert client.target == f"oip:{url}/v2/models/a"
            client.close()
    with serve({**models, "b": models["a"]}, (2,)) as url, pytest.raises(UsageError, match="it serves a, b"):
        open_target(url)


def test_a_url_that_speaks_nothing_known_names_the_forms(tmp_path: Path) -> None:
    """A web server is no model: the message says how to name a protocol."""
    import http.server
    import threading

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with pytest.raises(TargetError, match="oip:URL"):
            open_target(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def test_pickles_are_opened_only_when_allowed(tmp_path: Path) -> None:
    """The permission reaches the client that needs it."""
    path = str(tmp_path / "m.joblib")
    joblib.dump(LogisticRegression().fit([[0], [1]], [0, 1]), path)

    with pytest.raises(UsageError, match="--allow-pickle"):
        open_target(path)
    assert open_target(path, allow_pickle=True).shape == (1,)


@pytest.mark.parametrize(
    ("target", "kind", "said"),
    [
        ("", UsageError, "got nothing"),
        ("  ", UsageError, "got nothing"),
        ("nonsense:model", UsageError, "choose one of anthropic, function, "),
        ("oip:", UsageError, "nothing after it"),
        ("model.txt", UsageError, "no file and no client"),
        ("missing.onnx", BadData, "no model file at 'missing.onnx'"),
        ("onnx:missing.onnx", BadData, "missing.onnx"),
        ("my.own.module:x", UsageError, "no module 'my.own.module'"),
        ("function:numpy", UsageError, "function:package.module:name"),
        ("http://u:sk-canary@host/", UsageError, "PROBE_MATCH_API_KEY"),
        ("oip:http://u:sk-canary@host/v2/models/m", UsageError, "PROBE_MATCH_API_KEY"),
    ],
)
def test_every_mistake_is_one_line(target: str, kind: type[ProbeMatchError], said: str) -> None:
    """What was expected, what came, and no secret."""
    with pytest.raises(kind, match=said) as caught:
        open_target(target)

    assert "\n" not in str(caught.value)
    assert "sk-canary" not in str(caught.value)


def test_a_module_of_the_users_own_can_be_a_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dotted name loads a client from the Python path."""
    package = tmp_path / "mine"
    package.mkdir()
    (package / "client.py").write_text("def connect(where, timeout):\n    return (where, timeout)\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert open_target("mine.client:here", timeout=7) == ("here", 7)
