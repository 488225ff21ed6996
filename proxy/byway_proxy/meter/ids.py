"""Names of attempts and requests. Pure: time and dice are given."""

import string

_BASE62 = (string.digits + string.ascii_uppercase + string.ascii_lowercase).encode()
# Any byte as a letter or a digit. The first eight of them come a little more often, which takes less than a bit.
_FOLDED = bytes(_BASE62[byte % 62] for byte in range(256))
_LETTERS = 20
# A hexadecimal digit with UUID's variant, 0b10, in its upper half.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def attempt_id(now_ms: int, dice: bytes) -> str:
    """UUIDv7 from 10 random bytes: attempts sort by time, so the ledger appends to its index and never seeks."""
    time, chance = f"{now_ms & (1 << 48) - 1:012x}", dice[:10].hex()
    return f"{time[:8]}-{time[8:]}-7{chance[:3]}-{_VARIANT[chance[3]]}{chance[4:7]}-{chance[7:19]}"


def generation_id(now_s: int, dice: bytes) -> str:
    """`gen-<unix seconds>-<20 letters and digits>` from 20 random bytes, in the shape OpenRouter's clients know."""
    return f"gen-{now_s}-{dice[:_LETTERS].translate(_FOLDED).decode()}"
