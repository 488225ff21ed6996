"""`python -m byway_proxy`: settings from the environment, logs on standard error."""

import asyncio
import os
import sys

from byway_process.logs import Log
from byway_process.running import run
from byway_process.settings import SettingsError

from byway_proxy import app
from byway_proxy.meter.log import LogError, LogFull, LogInUse


def main() -> None:
    try:
        settings = app.settings_from(os.environ)
    except SettingsError as error:
        sys.exit(f"byway-proxy: {error}")
    log = Log(settings.name, settings.log_level)

    async def serve(stop: asyncio.Event) -> None:
        await app.run(settings, log, stop)

    try:
        run(serve)
    except (LogInUse, LogFull, LogError, OSError) as error:
        log.error("the proxy cannot start", why=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
