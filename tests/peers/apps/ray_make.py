"""Writes Ray Serve's configuration, which alone says on which port it listens."""

import sys
from pathlib import Path

Path("ray.yaml").write_text(
    f"http_options: {{host: 127.0.0.1, port: {sys.argv[1]}}}\n"
    "applications: [{name: digits, route_prefix: /digits, import_path: 'ray_app:app'}]\n"
)
