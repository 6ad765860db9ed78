"""Real servers' answers, recorded once and played back, so that every test run meets them."""

import json

import numpy as np
import pytest
from peers import recording
from peers.recording import Proxy, between, conversation

NAMES = sorted(file.stem for file in recording.RECORDINGS.glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_server_is_recognised_and_read_as_when_it_was_live(name: str) -> None:
    """From its bare URL to its labels, scores and refusals."""
    kept = json.loads((recording.RECORDINGS / f"{name}.json").read_text())
    with between(Proxy(exchanges=kept["exchanges"])) as played:
        found = conversation(name, played.url, np.array(kept["asked"], np.float32))

        assert json.loads(json.dumps(found).replace(played.url, "URL")) == kept["found"]


def test_a_dozen_servers_were_recorded() -> None:
    """Other people's protocols, in their own words."""
    assert len(NAMES) >= 10
