"""Logs: JSON lines, and the redaction of secrets."""

import asyncio
import io
import json
import logging
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from imagesvc.observability import HIDDEN, Redactor, configure
from tests.support.secrets import ADMIN_TOKEN, DATABASE_URL, JWT, LEAKS, SECRET_KEYS, leaked

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    hooks = sys.excepthook, threading.excepthook
    configure("INFO", [ADMIN_TOKEN, DATABASE_URL, SECRET_KEYS, "short"], stream=stream)
    yield stream
    sys.excepthook, threading.excepthook = hooks
    configure("WARNING", stream=io.StringIO())
    logging.captureWarnings(capture=False)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


@pytest.fixture
def lines(output: io.StringIO) -> Lines:
    return lambda: [json.loads(line) for line in output.getvalue().splitlines()]


def test_an_event_is_one_line_of_json(lines: Lines) -> None:
    structlog.get_logger("imagesvc.tasks").info("task\nended", kind="process_image", seconds=0.5, attempts=[1, 2])

    [line] = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "event": "task\nended",
        "logger": "imagesvc.tasks",
        "kind": "process_image",
        "seconds": 0.5,
        "attempts": [1, 2],
    }


def test_logs_of_libraries_have_the_same_format(lines: Lines) -> None:
    logging.getLogger("uvicorn.error").warning("port %d is taken", 8000)

    [line] = lines()
    assert (line["event"], line["level"], line["logger"]) == ("port 8000 is taken", "warning", "uvicorn.error")


def test_structlog_and_library_lines_have_the_request_id(lines: Lines) -> None:
    structlog.contextvars.bind_contextvars(request_id="4bf92f35")
    structlog.get_logger().info("own event")
    logging.getLogger("sqlalchemy.pool").warning("library event")

    assert [line["request_id"] for line in lines()] == ["4bf92f35", "4bf92f35"]


def test_events_below_the_level_are_not_logged(lines: Lines) -> None:
    structlog.get_logger().debug("own event")
    logging.getLogger("anything").debug("library event")

    assert lines() == []


@pytest.mark.parametrize("name", ["uvicorn.access", "botocore.auth", "sqlalchemy.engine.Engine", "httpx", "arq.worker"])
def test_request_logs_of_libraries_are_not_logged(lines: Lines, name: str) -> None:
    logging.getLogger(name).info("GET /u/secret")

    assert lines() == []


def test_configuring_again_also_redirects_existing_loggers(output: io.StringIO) -> None:
    log, second = structlog.get_logger("made.before"), io.StringIO()
    configure("INFO", stream=second)

    log.info("own event")
    logging.getLogger("any").warning("library event")

    assert output.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 2


@pytest.mark.parametrize("secret", LEAKS)
def test_a_secret_in_a_message_is_redacted(output: io.StringIO, secret: str) -> None:
    assert leaked(secret)
    structlog.get_logger().info(f"before {secret} after")
    logging.getLogger("library").warning("before %s after", secret)

    assert leaked(output.getvalue()) == []
    assert output.getvalue().count(HIDDEN) >= 2
    assert output.getvalue().count("before ") == 2


@pytest.mark.parametrize("secret", LEAKS)
def test_a_secret_in_a_nested_value_is_redacted(output: io.StringIO, secret: str) -> None:
    structlog.get_logger().info(
        "event", value=secret, deep={"list": [{"text": secret}, secret]}, thing=ValueError(secret)
    )

    assert leaked(output.getvalue()) == []


@pytest.mark.parametrize("name", ["password", "admin_token", "Authorization", "s3_secret_key", "api_key"])
def test_a_value_with_a_sensitive_name_is_redacted(lines: Lines, name: str) -> None:
    structlog.get_logger().info("event", **{name: "plain"}, deep={name: "plain"})

    assert (lines()[0][name], lines()[0]["deep"][name]) == (HIDDEN, HIDDEN)


@pytest.mark.parametrize("secret", LEAKS)
def test_a_secret_in_an_exception_or_its_cause_is_redacted(output: io.StringIO, secret: str) -> None:
    try:
        try:
            raise ValueError(secret)
        except ValueError as error:
            raise RuntimeError(secret) from error
    except RuntimeError:
        structlog.get_logger().exception("failed")
        logging.getLogger("library").exception("failed too")

    assert leaked(output.getvalue()) == []
    assert output.getvalue().count("ValueError") >= 2


def test_a_traceback_contains_lines_but_no_local_variables(lines: Lines) -> None:
    def fail(argument: str) -> None:
        local = argument.upper()
        raise ValueError(len(local))

    try:
        fail("an ordinary local value")
    except ValueError:
        structlog.get_logger().exception("failed")

    assert "in fail" in lines()[0]["exception"]
    assert "ORDINARY LOCAL VALUE" not in str(lines())


