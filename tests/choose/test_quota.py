"""What providers' headers say is left."""

import pytest
from byway_contract.report import Quota
from byway_proxy.choose.quota import quota


@pytest.mark.parametrize(
    ("head", "left"),
    [
        ({b"x-ratelimit-remaining-requests": b"59", b"x-ratelimit-remaining-tokens": b"149984"}, Quota(59, 149984)),
        ({b"anthropic-ratelimit-requests-remaining": b"49"}, Quota(49)),
        ({b"anthropic-ratelimit-tokens-remaining": b"0"}, Quota(None, 0)),
        ({b"x-ratelimit-remaining": b"3"}, Quota(3)),
        ({b"x-ratelimit-remaining": b" 59.5 "}, Quota(59)),
        ({b"x-ratelimit-remaining-requests-day": b"1000", b"x-ratelimit-remaining": b"1"}, Quota(1000)),
        ({b"x-ratelimit-remaining": b"-1"}, None),
        ({b"x-ratelimit-remaining": b"many"}, None),
        ({b"x-ratelimit-remaining": b"9" * 5000}, None),
        ({}, None),
    ],
)
def test_what_is_left_is_read_where_it_is_said(head: dict[bytes, bytes], left: Quota | None) -> None:
    assert quota(head) == left
