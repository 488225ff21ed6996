"""What can go wrong between us and a provider, in the few words failover decides by.

    dns  refused  tls  connect_timeout  forbidden  proxy      the request never left: `sent` is False
    reset  eof                                                gone before the first byte of an answer
    cut  malformed  too_large                                 an answer began, and is no answer

Foreign exceptions become one of these at the socket, so nobody above imports `ssl` or reads an errno.
"""

from typing import Literal

Kind = Literal[
    "dns",
    "refused",
    "tls",
    "connect_timeout",
    "reset",
    "eof",
    "cut",
    "malformed",
    "too_large",
    "forbidden",
    "proxy",
]


class Failure(Exception):
    """An exchange that did not end in a whole answer. The message holds no credential, prompt or completion."""

    def __init__(self, kind: Kind, message: str, *, sent: bool = False, answered: bool = False) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.sent = sent
        """Any byte of the request may have reached the provider, so it may bill for it."""
        self.answered = answered
        """Any byte of an answer was seen."""


class Forbidden(Exception):
    """What a guard raises for an address that may not be dialled; its message is shown."""


class Malformed(Exception):
    """The bytes are no HTTP/1.1 answer that we would trust. Says what is wrong, never quotes them."""
