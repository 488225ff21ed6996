"""Read what a provider's headers say is left of its limits. Names differ; where none is known, nothing is said.

Where a provider counts by several windows, the shortest one's header comes first: it is the one that is met.
"""

from collections.abc import Mapping

from byway_contract.report import Quota

_REQUESTS = (
    b"x-ratelimit-remaining-requests",  # OpenAI, Azure, Groq, Mistral …
    b"anthropic-ratelimit-requests-remaining",
    b"x-ratelimit-remaining-requests-minute",
    b"x-ratelimit-remaining-requests-day",  # Cerebras
    b"x-ratelimit-remaining",  # OpenRouter, GitHub, Together
)
_TOKENS = (
    b"x-ratelimit-remaining-tokens",
    b"anthropic-ratelimit-tokens-remaining",
    b"x-ratelimit-remaining-tokens-minute",
    b"x-tokenlimit-remaining",  # Together
)
_MOST_DIGITS = 15


def quota(head: Mapping[bytes, bytes]) -> Quota | None:
    """`head`: an answer's headers, by lower-case name."""
    requests, tokens = _first(head, _REQUESTS), _first(head, _TOKENS)
    return None if requests is None and tokens is None else Quota(requests, tokens)


def _first(head: Mapping[bytes, bytes], names: tuple[bytes, ...]) -> int | None:
    for name in names:
        # Some say `59.5`, as a bucket has it.
        whole = head.get(name, b"").strip().partition(b".")[0]
        if whole.isdigit() and len(whole) <= _MOST_DIGITS:
            return int(whole)
    return None
