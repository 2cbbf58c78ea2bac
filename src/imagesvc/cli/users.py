"""`imagesvc users`: manages accounts directly in the database, for operators.

Passwords come from a prompt or from standard input, never from arguments, which every process of the machine can read.
"""

import getpass
import json
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from imagesvc.cli.errors import EXIT_USAGE, print_error
from imagesvc.cli.targets import DEFAULT_DATA_DIR, DataDir, run_on, settings_for

if TYPE_CHECKING:
    from imagesvc.accounts.models import User
    from imagesvc.accounts.users import Users
    from imagesvc.db import Database
    from imagesvc.settings import Settings

app = typer.Typer(help="Create, list and change accounts, directly in the database.", no_args_is_help=True)

Account = Annotated[str, typer.Argument(help="Name of the account, in any case", show_default=False)]


@app.command(epilog="imagesvc users create ann\n\nimagesvc users create ann --role admin < password-file")
def create(
    account: Account,
    role: Annotated[str, typer.Option(help="member or admin")] = "member",
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Create an account. Asks for the password, or reads the first line of standard input."""
    from imagesvc.accounts.schemas import NewUser
    from imagesvc.accounts.service import OPERATOR

    async def work(users: "Users") -> str:
        wanted = NewUser.model_validate({"account": account, "password": password, "role": role})
        created = await users.create(OPERATOR, wanted)
        return f"created {created.role} {created.account}"

    settings = settings_for(data_dir)
    password = _read_password()
    _run(settings, work)


@app.command("list")
def list_accounts(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
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

    _run(settings_for(data_dir), work)


@app.command()
def set_password(account: Account, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Set a new password and end all logins of the account. Works for `admin` too."""
    settings = settings_for(data_dir)
    password = _read_password()
    _change(settings, account, {"password": password}, done="has a new password")


@app.command()
def disable(account: Account, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Disable an account at once: its logins, keys, links and shares stop working. Its images stay."""
    _change(settings_for(data_dir), account, {"disabled": True}, done="is disabled")


@app.command()
def enable(account: Account, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Enable a disabled account again."""
    _change(settings_for(data_dir), account, {"disabled": False}, done="is enabled")


def _change(settings: "Settings", account: str, changes: dict[str, object], *, done: str) -> None:
    from imagesvc.accounts.schemas import UserChanges
    from imagesvc.accounts.service import OPERATOR

    async def work(users: "Users") -> str:
        user = await users.by_account(OPERATOR, account)
        await users.change(OPERATOR, user.id, UserChanges.model_validate(changes))
        return f"{user.account} {done}"

    _run(settings, work)


def _read_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        print_error("the two passwords differ")
        raise typer.Exit(EXIT_USAGE)
    return password


def _run(settings: "Settings", work: Callable[["Users"], Awaitable[str]]) -> None:
    """Print what ``work`` returns. Errors are printed as one line each."""
    from pydantic import ValidationError

    async def with_users(database: "Database") -> int:
        from imagesvc.accounts.passwords import Passwords
        from imagesvc.accounts.users import Users
        from imagesvc.tasks.completion import CompletionWaiter
        from imagesvc.tasks.queue import Queue

        async with Queue(settings, database) as queue:
            typer.echo(await work(Users(settings, database, queue, CompletionWaiter(database), Passwords(at_once=1))))
        return 0

    try:
        run_on(settings, with_users)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_context=False, include_url=False)
        print_error("\n".join(f"{item['loc'][0]}: {item['msg'].removeprefix('Value error, ')}" for item in wrong))
        raise typer.Exit(EXIT_USAGE) from None
