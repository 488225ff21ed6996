from itertools import pairwise

from byway_proxy.carry.sse import Splitter, data_of
from hypothesis import given
from hypothesis import strategies as st

STREAM = b': hello\n\ndata: {"a":1}\r\n\r\ndata: two\ndata: lines\n\nevent: x\rdata: [DONE]\r\rdata: cut'
EVENTS = [b": hello", b'data: {"a":1}', b"data: two\ndata: lines", b"event: x\ndata: [DONE]"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_a_stream_cut_anywhere_gives_the_same_events(cuts: list[int]) -> None:
    splitter = Splitter()
    places = [0, *sorted(cuts), len(STREAM)]
    found = [e for a, b in pairwise(places) for e in splitter.feed(STREAM[a:b])]
    assert [e for e in found if e] == EVENTS
    assert splitter.end() == b"data: cut"


def test_data_lines_of_one_event_join() -> None:
    assert [data_of(e) for e in EVENTS] == [None, b'{"a":1}', b"two\nlines", b"[DONE]"]
