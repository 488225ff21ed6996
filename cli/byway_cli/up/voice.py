"""What `byway up` says while it runs: its own news on standard output, the processes' lines on standard error."""

from enum import StrEnum

from byway_process.logs import Log

from byway_cli import printing


class LogFormat(StrEnum):
    human = "human"
    json = "json"


class HumanVoice:
    def __init__(self) -> None:
        self._out = printing.out()
        self._err = printing.err()

    def news(self, what: str, style: str = "") -> None:
        printing.line(self._out, (what, style))

    def say(self, level: str, who: str, what: str) -> None:
        style = {"warning": "yellow", "error": printing.BAD}.get(level, "")
        printing.line(self._out, (f"{who:<9} ", printing.DIM), (what, style))

    def line(self, who: str, line: str) -> None:
        printing.line(self._err, *printing.log_parts(who, line))


class JsonVoice:
    """JSON lines on standard error: what the processes wrote, untouched, and ours in the same shape."""

    def __init__(self) -> None:
        self._log = Log("up")
        self._err = printing.err()

    def news(self, what: str, style: str = "") -> None:
        self._log.info(what)

    def say(self, level: str, who: str, what: str) -> None:
        write = {"warning": self._log.warning, "error": self._log.error}.get(level, self._log.info)
        write(what, child=who)

    def line(self, who: str, line: str) -> None:
        self._err.file.write(line + "\n")
        self._err.file.flush()


def voice(log: LogFormat) -> HumanVoice | JsonVoice:
    return JsonVoice() if log is LogFormat.json else HumanVoice()
