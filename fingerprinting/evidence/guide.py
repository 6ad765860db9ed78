"""VERIFY.md: how to check a bundle, with this program, without it, and by hand."""

from typing import Final

TEXT: Final = """# How to check this bundle

You need the public key of the owner (64 hex digits) and the root certificates of the timestamp authorities, both from
somebody else than whoever gave you this file.

1. With the program that wrote it:

       pip install 'probe-match[evidence]'
       probe-match claim verify BUNDLE.mfpb --owner KEY --tsa-root north.pem --tsa-root south.pem

   Exit code 0: valid, and everything was recomputed. 1: invalid. 2: unreadable. 3: valid, but not all was opened, or
   the times could not be trusted.

2. With a second program of eighty lines that shares no code with the first (docs/second_verifier.py of probe-match):

       python second_verifier.py BUNDLE.mfpb --owner KEY --root north.pem --root south.pem

3. The times by hand. A bundle is a plain zip. Line {last} of book.jsonl says how the case ended, line {commitment} what
   was committed to before; their timestamps are over the line without its end:

       unzip BUNDLE.mfpb -d bundle && cd bundle
       sed -n {last}p book.jsonl | tr -d '\\n' > line
       openssl ts -verify -data line -in timestamps/link-{last}-1.tsr -CAfile north.pem
       openssl ts -reply -text -in timestamps/link-{last}-1.tsr

4. The digests by hand. statement.dsse.json names the SHA-256 of every other file:

       sed 's/.*"payload":"\\([^"]*\\)".*/\\1/' statement.dsse.json | base64 -d
       sha256sum book.jsonl result.json

What this shows: that the claim was sealed by the holder of that key, by these times, and that its figures follow from
its records by the rule it was committed to. What it does not show: that the recorded answers came from the endpoint
that is named, or who holds which weights. It draws no conclusion of law.
"""


def text(links: int) -> str:
    """For a bundle whose case book has that many links."""
    return TEXT.format(last=links, commitment=links - 1)
