"""Names of attempts and requests. Pure: time and dice are given."""

import string

_BASE62 = (string.digits + string.ascii_uppercase + string.ascii_lowercase).encode()
# Any byte as a letter or a digit. The first eight of them come a little more often, which takes less than a bit.
_FOLDED = bytes(_BASE62[byte % 62] for byte in range(256))
_LETTERS = 20


def attempt_id(now_ms: int, dice: bytes) -> str:
    """UUIDv7 from 10 random bytes: attempts sort by time, so the ledger appends to its index and never seeks."""
    chance = int.from_bytes(dice[:10], "big")
    bits = (now_ms & (1 << 48) - 1) << 80 | 7 << 76 | (chance >> 68) << 64 | 2 << 62 | chance & (1 << 62) - 1
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def generation_id(now_s: int, dice: bytes) -> str:
    """`gen-<unix seconds>-<20 letters and digits>` from 20 random bytes, in the shape OpenRouter's clients know."""
    return f"gen-{now_s}-{dice[:_LETTERS].translate(_FOLDED).decode()}"
