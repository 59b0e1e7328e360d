r"""The head of a plain delivery: the one request that is read without an HTTP library. Performs no I/O of its own.

    POST /webhook HTTP/1.1
    Content-Length: 263
    X-Hub-Signature-256: sha256=<64 hex digits>

with whatever other lines that change nothing. It has to match to the letter: what has two lengths, a coding, an
expectation, an upgrade, another way to end than the next request, or a line that two readers could read in two ways is
not plain. Nobody can so tell a proxy one thing and us another.
"""

import re

LONGEST_HEAD = 8190  # bytes


def plain(data: bytes) -> tuple[bytes, int, int] | None:
    """The claimed digest, the length of the body and where it begins; None when `data` begins with no such head."""
    head = _PLAIN.match(data, 0, LONGEST_HEAD)
    if head is None:
        return None
    length, digest = head.group(1, 2) if head[1] else head.group(4, 3)
    return bytes.fromhex(digest.decode()), int(length), head.end()


# Lines that mean something to HTTP, or to us, are none of the others; so length and signature are there exactly once.
_MEANT = (
    rb"content-length|x-hub-signature-256|transfer-encoding|content-encoding|expect|upgrade"
    rb"|connection(?!:[ ]?keep-alive\r\n)"
)
_OTHERS = rb"(?:(?!(?i:" + _MEANT + rb"):)[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+"
_LENGTH = rb"(?i:content-length):[ ]?([0-9]{1,9})\r\n"
_DIGEST = rb"(?i:x-hub-signature-256):[ ]?sha256=([0-9a-fA-F]{64})\r\n"
_EITHER = rb"(?:" + _LENGTH + _OTHERS + _DIGEST + rb"|" + _DIGEST + _OTHERS + _LENGTH + rb")"
_PLAIN = re.compile(rb"POST /webhook HTTP/1\.1\r\n" + _OTHERS + _EITHER + _OTHERS + rb"\r\n")
