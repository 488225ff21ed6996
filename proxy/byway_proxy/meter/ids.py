"""Names of attempts and requests. Pure: time and dice are given."""

import string

_BASE62 = (string.digits + string.ascii_uppercase + string.ascii_lowercase).encode()
# Any byte as a letter or a digit. The first eight of them come a little more often, which takes less than a bit.
_FOLDED = bytes(_BASE62[byte % 62] for byte in range(256))
_LETTERS = 20


def attempt_id(now_ms: int, dice: bytes) -> str:
    """UUIDv7 from 10 random bytes: attempts sort by time, so the ledger appends to its index and never seeks."""
    time, chance = f"{now_ms & 0xFFFF_FFFF_FFFF:012x}", dice.hex()
    variant = "89ab"[dice[9] & 3]  # 0b10 in its upper half
    return f"{time[:8]}-{time[8:]}-7{chance[:3]}-{variant}{chance[3:6]}-{chance[6:18]}"


def generation_id(now_s: int, dice: bytes) -> str:
    """`gen-<unix seconds>-<20 letters and digits>` from 20 random bytes, in the shape OpenRouter's clients know."""
    return f"gen-{now_s}-{dice[:_LETTERS].translate(_FOLDED).decode()}"


def minted_at(generation: str) -> float:
    """The seconds in such an id; 0 of what is none."""
    prefix, _, rest = generation.partition("-")
    seconds = rest.partition("-")[0]
    return (
        float(seconds) if prefix == "gen" and seconds.isascii() and seconds.isdigit() and len(seconds) < 12 else 0.0
    )
