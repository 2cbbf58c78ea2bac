"""Logs: one JSON line per event on stderr, for the service and all libraries, without secrets.

Code must not log a secret in the first place: routes are logged as templates, and local variables are never logged.
The redaction in this module is the second line of defence. It works on every string of an event, including
tracebacks, before the line is encoded. It prefers hiding a harmless word to showing a secret.
"""

import json
import logging
import re
import sys
import threading
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import TracebackType
from typing import TextIO
from urllib.parse import quote, unquote, urlsplit

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "[redacted]"

# A long text keeps its head and its tail, because the last lines of a traceback name the failure.
_HEAD_CHARS, _TAIL_CHARS = 2_000, 6_000
# Redaction includes this much beyond each cut: half a secret would match no pattern.
_MARGIN_CHARS = 2_000
_MAX_LINE_CHARS = 64_000
_MAX_ITEMS, _MAX_DEPTH = 50, 4
_SHORT_CHARS = 100
_MIN_SECRET_CHARS = 8
# These keys never contain data of a caller.
_SAFE_KEYS = frozenset({"timestamp", "level", "request_id"})
_SCALARS = frozenset({bool, int, float, type(None)})
_encode = json.JSONEncoder(default=repr).encode

_NAMES = r"(?:password|passwd|secret|token|signature|credential|api[_-]?key|authorization|cookie|x-amz-[a-z-]{1,40})"

# (words of which one must occur before the slower pattern is tried, pattern, replacement). Repetitions are bounded, so
# that no text makes a pattern slow.
_PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    # JSON Web Tokens, also truncated ones: each starts with the base64 of {"
    (("eyj",), re.compile(r"eyJ[\w-]{8,4000}(?:\.[\w-]{0,4000}){0,4}", re.ASCII), HIDDEN),
    # the paths of links and shares contain their token
    (
        ("/u/", "/s/", "%2fu%2f", "%2fs%2f"),
        re.compile(r"((?:/|%2f)[us](?:/|%2f))[\w.~%-]{8,4000}", re.ASCII | re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    # user:password@ and token@ in a URL
    (
        ("://",),
        re.compile(r"""(://)(?:[^\s"'/?#@]{0,256}:[^\s"']{0,1000}|[^\s"'/?#@]{1,1000})@"""),
        rf"\1{HIDDEN}@",
    ),
    # the query of an absolute URL: a presigned request, or credentials in an image URL of a caller
    (("://",), re.compile(r"""(https?://[^\s"'?]{1,2000}\?)[^\s"']{1,4000}""", re.IGNORECASE), rf"\1{HIDDEN}"),
    (("bearer", "basic"), re.compile(r"\b((?:bearer|basic)\s{1,5})[\w.~+/=-]{16,4000}", re.I | re.A), rf"\1{HIDDEN}"),
    # name=value, "name": "value", (b'name', b'value')
    (
        ("passw", "secret", "token", "signature", "credential", "key", "authorization", "cookie", "x-amz-"),
        re.compile(
            rf"""({_NAMES}[\w-]{{0,40}}(?:\\{{0,4}}["'])?\s{{0,5}}(?:[=:]|(?<=["']),)\s{{0,5}}(?:b?\\{{0,4}}["'])?"""
            r"""(?:(?:bearer|basic|digest)\s)?)(?!await\s|None\b|self\.)[^\s"'\\,;&)}\]]{1,4000}""",
            re.ASCII | re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # parameters and inputs in the texts of SQLAlchemy's and Pydantic's exceptions
    (("[parameters: ",), re.compile(r"(\[parameters: ).{0,9000}?(?=\(Background on|$)", re.DOTALL), rf"\1{HIDDEN} "),
    (("input_value=",), re.compile(r"(input_value=).{0,4000}?(, input_type=|$)", re.DOTALL), rf"\1{HIDDEN}\2"),
    # 256 random bits in base64url, as in API keys; a SHA-256 in hex has no capitals and is not redacted
    (
        (),
        re.compile(r"(?<![\w-])(?=[\w-]{0,200}[a-z])(?=[\w-]{0,200}[A-Z])(?=[\w-]{0,200}\d)[\w-]{43,4000}", re.ASCII),
        HIDDEN,
    ),
)
_secret_name = lru_cache(maxsize=1_000)(re.compile(_NAMES, re.IGNORECASE).search)


def configure(level: str, secrets: Iterable[str] = (), *, stream: TextIO | None = None) -> None:
    """Send all logs of this process, structlog's and the standard library's, to ``stream`` (stderr) as JSON lines.

    ``secrets`` are settings as configured (a database URL, ``kid:secret,…``). They and the passwords and keys inside
    them are redacted. The function may be called again: existing loggers follow the new configuration.
    """
    sink = stream or sys.stderr
    redactor = Redactor(secrets)
    begin: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    end: list[Processor] = [structlog.processors.format_exc_info, redactor.hide, redactor.line]
    structlog.configure(
        processors=[*begin, _name_logger, *end],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *name: _Lines(sink, *name),
        cache_logger_on_first_use=False,
    )
    handler = _LineHandler(sink)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*begin, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *end],
        )
    )
    root = logging.getLogger()
    root.handlers = [*(other for other in root.handlers if not isinstance(other, _LineHandler)), handler]
    root.setLevel(level)
    _quieten_libraries(level)
    logging.captureWarnings(capture=True)
    _log_uncaught_exceptions()


