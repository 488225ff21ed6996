"""Records carry what strangers send (a user agent, a finish reason). Make any of it fit to be written down."""

import msgspec
from byway_contract.records import Record

MOST_LETTERS = 256


def legible(record: Record) -> Record:
    """The same record with every text valid Unicode and short. For the rare one that needs it."""
    changes = {
        name: text.encode("utf-8", "replace").decode()[:MOST_LETTERS]
        for name in record.__struct_fields__
        if isinstance(text := getattr(record, name), str)
    }
    return msgspec.structs.replace(record, **changes)
