"""What two processes must agree on, and nothing else.

`table` is what the operator compiles and the proxies obey; `stream` and `report` are how it travels and what
comes back; `records` is what a proxy writes before and after each attempt and the ledger books; `money` and
`secret` are the two types that must never be mistaken for another.
"""
