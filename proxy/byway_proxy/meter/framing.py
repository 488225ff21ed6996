"""How a record lies in a file: `u32 length | u32 crc32 | payload`, little-endian.

The checksum is zlib's crc32 and not crc32c: the standard library has it, it runs at memory speed for records of a
few hundred bytes, and at 64 KiB at most both find every burst a torn write leaves. crc32c would be one more
compiled dependency for nothing that could be measured.

A frame of length 0 ends a file: so the zeros of a preallocated one read as its end.
"""

import struct
import zlib
from collections.abc import Iterator

HEADER = struct.Struct("<II")
MOST_PAYLOAD = 64 * 1024


def frame(payload: bytes) -> bytes:
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def frames(data: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """(offset behind it, payload) of each whole frame; stops before the first that is torn or damaged."""
    end, header = len(data), HEADER.size
    unpack, crc32 = HEADER.unpack_from, zlib.crc32
    while (begin := start + header) <= end:
        length, checksum = unpack(data, start)
        behind = begin + length
        if not 0 < length <= MOST_PAYLOAD or behind > end:
            return
        payload = data[begin:behind]
        if crc32(payload) != checksum:
            return
        yield behind, payload
        start = behind