class Redactor:
    """Two structlog processors: ``hide`` redacts secrets and shortens long texts, ``line`` encodes the event."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # Longest first, because a secret may contain another one.
        self._secrets = sorted({s for secret in secrets for s in _spellings(secret)}, key=len, reverse=True)
        # Methods, routes, addresses and event names repeat: the cache halves the cost of an access log line.
        self._redact_cached = lru_cache(maxsize=2_000)(self.redact)

    def hide(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {key: self._clean(key, value, depth=0) for key, value in event.items()}

    def line(self, _logger: WrappedLogger, _method: str, event: EventDict) -> str:
        first = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
        line = _encode({**first, **event})
        if len(line) > _MAX_LINE_CHARS:
            line = _encode({**first, "event": str(first.get("event"))[:_HEAD_CHARS], "cut_chars": len(line)})
        return line

    def redact(self, text: str) -> str:
        """The text with everything replaced that is a secret or looks like one."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        lowered = text.lower()
        for hints, pattern, replacement in _PATTERNS:
            if not hints or any(hint in lowered for hint in hints):
                text = pattern.sub(replacement, text)
        return text

    def _clean(self, key: str, value: object, *, depth: int) -> object:
        if type(value) in _SCALARS or key in _SAFE_KEYS:
            return value
        if isinstance(value, str) and _secret_name(key):
            return HIDDEN
        if isinstance(value, Mapping) and depth < _MAX_DEPTH:
            items = list(value.items())[:_MAX_ITEMS]
            return {self._text(str(k)): self._clean(str(k), v, depth=depth + 1) for k, v in items}
        if isinstance(value, list | tuple | set | frozenset) and depth < _MAX_DEPTH:
            return [self._clean(key, item, depth=depth + 1) for item in list(value)[:_MAX_ITEMS]]
        return self._text(value if isinstance(value, str) else repr(value))

    def _text(self, text: str) -> str:
        if len(text) <= _SHORT_CHARS:
            return self._redact_cached(text)
        if len(text) <= _HEAD_CHARS + _TAIL_CHARS:
            return self.redact(text)
        head = self.redact(text[: _HEAD_CHARS + _MARGIN_CHARS])[:_HEAD_CHARS]
        tail = self.redact(text[-_TAIL_CHARS - _MARGIN_CHARS :])[-_TAIL_CHARS:]
        return f"{head} … {len(text) - _HEAD_CHARS - _TAIL_CHARS} characters cut … {tail}"


def _spellings(secret: str) -> set[str]:
    """The forms of a configured secret in texts: whole, the secrets of ``kid:secret,…``, the password of a URL."""
    whole = {secret}
    if "://" in secret:
        # Only the password of a URL is secret. Error messages need its host.
        try:
            password = urlsplit(secret).password
        except ValueError:
            password = None
        whole = {password} if password else set()
    else:
        whole |= {entry.partition(":")[2] for entry in secret.split(",")}
    forms = whole | {unquote(text) for text in whole}
    forms |= {quote(text, safe="") for text in forms} | {repr(text)[1:-1] for text in forms}
    return {text for text in forms if len(text) >= _MIN_SECRET_CHARS}


class _Lines:
    """The output of structlog. It never raises: a log line that cannot be written must not fail a request."""

    __slots__ = ("_stream", "name")

    def __init__(self, stream: TextIO, name: str | None = None) -> None:
        self._stream = stream
        self.name = name

    def msg(self, line: str) -> None:
        try:
            # One write per line, so that lines of several threads do not mix.
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # the reader has exited, or the stream is closed
            pass

    debug = info = warning = error = critical = msg


class _LineHandler(logging.Handler):
    """Writes the logs of the standard library to the same stream."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._lines = _Lines(stream)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.msg(self.format(record))
        except Exception:  # a library's record with wrong arguments, which `logging` tolerates too
            self._lines.msg(json.dumps({"level": "error", "event": "log record cannot be formatted"}))


def _name_logger(logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if getattr(logger, "name", None):
        event["logger"] = logger.name
    return event


def _quieten_libraries(level: str) -> None:
    # uvicorn's access log contains raw paths, and paths contain tokens: http/request_context.py logs requests instead.
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [], False
    # At INFO or DEBUG these log URLs, request headers, statements with their parameters, and task arguments.
    at_least = max(logging.WARNING, logging.getLevelNamesMapping()[level])
    for name in ("aiobotocore", "aioboto3", "aiohttp", "arq", "asyncio", "boto3", "botocore", "httpcore", "httpx"):
        logging.getLogger(name).setLevel(at_least)
    for name in ("multipart", "PIL", "s3transfer", "sqlalchemy", "urllib3"):
        logging.getLogger(name).setLevel(at_least)


def _log_uncaught_exceptions() -> None:
    # By default, Python prints these over many lines and without redaction.
    log = structlog.get_logger("imagesvc")

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            log.critical("process ended by an uncaught exception", exc_info=(kind, error, trace))

    def uncaught_in_thread(failure: threading.ExceptHookArgs) -> None:
        if failure.exc_value is not None:
            exc_info = (failure.exc_type, failure.exc_value, failure.exc_traceback)
            log.error("thread ended by an uncaught exception", exc_info=exc_info)

    sys.excepthook = uncaught
    threading.excepthook = uncaught_in_thread
