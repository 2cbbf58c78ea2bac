"""How the client commands reach a service: which one, as whom, and what their exit codes say.

Secrets come from the environment, a prompt or the standard input; they may be arguments, but never have to be, since
every process of a machine can read those. Nothing of the service itself is imported for a client command.
"""

import asyncio
import getpass
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from imagesvc.client import Client

EXIT_REFUSED, EXIT_UNREACHABLE = 1, 3
DEFAULT_SERVER = "http://127.0.0.1:8000"
PANEL = "Where to, and as whom"

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
        help="Access token or API key; - asks for it. Better in the environment, where others cannot see it"
        "  [IMAGESVC_TOKEN]",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
User = Annotated[
    str | None,
    typer.Option(
        help="Account to log in as; the password is asked for, or is the first line of the standard input"
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
    is_anonymous_fine: bool = False,
    connections: int = 2,
    patience_seconds: float = 60.0,
) -> "Client":
    """The client for these options and the environment. Raises typer.BadParameter."""
    from imagesvc.client import Client

    if token and user:
        raise typer.BadParameter("give --token or --user, not both")
    if token == "-":  # noqa: S105
        token = asked("Token")
    password = None
    if user:
        password = os.environ.get("IMAGESVC_PASSWORD") or asked(f"Password of {user}")
    elif not token:
        token = os.environ.get("IMAGESVC_TOKEN")
    if not (token or user or is_anonymous_fine):
        if not sys.stdin.isatty():
            raise typer.BadParameter("a token is needed: set IMAGESVC_TOKEN, or log in with --user")
        token = asked("Token")
    address = server or os.environ.get("IMAGESVC_SERVER") or DEFAULT_SERVER
    try:
        return Client(
            address,
            token=token or None,
            account=user,
            password=password,
            connections=connections,
            patience_seconds=patience_seconds,
        )
    except ValueError as error:
        raise typer.BadParameter(f"--server: {error}") from error


def asked(what: str) -> str:
    """A secret: hidden at a prompt, or the next line of the standard input. Raises typer.BadParameter."""
    secret = getpass.getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not secret:
        raise typer.BadParameter(f"{what}: nothing was given")
    return secret


def run(client: "Client", work: Callable[["Client"], Awaitable[int]]) -> int:
    """The exit code of a command: that of ``work``, or what kept it from its end, said in a line."""
    from imagesvc.client import ClientError, ServerAway

    async def with_client() -> int:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        async with client:
            return await work(client)

    try:
        return asyncio.run(with_client())
    except ServerAway as away:
        complain(str(away))
        return EXIT_UNREACHABLE
    except ClientError as error:
        complain(str(error))
        return EXIT_REFUSED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    except BrokenPipeError:  # whoever read our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def complain(line: str) -> None:
    sys.stderr.write(f"imagesvc: {printable(line)}\n")


def printable(text: object) -> str:
    """Names and answers come from strangers: what would steer the terminal, or cannot be printed, is shown as code."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(text))
