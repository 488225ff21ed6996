"""A model name as callers write it: `qwen/qwen3-32b:floor`.

`:free`, `:batch`, `:thinking` and `:extended` are models of their own in the catalogue and stay part of the name.
`:floor` and `:nitro` say how to sort and work on any name; of several the last one wins. `:exacto` and `:online`
are accepted and do nothing here, which an answer says.
"""

from msgspec import Struct

from byway_proxy.choose.target import Sort

SORTS: dict[str, Sort] = {"floor": "price", "nitro": "throughput"}
IDLE = ("exacto", "online")


class Name(Struct, frozen=True):
    base: str
    """Without its routing variants."""
    sort: Sort | None = None
    ignored: tuple[str, ...] = ()


def parse(name: str) -> Name:
    """`a/b:floor:free` → `a/b:free`, sorted by price."""
    if ":" not in name:
        return Name(name)
    first, *variants = name.split(":")
    kept, sort, ignored = [first], None, []
    for variant in variants:
        if variant in SORTS:
            sort = SORTS[variant]
        elif variant in IDLE:
            ignored.append(f":{variant}")
        else:
            kept.append(variant)
    return Name(":".join(kept), sort, tuple(ignored))
