"""`python -m byway_operator`: settings from the environment, logs on standard error."""

import asyncio
import os
import sys

from byway_process.logs import Log
from byway_process.running import run
from byway_process.settings import SettingsError

from byway_operator import app


def main() -> None:
    try:
        settings = app.settings_from(os.environ)
    except SettingsError as error:
        sys.exit(f"byway-operator: {error}")
    log = Log("operator", settings.log_level)

    async def serve(stop: asyncio.Event) -> None:
        await app.run(settings, log, stop)

    try:
        run(serve)
    except OSError as error:
        log.error("the operator cannot start", why=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