@pytest.mark.parametrize(
    "harmless",
    [
        'File "/home/ann/src/imagesvc/uploads/service.py", line 12, in admit',
        "test_a_link_for_ten_files_admits_ten_of_fifty_racing_uploads",
        "sha256=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "route=/u/{token}/{filename}",
        "GET /u/-/a.jpg",
        "http://127.0.0.1:8333/bucket/0198c5a0-0000-7000-8000-000000000001",
        "connection to postgresql://db.example:5432/imagesvc refused",
        "the token is expired",
        "short",
        "    token = await self.tokens.read(request)",
        "0198c5a0-0000-7000-8000-000000000001",
    ],
)
def test_harmless_text_is_not_redacted(harmless: str) -> None:
    assert Redactor([ADMIN_TOKEN, DATABASE_URL, "short"]).redact(harmless) == harmless


@pytest.mark.parametrize("offset", [-40, -20, -5, -1, 0])
@pytest.mark.parametrize("cut_at", [2_000, -6_000])
def test_a_cut_in_a_long_text_leaves_no_part_of_a_secret(lines: Lines, cut_at: int, offset: int) -> None:
    blank, end = " " * 20_000, "the end"
    whole_chars = len(blank) + len(ADMIN_TOKEN) + len(end)
    at = cut_at % whole_chars + offset
    structlog.get_logger().info("event", text=blank[:at] + ADMIN_TOKEN + blank[at:] + end)

    text = lines()[0]["text"]
    assert len(text) < 8_200
    assert "characters cut" in text
    assert text.endswith("the end")
    assert not [i for i in range(len(ADMIN_TOKEN) - 8) if ADMIN_TOKEN[i : i + 8] in text]


def test_the_length_of_a_line_is_limited(output: io.StringIO) -> None:
    log = structlog.get_logger()
    log.info("many", **{f"value_{i}": "x" * 7_000 for i in range(100)})
    log.info("wide", values=["y" * 9_000] * 10_000)
    log.info("deep", value=nested(100))

    assert max(len(line) for line in output.getvalue().splitlines()) < 70_000
    assert [json.loads(line)["event"] for line in output.getvalue().splitlines()] == ["many", "wide", "deep"]


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth else []


def test_redaction_is_fast_for_any_text() -> None:
    texts = ["://a:" * 1_600, "https://" * 1_000, "/u/" * 2_600, "eyJ" * 2_600, "password" * 1_000, "aB1-" * 2_000]

    # The usual time is milliseconds; a pattern with unbounded backtracking takes minutes.
    finished = threading.Event()

    def redact_all() -> None:
        list(map(Redactor().redact, texts))
        finished.set()

    threading.Thread(target=redact_all, daemon=True).start()

    assert finished.wait(20)


@pytest.mark.parametrize("value", ["\udc80 half", "\u202e turned \x1b[31m", "line\u2028separator", b"\xff bytes"])
def test_any_characters_make_one_valid_ascii_line(output: io.StringIO, value: object) -> None:
    structlog.get_logger().info("event", value=value)

    assert output.getvalue().isascii()
    assert len(output.getvalue().splitlines()) == 1
    json.loads(output.getvalue())


class BrokenStream(io.StringIO):
    """A stream whose reader has exited."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


def test_a_log_that_cannot_be_written_raises_nothing(output: io.StringIO) -> None:
    configure("INFO", stream=BrokenStream())

    structlog.get_logger().info("own event")
    logging.getLogger("any").warning("library event")


def test_a_library_record_with_wrong_arguments_raises_nothing(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    # without pytest's own handlers, which raise
    monkeypatch.setattr(
        root, "handlers", [handler for handler in root.handlers if "imagesvc" in type(handler).__module__]
    )

    logging.getLogger("any").warning("%d %d", "one")

    assert lines()[0]["level"] == "error"


def test_warnings_are_logged(lines: Lines) -> None:
    warnings.warn(f"do not use {JWT}", UserWarning, stacklevel=1)

    assert lines()[0]["logger"] == "py.warnings"
    assert leaked(str(lines())) == []


def test_an_exception_that_ends_a_thread_is_logged(lines: Lines) -> None:
    def fail() -> None:
        raise ValueError(f"with {ADMIN_TOKEN}")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()

    assert "ValueError: with [redacted]" in lines()[0]["exception"]


async def test_an_exception_of_an_unawaited_task_is_logged(lines: Lines) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "lost", "exception": ValueError(ADMIN_TOKEN)})

    assert "ValueError: [redacted]" in lines()[0]["exception"]


def test_an_exception_that_ends_the_process_is_one_line() -> None:
    program = (
        f"from imagesvc.observability import configure; configure('INFO', [{ADMIN_TOKEN!r}]); int({ADMIN_TOKEN!r})"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    [line] = ended.stderr.splitlines()
    assert ended.returncode == 1
    assert json.loads(line)["level"] == "critical"
    assert leaked(line) == []
