"""
MLflow's scoring protocol: `mlflow models serve`, Databricks, SageMaker containers built by MLflow.

`mlflow:http://host:5000`, or the whole address where it is not `/invocations`. Models differ in what they want, a
tensor or a table with named columns, and say so only when they refuse; the client learns it from that.
https://mlflow.org/docs/latest/genai/serving/
"""

import ast
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.errors import TargetError

from . import _json
from ._rows import PATIENCE, Inputs, RowsClient, listed, value_of
from ._shapes import normalise
from ._transport import Reply, Transport, checked

MISSING = re.compile(r"[Mm]odel is missing inputs (\[.{1,20000}?\])")
SHAPE = re.compile(r"does not match expected shape \(-1((?:, ?\d+)+)\)")


class MLflowClient(RowsClient):
    """One model; columns are named as soon as it has said their names."""

    def _refusal(self, reply: Reply, m: int) -> TargetError:
        said = _json.printable(reply.body, 20_000)
        names = _columns(said)
        if names and len(self._forms) > 1:
            self._forms.insert(0, lambda part: _table(part, names))
        if found := SHAPE.search(said):
            self.facts["input"] = f"tensor of shape {[int(size) for size in found[1].split(',') if size.strip()]}"

        return super()._refusal(reply, m)

    def _answer(self, part: Inputs) -> Answers:
        before = len(self._forms)
        try:
            return super()._answer(part)
        except TargetError:
            if len(self._forms) == before:
                raise
            return super()._answer(part)  # now with the columns that were missing


def connect(where: str, *, timeout: float = 30.0) -> MLflowClient:
    """The model at a URL. Asks whether the server is up, nothing that counts as a query."""
    transport = Transport(timeout=timeout, site=checked(where), patience=PATIENCE)
    try:
        url = _address(where)
        facts = {"server": "MLflow"}
        if url.endswith("/invocations") and "/serving-endpoints/" not in url:
            root = url.removesuffix("/invocations")
            up = transport.get(f"{root}/ping")
            if not up.ok:
                raise transport.complaint(up)
            version = transport.get(f"{root}/version")
            if version.ok and _is_version(version):
                facts["server"] += f" {_json.printable(version.body, 20)}"
        forms = [lambda part: {"inputs": listed(part)}, lambda part: _table(part, ()), _instances]
        return MLflowClient(f"mlflow:{url}", url, transport, forms, _read, facts=facts)
    except BaseException:
        transport.close()
        raise


def detect(url: str, *, timeout: float = 30.0) -> str | None:
    """What follows `mlflow:` for a bare URL, or None where the server speaks something else."""
    if re.search(r"/invocations/?$", checked(url)):
        return url
    transport = Transport(timeout=timeout, site=url)
    try:
        reply = transport.get(f"{url.rstrip('/')}/version")
        if reply.status in (401, 403):
            raise transport.complaint(reply)
        return url if reply.ok and _is_version(reply) else None
    finally:
        transport.close()


def _address(where: str) -> str:
    url = where.rstrip("/")
    return url if re.search(r"/invocations$|/serving-endpoints/", url) else f"{url}/invocations"


def _is_version(reply: Reply) -> bool:
    return re.fullmatch(rb"\s*\d+\.\d+\.\d+\S{0,12}\s*", reply.body[:64]) is not None


def _columns(said: str) -> tuple[str, ...]:
    """Names of columns in a refusal, in the model's order; () where there are none."""
    found = MISSING.search(said.replace('\\"', '"').replace("\\'", "'"))
    try:
        names = ast.literal_eval(found[1]) if found else ()
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    sound = isinstance(names, list) and all(isinstance(name, str | int) for name in names)

    return tuple(str(name) for name in names) if sound else ()


def _table(part: Inputs, names: Sequence[str]) -> Any:
    """A table; the columns' names where they are known and as many as the inputs have values."""
    rows = [[text] for text in part] if not isinstance(part, np.ndarray) else part.reshape(len(part), -1).tolist()
    width = len(rows[0])
    table: dict[str, Any] = {"data": rows}
    if len(names) == width:
        table = {"columns": list(names), **table}

    return {"dataframe_split": table}


def _instances(part: Inputs) -> Any:
    return {"instances": listed(part)}


def _read(reply: Reply, m: int) -> Answers:
    value = value_of(reply)
    if not isinstance(value, dict) or "predictions" not in value:
        return normalise(value, m, reply.url)  # servers before 2.0
    return normalise(value["predictions"], m, reply.url)
