"""`python -m byway_operator folder|cluster`: settings from the environment, logs on standard error.

The word says where resources come from: a folder of manifests, or the Kubernetes API, whose client only the second
of the two loads.
"""

import asyncio
import os
import sys
from importlib import import_module

from byway_process.logs import Log
from byway_process.running import run
from byway_process.settings import SettingsError

_SOURCES = {"folder": "byway_operator.app", "cluster": "byway_operator.cluster_app"}


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in _SOURCES:
        sys.exit("byway-operator: say where resources come from: python -m byway_operator folder|cluster")
    app = import_module(_SOURCES[sys.argv[1]])
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
