"""Where clients, providers and the ledger's rows differ about what happened. They should not."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from builders.chaos.story import Story


def compare(story: Story) -> list[str]:
    """Every difference, as a line. Empty: nothing was lost, doubled or invented, and nobody was lied to."""
    return [*_clients(story), *_each_served_has_its_row(story), *_tokens(story), *_crashes(story)]


def _clients(story: Story) -> Iterator[str]:
    """Nobody got a wrong answer; connections broke as a proxy was killed, and streams where a provider's did."""
    of_user: dict[str, list[dict[str, Any]]] = {}
    for row in story.rows:
        of_user.setdefault(row["user"], []).append(row)
    cut = {one["body"]["mark"] for one in story.of_kind("cut")}
    deaths = story.deaths("proxy")
    for seen in story.seen:
        if seen.wrong:
            yield f"{seen.user}: {seen.wrong}"
        if seen.how == "broke" and not any(seen.began - 0.1 <= at <= seen.ended + 0.1 for at in deaths):
            yield f"{seen.user}: its connection broke at {seen.ended:.3f}, and no proxy was killed meanwhile"
        if seen.how == "cut" and seen.user not in cut:
            yield f"{seen.user}: its stream was cut, and no provider had cut it"
        if seen.how in ("refused", "unavailable", "nobody"):
            billed = [row for row in of_user.get(seen.user, []) if row["outcome"] != "failed"]
            if billed:
                yield f"{seen.user}: was told {seen.how} {seen.status}, and the books have {billed}"
        if seen.how == "ok" and not seen.wrong:
            ok = [row for row in of_user.get(seen.user, []) if row["outcome"] == "ok"]
            if [(row["request"], row["completion"]) for row in ok] != [(seen.generation, seen.completion)]:
                yield f"{seen.user}: has its answer, and the books have {ok}"


def _each_served_has_its_row(story: Story) -> Iterator[str]:
    """And the other way round, but for attempts that never reached a provider."""
    asked = Counter((one["body"]["mark"], name) for name, all_of in story.served.items() for one in all_of)
    booked: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in story.rows:
        booked.setdefault((row["user"], row["account"]), []).append(row)
        if row["outcome"] is None or row["flag"]:
            yield f"{row['user']}: {row['attempt']} is booked as {row['outcome']}, flag {row['flag']}"
    for key, count in asked.items():
        if len(booked.get(key, [])) < count:
            yield f"{key}: served {count} times, booked {len(booked.get(key, []))} times"
    for key, of_key in booked.items():
        unsent = sum(row["outcome"] in ("crash", "client_cancel") and not row["status"] for row in of_key)
        if len(of_key) - unsent > asked[key]:
            yield f"{key}: served {asked[key]} times, booked {len(of_key)} times"


def _tokens(story: Story) -> Iterator[str]:
    """Token for token where the provider told them; never more than it sent where it could not."""
    by_id = {
        (name, f"chatcmpl-fake{one['number']}"): one for name, all_of in story.served.items() for one in all_of
    }
    for row in story.rows:
        one = by_id.get((row["account"], row["upstream_id"]))
        if row["usage_from"] == "provider":
            told = (row["prompt"], row["completion"])
            if (
                one is None
                or told != (one["prompt_tokens"], one["completion_tokens"])
                or row["billed"] != row["cost"]
            ):
                yield f"{row['user']}: booked {told} of {row['upstream_id']}, served {one}"
        elif one is not None and row["streamed"] and row["completion"] > one["completion_tokens"]:
            yield f"{row['user']}: booked {row['completion']} tokens, served {one['completion_tokens']}"
        if row["outcome"] == "failed" and row["billed"]:
            yield f"{row['user']}: a failed attempt is billed {row['billed']}"


def _crashes(story: Story) -> Iterator[str]:
    """A crash is booked only for who was under way in a proxy that was killed."""
    broke = {seen.user: seen for seen in story.seen if seen.how in ("broke", "left")}
    deaths = story.deaths("proxy")
    for row in story.rows:
        if row["outcome"] != "crash":
            continue
        if row["user"] not in broke:
            yield f"{row['user']}: booked as a crash, and its client saw none"
        if not any(row["at"] <= at + 0.1 and row["ended"] >= at for at in deaths):
            yield f"{row['user']}: booked as a crash from {row['at']} to {row['ended']}, and no proxy was killed"
        if row["cost"] or row["billed"] or row["usage_from"] != "unknown":
            yield f"{row['user']}: a crash is booked with a cost"
