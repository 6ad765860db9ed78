"""
Timestamp authorities of one's own, on loopback HTTP: `openssl ts` behind a small server. For tests and benchmarks.

Their certificates are made with cryptography and stay valid for a century, so that tokens kept as samples do too.
"""

import contextlib
import datetime
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from probe_match.fingerprinting.evidence import timestamps
from probe_match.fingerprinting.evidence.timestamps import Authority

CENTURY = datetime.timedelta(days=36500)
CONFIG = """[tsa]
default_tsa = this
[this]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/signer.pem
signer_key = {folder}/signer.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
"""


class LocalTsa(NamedTuple):
    """folder: with root.pem, signer.pem and keys. trusted: what to pin."""

    folder: Path
    trusted: Authority

    def answer(self, query: bytes) -> bytes:
        """The reply to one query, by `openssl ts -reply`."""
        with tempfile.TemporaryDirectory() as place:
            asked, told = Path(place, "q"), Path(place, "r")
            asked.write_bytes(query)
            command = ["openssl", "ts", "-reply", "-queryfile", asked, "-out", told, "-config", self.folder / "tsa.cnf"]
            subprocess.run(command, check=True, capture_output=True)
            return told.read_bytes()

    def stamp(self, data: bytes) -> bytes:
        """A token for data, without a server between."""
        return self.answer(timestamps.query(data).der)


def make(folder: Path, name: str, *, usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.TIME_STAMPING) -> LocalTsa:
    """A new authority in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} {what}")]) for what in ("root", "signer")]
    made = []
    for place, purpose in enumerate((None, usage)):
        builder = (
            x509.CertificateBuilder().subject_name(names[place]).issuer_name(names[0])
            .public_key(keys[place].public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now).not_valid_after(now + CENTURY)
            .add_extension(x509.BasicConstraints(ca=purpose is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[place].public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
            .add_extension(_uses(purpose is None), critical=True)
        )  # fmt: skip
        if purpose is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
        made.append(builder.sign(keys[0], hashes.SHA256()))
    for file, certificate in (("root.pem", made[0]), ("signer.pem", made[1])):
        (folder / file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    kind = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "signer.key").write_bytes(keys[1].private_bytes(*kind))
    (folder / "serial").write_text("01\n")
    (folder / "tsa.cnf").write_text(CONFIG.format(folder=folder))

    return LocalTsa(folder, Authority(name, (made[0],)))


def _uses(root: bool) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
    return x509.KeyUsage(**{name: name == ("key_cert_sign" if root else "digital_signature") for name in names})


@contextlib.contextmanager
def serving(tsa: LocalTsa) -> Iterator[str]:
    """The authority behind HTTP on this machine, as its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            right = self.headers["Content-Type"] == timestamps.QUERY and "Authorization" not in self.headers
            body = tsa.answer(query) if right else b""
            self.send_response(200 if right else 415)
            self.send_header("Content-Type", timestamps.REPLY)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/tsr"
        finally:
            server.shutdown()
            thread.join()
