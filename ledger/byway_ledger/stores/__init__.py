"""Where the books lie. `store` says what a store does; tests/ledger/conformance proves it of each."""
