"""`python -m byway_cli` is `byway`."""

from byway_cli.main import main

main()
