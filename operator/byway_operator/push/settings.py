"""The waits and bounds of the control stream, as the operator holds them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PushSettings:
    """Seconds, unless the name says otherwise."""

    scout_s: float = 0.3
    """How long everybody waits for one proxy of each build: long enough for a healthy one to answer."""
    ping_s: float = 20.0
    dead_s: float = 45.0
    """Nothing heard for so long, not even an answer to a ping: the connection is gone."""
    answer_s: float = 30.0
    redial_s: float = 15.0
    """How long a proxy without a stream is thought to dial again: its longest wait between two tries and a bit."""
    max_age_s: float = 2700.0
    """± 20 %, so that proxies that dialled together do not dial together again."""
    grace_s: float = 10.0
    hello_s: float = 5.0
    report_every_s: float = 15.0
    gather_s: float = 0.1
    """Proxies that come and go within it are one `on_change`."""
    late_s: float = 0.5
    """The same of reports, and of acks while others are awaited. That all have acked is told at once."""
    close_s: float = 1.0
    most_proxies: int = 2000
    max_message_bytes: int = 8 * 1024 * 1024
    """Of a report: one of 10,000 endpoints is 2 MB."""
