"""`python -m byway_ledger`, or `byway-ledger` in the image: settings from the environment, then serve."""

import os
import sys
from functools import partial

from byway_process.logs import Log
from byway_process.running import run
from byway_process.settings import SettingsError

from byway_ledger.app import serve, settings_from
from byway_ledger.stores.store import StoreError


def main() -> None:
    log = Log("ledger")
    try:
        settings = settings_from(os.environ)
        log = Log("ledger", settings.log_level)
        run(partial(serve, settings, log))
    except (SettingsError, StoreError, OSError) as error:
        log.error("the ledger cannot serve", why=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
