"""Ends an answer that comes too slowly.

The timeout of a request counts anew with each byte, so a server that sends one byte now and then
would hold a run for days.
"""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ingestion.sources.files.http import patience

if TYPE_CHECKING:
    from requests import Response

_READ_BYTES = 1 << 17


def keep_pace(response: "Response", least_rate: int) -> None:
    """Let a body that is read from now on end in an error where it comes too slowly.

    That is at less than ``least_rate`` bytes a second, on average over dlt's request timeout (60
    seconds). Reading it then raises as a broken connection does. With 0 nothing is too slow.
    """
    if least_rate:
        raw, seconds = response.raw, patience().request_timeout
        raw.stream = lambda amt, decode_content=None: _stream(
            raw, amt, decode_content, least_rate, seconds
        )


def _stream(
    raw: Any, amount: int, decode_content: bool | None, least_rate: int, seconds: float
) -> Iterator[bytes]:
    """The body in pieces of ``amount`` bytes, as urllib3's own method ``stream`` gives it."""
    import urllib3

    read, came, waited = bytearray(), 0, 0.0
    while True:
        began = time.monotonic()
        # unlike read, it gives what is there, and does not wait for the rest
        piece = raw.read1(min(_READ_BYTES, amount - len(read)), decode_content=decode_content)
        if not piece:
            break
        waited += time.monotonic() - began  # the server's time, without ours
        came += len(piece)
        read += piece
        if waited >= seconds:
            if came < least_rate * waited:
                if read:
                    yield bytes(read)  # a new attempt may continue after it
                raw.close()
                raise urllib3.exceptions.ProtocolError(
                    f"too slow: {came:,} bytes came in {waited:.1f} seconds, and"
                    f" MEDALLION_LEAST_DOWNLOAD_RATE asks for {least_rate:,} a second"
                )
            came, waited = 0, 0.0
        if len(read) >= amount:
            yield bytes(read)
            read.clear()
    if read:
        yield bytes(read)
