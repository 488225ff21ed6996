"""An access key as a string: what it looks like, its digest, and how it is shown.

A key is 256 random bits, so a plain SHA-256 of it is safe to keep and to show: nobody finds the key by trying, and
a slow hash would only make every request a burden.
"""

import hashlib
import re

PREFIX = "sk-byway-"
RANDOM_BYTES = 32
_FORM = re.compile(PREFIX + "[0-9a-f]{64}", re.ASCII)


def key_of(random: bytes) -> str:
    """Raises ValueError unless there are 32 bytes, which nobody else may know."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a key is {RANDOM_BYTES} random bytes, not {len(random)}")
    return PREFIX + random.hex()


def is_key(text: str) -> bool:
    return _FORM.fullmatch(text) is not None


def digest_of(key: str) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()


def label_of(key: str) -> str:
    """`sk-byway-abc…123`: for people to tell keys apart by."""
    secret = key.removeprefix(PREFIX)
    return f"{PREFIX}{secret[:3]}…{secret[-3:]}"


def label_of_digest(digest: str) -> str:
    """`sha256:abc…123`, where nobody has the key."""
    return f"sha256:{digest[:3]}…{digest[-3:]}"
