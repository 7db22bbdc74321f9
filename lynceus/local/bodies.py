"""The body of an HTTP request as it comes over the wire: by its length, or in chunks."""

from __future__ import annotations

from email.message import Message
from io import BufferedIOBase

from chalicelib.core.errors import BadRequest, BodyTooLarge

DRAIN_LIMIT = 64 * 1024 * 1024  # bytes of a refused body read and thrown away, so that the answer arrives


def read_body(headers: Message[str, str], stream: BufferedIOBase, limit: int) -> bytes:
    """The request's body by its length or in chunks.

    Raises BodyTooLarge over the limit in bytes, after reading a bounded rest, and BadRequest for a framing that
    says nothing, or two things.
    """
    if "Transfer-Encoding" in headers:
        if headers["Transfer-Encoding"].strip().lower() != "chunked" or "Content-Length" in headers:
            raise BadRequest("the body's length is not clear: send Content-Length or chunks")
        return _read_chunks(stream, limit)
    lengths = set(headers.get_all("Content-Length", ["0"]))
    text = lengths.pop().strip()
    if lengths or not text.isascii() or not text.isdigit() or len(text) > 15:
        raise BadRequest(f'Content-Length "{text[:40]}" is no length')
    if int(text) > limit:
        drain(stream, min(int(text), DRAIN_LIMIT))
        raise _too_large(limit)
    body = stream.read(int(text))
    if len(body) < int(text):
        raise BadRequest("the body ends before its Content-Length")
    return body


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit} bytes")


def drain(stream: BufferedIOBase, size: int) -> None:
    """Read and throw away at most so many bytes."""
    while size > 0 and (read := len(stream.read(min(size, 1 << 20)))):
        size -= read


def _read_chunks(stream: BufferedIOBase, limit: int) -> bytes:
    """chunked-body = *chunk last-chunk trailer-section CRLF

    https://www.rfc-editor.org/rfc/rfc9112#name-chunked-transfer-coding
    """
    body, seen = bytearray(), 0
    while True:
        size_text = stream.readline(1024).partition(b";")[0].strip()
        try:
            size = int(size_text, 16) if size_text.isalnum() and len(size_text) <= 15 else -1
        except ValueError:
            size = -1
        if size < 0:
            raise BadRequest("a chunk of the body has no size")
        if size == 0:
            break
        seen += size
        if seen > DRAIN_LIMIT:
            raise _too_large(limit)
        chunk = stream.read(size)
        if len(chunk) < size or stream.readline(3) not in (b"\r\n", b"\n"):
            raise BadRequest("a chunk of the body ends early")
        if seen <= limit:
            body += chunk
    for _ in range(100):  # trailers
        if stream.readline(65536) in (b"\r\n", b"\n", b""):
            break
    if seen > limit:
        raise _too_large(limit)
    return bytes(body)
