"""Logs of one shape, whoever writes them."""

import io
import json
import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from byway_process.logs import Level, Log, adopt_library_logs


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield root
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def test_a_line_is_one_object_that_says_when_who_and_what() -> None:
    out = io.StringIO()
    Log("proxy-0", out=out).warning("a table is refused", hash="9f", tried=3, why="line\nbreak")
    (line,) = lines(out)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("at"))
    assert list(line.items()) == [
        ("level", "warning"),
        ("process", "proxy-0"),
        ("what", "a table is refused"),
        ("hash", "9f"),
        ("tried", 3),
        ("why", "line\nbreak"),
    ]


@pytest.mark.parametrize(
    ("least", "written"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_what_is_below_its_level_is_not_written(least: Level, written: list[str]) -> None:
    out = io.StringIO()
    log = Log("p", least, out)
    for write in (log.debug, log.info, log.warning, log.error):
        write("x")
    assert [line["level"] for line in lines(out)] == written


def test_what_json_has_no_form_for_is_written_as_text() -> None:
    out = io.StringIO()
    Log("p", out=out).info("x", error=ValueError("boo"))
    assert lines(out)[0]["error"] == "boo"


def test_a_closed_standard_error_ends_nobody() -> None:
    out = io.StringIO()
    out.close()
    Log("p", out=out).error("nobody hears this")


def test_a_librarys_lines_come_in_our_shape_without_what_a_stranger_sent(root: logging.Logger) -> None:
    out = io.StringIO()
    adopt_library_logs(Log("p", out=out))
    try:
        raise ValueError("sk-canary-92c1")
    except ValueError:
        logging.getLogger("some.library").exception("cannot read %r", "sk-canary-92c1")
    logging.getLogger("some.library").info("chatter")
    (line,) = lines(out)
    assert (line["level"], line["what"], line["logger"]) == ("error", "a library complains", "some.library")
    assert (line["message"], line["exception"]) == ("cannot read %r", "ValueError")
    assert "sk-canary" not in out.getvalue()


def test_a_warning_of_python_is_a_line_too(root: logging.Logger) -> None:
    out = io.StringIO()
    adopt_library_logs(Log("p", out=out))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old ways", stacklevel=1)
    assert [(line["level"], line["logger"]) for line in lines(out)] == [("warning", "py.warnings")]
