"""`imagesvc users`: accounts, straight in the database, for whoever runs the service.

The database is the one of IMAGESVC_DATABASE_URL, else that of a running `imagesvc up`. Passwords come from a prompt or
from the standard input, never from the arguments, which every process of the machine can read.
"""

import asyncio
import getpass
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from imagesvc.accounts.models import User
    from imagesvc.accounts.users import Users
    from imagesvc.settings import Settings

app = typer.Typer(help="Make, list and change accounts, straight in the database.", no_args_is_help=True)

Account = Annotated[str, typer.Argument(help="The account's name; capitals make no difference", show_default=False)]
DataDir = Annotated[
    Path, typer.Option(help="Folder of a running `imagesvc up`, used unless IMAGESVC_DATABASE_URL is set")
]
HERE = Path(".imagesvc")
VARIABLE = "IMAGESVC_DATABASE_URL"


@app.command(epilog="imagesvc users create ann\n\nimagesvc users create ann --role admin < password-file")
def create(
    account: Account,
    role: Annotated[str, typer.Option(help="member or admin")] = "member",
    data_dir: DataDir = HERE,
) -> None:
    """Make an account. The password is asked for, or is the first line of the standard input."""
    from imagesvc.accounts.schemas import NewUser
    from imagesvc.accounts.service import OPERATOR

    async def work(users: "Users") -> str:
        wanted = NewUser.model_validate({"account": account, "password": password, "role": role})
        made = await users.create(OPERATOR, wanted)
        return f"made {made.role} {made.account}"

    settings = _settings(data_dir)
    password = _password()
    _run(settings, work)


@app.command("list")
def list_accounts(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line")] = False, data_dir: DataDir = HERE
) -> None:
    """List all accounts, the oldest first."""
    from imagesvc.accounts.schemas import UserOut
    from imagesvc.accounts.service import OPERATOR

    def line(user: "User") -> str:
        shown = UserOut.of(user)
        if as_json:
            return json.dumps(shown.model_dump(mode="json"))
        state = "disabled" if shown.disabled else "enabled"
        return f"{shown.id}  {shown.role:6}  {state:8}  {shown.created_at:%Y-%m-%d}  {shown.account}"

    async def work(users: "Users") -> str:
        found: list[User] = []
        after = None
        while page := await users.page(OPERATOR, after=after, limit=1000):
            found += page
            after = page[-1].id
        return "\n".join(map(line, found))

    _run(_settings(data_dir), work)


@app.command()
def set_password(account: Account, data_dir: DataDir = HERE) -> None:
    """Set a new password; whoever is logged in under this account is logged out. Works for `admin` too."""
    settings = _settings(data_dir)
    password = _password()
    _change(settings, account, {"password": password}, said="has a new password")


@app.command()
def disable(account: Account, data_dir: DataDir = HERE) -> None:
    """Stop an account at once: its logins, keys, links and shares. Its images stay."""
    _change(_settings(data_dir), account, {"disabled": True}, said="is disabled")


@app.command()
def enable(account: Account, data_dir: DataDir = HERE) -> None:
    """Let a disabled account in again."""
    _change(_settings(data_dir), account, {"disabled": False}, said="is enabled")


def _change(settings: "Settings", account: str, changes: dict[str, object], *, said: str) -> None:
    from imagesvc.accounts.schemas import UserChanges
    from imagesvc.accounts.service import OPERATOR

    async def work(users: "Users") -> str:
        user = await users.named(OPERATOR, account)
        await users.change(OPERATOR, user.id, UserChanges.model_validate(changes))
        return f"{user.account} {said}"

    _run(settings, work)


def _settings(data_dir: Path) -> "Settings":
    """Nothing but the database is used, so nothing else has to be named."""
    from imagesvc.cli.serve import (
        EXIT_USAGE,
        FOR_OTHERS,
        FOR_STORAGE,
        SettingsWrong,
        complain,
        settings_from,
    )

    unused = FOR_OTHERS | FOR_STORAGE
    given = {name: value for name, value in unused.items() if f"IMAGESVC_{name.upper()}" not in os.environ}
    if VARIABLE not in os.environ:
        try:
            given["database_url"] = (data_dir / "secrets" / "database-url").read_text().strip()
        except OSError as error:
            complain(f"{VARIABLE} is not set, and no `imagesvc up` keeps its data in {data_dir} ({error.strerror})")
            raise typer.Exit(EXIT_USAGE) from error
    try:
        return settings_from(**given)
    except SettingsWrong as wrong:
        complain(str(wrong))
        raise typer.Exit(EXIT_USAGE) from wrong


def _password() -> str:
    from imagesvc.cli.serve import EXIT_USAGE, complain

    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        complain("the two are not the same")
        raise typer.Exit(EXIT_USAGE)
    return password


def _run(settings: "Settings", work: Callable[["Users"], Awaitable[str]]) -> None:
    from pydantic import ValidationError

    from imagesvc.cli.serve import EXIT_FAILED, EXIT_USAGE, NotPossible, complain
    from imagesvc.errors import ImagesvcError

    try:
        typer.echo(asyncio.run(_with_users(settings, work)))
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_context=False, include_url=False)
        complain("\n".join(f"{item['loc'][0]}: {item['msg'].removeprefix('Value error, ')}" for item in wrong))
        raise typer.Exit(EXIT_USAGE) from None
    except ImagesvcError as error:
        complain(f"{error.title}: {error.detail}" if error.detail else error.title)
        raise typer.Exit(EXIT_FAILED) from None
    except NotPossible as trouble:
        complain(str(trouble))
        raise typer.Exit(EXIT_FAILED) from None


async def _with_users(settings: "Settings", work: Callable[["Users"], Awaitable[str]]) -> str:
    import imagesvc.models  # noqa: F401 - foreign keys are resolved among all tables
    from imagesvc.accounts.passwords import Passwords
    from imagesvc.accounts.users import Users
    from imagesvc.cli.serve import require_schema
    from imagesvc.db import Database
    from imagesvc.tasks.completion import Waiting
    from imagesvc.tasks.queue import Queue

    await require_schema(settings)
    database = Database(settings)
    try:
        async with Queue(settings, database) as queue:
            return await work(Users(settings, database, queue, Waiting(database), Passwords(at_once=1)))
    finally:
        await database.close()
