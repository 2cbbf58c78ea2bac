"""How the client commands reach a service: its address, the credential, and the exit code of the outcome.

Secrets come from the environment, a prompt or standard input. They may be arguments but need not be, since every
process of a machine can read those. A client command imports nothing of the service itself.
"""

import asyncio
import getpass
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from imagesvc.cli.errors import EXIT_FAILED, EXIT_UNREACHABLE, print_error, printable

if TYPE_CHECKING:
    from imagesvc.client import Client

DEFAULT_SERVER = "http://127.0.0.1:8000"
PANEL = "Server and credential"

Server = Annotated[
    str | None,
    typer.Option(
        help=f"Address of the service  [IMAGESVC_SERVER; default: {DEFAULT_SERVER}]",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        help="Access token or API key; - asks for it. Prefer the environment, which other users cannot read"
        "  [IMAGESVC_TOKEN]",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
User = Annotated[
    str | None,
    typer.Option(
        help="Account to log in as; its password comes from a prompt or the first line of standard input"
        "  [IMAGESVC_PASSWORD]",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]


def client_as(
    server: str | None,
    token: str | None,
    user: str | None,
    *,
    allow_anonymous: bool = False,
    connections: int = 2,
    retry_timeout_seconds: float = 60.0,
) -> "Client":
    """The client for these options and the environment. Raises typer.BadParameter."""
    from imagesvc.client import Client

    if token and user:
        raise typer.BadParameter("give --token or --user, not both")
    if token == "-":  # noqa: S105
        token = read_secret("Token")
    password = None
    if user:
        password = os.environ.get("IMAGESVC_PASSWORD") or read_secret(f"Password of {user}")
    elif not token:
        token = os.environ.get("IMAGESVC_TOKEN")
    if not (token or user or allow_anonymous):
        if not sys.stdin.isatty():
            raise typer.BadParameter("a token is required: set IMAGESVC_TOKEN, or log in with --user")
        token = read_secret("Token")
    address = server or os.environ.get("IMAGESVC_SERVER") or DEFAULT_SERVER
    try:
        return Client(
            address,
            token=token or None,
            account=user,
            password=password,
            connections=connections,
            retry_timeout_seconds=retry_timeout_seconds,
        )
    except ValueError as error:
        raise typer.BadParameter(f"--server: {error}") from error


def read_secret(name: str) -> str:
    """Ask for a secret without echo, or read the next line of standard input. Raises typer.BadParameter."""
    secret = getpass.getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not secret:
        raise typer.BadParameter(f"{name}: it is empty")
    return secret


def run(client: "Client", work: Callable[["Client"], Awaitable[int]]) -> int:
    """The exit code of a command: that of ``work``, or that of the error that ended it, which is printed as a line."""
    from imagesvc.client import ClientError, ServerUnavailable

    async def with_client() -> int:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        async with client:
            return await work(client)

    try:
        return asyncio.run(with_client())
    except ClientError as error:
        print_error(printable(error))
        return EXIT_UNREACHABLE if isinstance(error, ServerUnavailable) else EXIT_FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    except BrokenPipeError:  # the reader of our output closed it; later writes go to /dev/null
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
