"""The model behind Ray Serve, with the names of its classes beside the scores; no dashboard, for a faster start."""

import sys

import ray
from model import probabilities
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 0.2})
class Digits:
    """The digit model."""

    async def __call__(self, request: Request):
        """Probabilities, the columns in reverse, and what they are."""
        scores = probabilities((await request.json())["x"])[:, ::-1]
        return {"probabilities": scores.tolist(), "classes": [str(i) for i in range(9, -1, -1)]}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=80 << 20)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Digits.bind(), name="digits", route_prefix="/digits", blocking=True)
