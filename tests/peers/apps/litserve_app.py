"""The model behind LitServe."""

import sys

import litserve as ls
from model import probabilities


class Digits(ls.LitAPI):
    """The digit model."""

    def setup(self, device):
        """Nothing to load."""

    def decode_request(self, request):
        """Rows."""
        return request["input"]

    def predict(self, x):
        """Probabilities."""
        return probabilities(x)

    def encode_response(self, output):
        """As JSON."""
        return {"output": output.tolist()}


if __name__ == "__main__":
    server = ls.LitServer(Digits(max_batch_size=1), accelerator="cpu", timeout=30, max_payload_size=1_000_000)
    server.run(port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False, num_api_servers=1)
