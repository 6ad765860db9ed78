"""
Amazon SageMaker endpoints: `sagemaker:REGION/ENDPOINT`, signed with AWS's Signature Version 4 by botocore.

Credentials come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and from nowhere else; no other
file or service is asked for them. AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME is another address, as in AWS's own tools. The
body is the container's business: bare rows, `instances` and `inputs` are tried in turn, or one is named:
`sagemaker:eu-west-1/digits#inputs`.
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

import os
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.errors import UsageError

from ._rows import PATIENCE, Form, RowsClient, listed, value_of
from ._shapes import normalise
from ._transport import Reply, Transport, checked

FORMS: Final[dict[str, Form]] = {
    "rows": listed,
    "instances": lambda part: {"instances": listed(part)},
    "inputs": lambda part: {"inputs": listed(part)},
}
ELSEWHERE: Final = "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"


def connect(where: str, *, timeout: float = 60.0) -> RowsClient:
    """The endpoint of that name. Asks nothing. Raises UsageError without credentials."""
    place, _, form = where.partition("#")
    found = re.fullmatch(r"([a-z]{2}(?:-[a-z0-9]+)+)/([A-Za-z0-9](?:[A-Za-z0-9-]{0,62}))", place)
    if not found or (form and form not in FORMS):
        raise UsageError(f"expected sagemaker:REGION/ENDPOINT[#{'|'.join(FORMS)}], got 'sagemaker:{where[:100]}'")
    region, endpoint = found.groups()
    root = checked(os.environ.get(ELSEWHERE) or f"https://runtime.sagemaker.{region}.amazonaws.com").rstrip("/")
    transport = Transport(timeout=timeout, patience=PATIENCE, sign=_signer(region))

    return RowsClient(
        f"sagemaker:{where}", f"{root}/endpoints/{endpoint}/invocations", transport,
        [FORMS[form]] if form else list(FORMS.values()), _read, facts={"server": f"SageMaker {region}"},
    )  # fmt: skip


def _signer(region: str) -> Any:
    values = [os.environ.get(name, "").strip() for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    if not all(values):
        raise UsageError("SageMaker wants credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    credentials = Credentials(*values, os.environ.get("AWS_SESSION_TOKEN") or None)

    def sign(method: str, url: str, body: bytes) -> Mapping[str, str]:
        request = AWSRequest(method, url, {"Content-Type": "application/json", "Host": urlsplit(url).netloc}, body)
        SigV4Auth(credentials, "sagemaker", region).add_auth(request)
        return {name: value for name, value in request.headers.items() if name not in ("Host", "Content-Type")}

    return sign


def _read(reply: Reply, m: int) -> Answers:
    value = value_of(reply)
    if isinstance(value, dict) and len(value) == 1 and "predictions" in value:
        value = value["predictions"]
    return normalise(value, m, reply.url)
