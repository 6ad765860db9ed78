"""
Trusted time (RFC 3161): what an authority says existed at a moment, checked offline against roots that were pinned.

Two authorities vouch for each thing, so that neither can backdate it alone: what counts is the *later* of their times.
A token is told apart from that of another authority by the root its chain ends at, one root at a time, and by the
certificate that signed it; what a token says of itself decides nothing. Tokens have spare bits, so whoever keeps one
seals its digest too. Needs the extra `evidence`.
"""

import datetime
import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData, MissingPackage

try:
    import rfc3161_client as rfc3161
except ModuleNotFoundError as _error:
    raise MissingPackage("timestamps need rfc3161-client: pip install 'probe-match[evidence]'") from _error

QUERY: Final = "application/timestamp-query"
REPLY: Final = "application/timestamp-reply"
ENOUGH: Final = 2  # authorities
MOST: Final = 64 << 10  # bytes of a token; one has about 2,000
SHA256: Final = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
# What the parsers of tokens and certificates raise on broken ones; found by changing tokens byte by byte.
BROKEN: Final = (
    ValueError, TypeError, KeyError, rfc3161.VerificationError, x509.InvalidVersion, UnsupportedAlgorithm,
    CryptographyDeprecationWarning,
)  # fmt: skip


class Authority(NamedTuple):
    """One that is trusted. roots: self-signed certificates, mostly one. between: certificates it issues through."""

    name: str
    roots: tuple[x509.Certificate, ...]
    between: tuple[x509.Certificate, ...] = ()


class Stamp(NamedTuple):
    """
    What a token says. authority: by the name it is pinned under. time: UTC. margin: by how much the authority says it
    may be off. signer: SHA-256 of the certificate that signed, in hex. serial: of the token. policy: an OID.
    """

    authority: str
    time: datetime.datetime
    margin: datetime.timedelta
    signer: str
    serial: int
    policy: str


class Query(NamedTuple):
    """What is sent to an authority, DER, and the nonce that its answer must repeat."""

    der: bytes
    nonce: int


def query(data: bytes) -> Query:
    """A question for the time of `data`, of which only the SHA-256 leaves; with a fresh nonce."""
    built = (
        rfc3161.TimestampRequestBuilder().data(data).hash_algorithm(rfc3161.HashAlgorithm.SHA256)
        .nonce(nonce=True).cert_request(cert_request=True).build()
    )  # fmt: skip
    assert built.nonce is not None
    return Query(built.as_bytes(), built.nonce)


def authority(path: Path) -> Authority:
    """The authority whose certificates stand in a PEM file, named after the file. Raises BadData."""
    data = storage.read_file(path, "certificates of a timestamp authority")
    try:
        found = x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise BadData(f"expected certificates in PEM in {path}, got something else") from error
    roots = tuple(certificate for certificate in found if certificate.issuer == certificate.subject)
    if not roots:
        raise BadData(f"expected a self-signed root certificate in {path}, got {len(found)} that others issued")

    return Authority(path.stem, roots, tuple(certificate for certificate in found if certificate not in roots))


def verify(
    token: bytes, data: bytes, trusted: Sequence[Authority], where: str = "the timestamp", nonce: int | None = None
) -> Stamp:
    """
    What a token says of `data`. nonce: of the query, where the token was asked for just now.

    Raises BadData where it is broken, of other data, of no trusted authority, or answers another query.
    """
    if len(token) > MOST:
        raise BadData(f"{where} has {len(token)} bytes; tokens of at most {MOST} are read")
    try:
        reply = rfc3161.decode_timestamp_response(token)
        info = reply.tst_info
        imprint = info.message_imprint
        (signer,) = reply.signed_data.signer_infos
        signed_by = _signer(reply, signer)
    except BROKEN as error:
        raise BadData(f"{where} is no granted timestamp with its certificate ({str(error)[:80]})") from error
    if imprint.hash_algorithm != SHA256 or imprint.message != hashlib.sha256(data).digest():
        raise BadData(f"{where} is of something else than it is kept with")
    if nonce is not None and info.nonce != nonce:
        raise BadData(f"{where} does not answer this query: it repeats another nonce, or none; ask again")
    known = [one for one in trusted if _vouches(one, token, data, signed_by)]
    if len(known) != 1:
        which = "no trusted authority" if not known else "more than one"
        raise BadData(f"{where} is from {which}; expected one of: {', '.join(one.name for one in trusted) or 'none'}")
    digest = hashlib.sha256(signed_by.public_bytes(Encoding.DER)).hexdigest()

    return Stamp(known[0].name, _utc(info.gen_time), _margin(info), digest, info.serial_number,
                 info.policy.dotted_string)  # fmt: skip


def together(stamps: Sequence[Stamp], where: str) -> datetime.datetime:
    """
    When something was there at the latest, if ENOUGH authorities say so: the latest of their times.

    Raises BadData where fewer vouch, or one stands there twice.
    """
    names, signers = {stamp.authority for stamp in stamps}, {stamp.signer for stamp in stamps}
    if len(names) < len(stamps) or len(signers) < len(stamps):
        raise BadData(f"{where} has two timestamps of one authority; expected one of each")
    if len(stamps) < ENOUGH:
        raise BadData(f"{where} has timestamps of {len(stamps)} authorities, evidence needs {ENOUGH}")

    return max(stamp.time + stamp.margin for stamp in stamps)


def earlier(first: Sequence[Stamp], second: Sequence[Stamp]) -> Literal["first", "second", "ambiguous"]:
    """
    Which of two claims on one model was committed to first, by the timestamps of their commitments.

    A commitment is as old as the *latest* of its times says, so that one authority's clock, or one that was bribed,
    does not make it older. Where ENOUGH authorities do not vouch for both, or the margins overlap, nobody wins.
    """
    if min(len({stamp.authority for stamp in stamps}) for stamps in (first, second)) < ENOUGH:
        return "ambiguous"
    (early, late), (other_early, other_late) = (
        (max(s.time - s.margin for s in stamps), max(s.time + s.margin for s in stamps)) for stamps in (first, second)
    )
    if late < other_early:
        return "first"
    return "second" if other_late < early else "ambiguous"


def _vouches(trusted: Authority, token: bytes, data: bytes, signer: x509.Certificate) -> bool:
    """Whether a token's chain ends at this authority's root, was valid then, and its signer may tell the time."""
    builder = rfc3161.VerifierBuilder(
        roots=list(trusted.roots), intermediates=list(trusted.between), tsa_certificate=signer
    )
    try:
        return bool(builder.build().verify_message(rfc3161.decode_timestamp_response(token), data))
    except BROKEN:
        return False


def _signer(reply: rfc3161.TimeStampResponse, info: rfc3161.SignerInfo) -> x509.Certificate:
    """The one embedded certificate that the signature names. Raises any of BROKEN."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)  # what a later release refuses is refused now
        held = [x509.load_der_x509_certificate(der) for der in reply.signed_data.certificates]
        (named,) = (one for one in held if one.issuer == info.issuer and one.serial_number == info.serial_number)
    return named


def _margin(info: rfc3161.TimeStampTokenInfo) -> datetime.timedelta:
    accuracy = info.accuracy
    if accuracy is None:
        return datetime.timedelta(0)
    return datetime.timedelta(
        seconds=accuracy.seconds or 0, milliseconds=accuracy.millis or 0, microseconds=accuracy.micros or 0
    )


def _utc(time: datetime.datetime) -> datetime.datetime:
    return time.replace(tzinfo=datetime.timezone.utc) if time.tzinfo is None else time
