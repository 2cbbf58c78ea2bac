"""`imagesvc users`: accounts, directly in the database."""

from pathlib import Path

from tests.cli.command import Command
from tests.support.service import Service

PASSWORD = "seven gulls above the quay"


def operator(service: Service, state: Path) -> Command:
    """The command with the database and the queue of the service in its environment, and nothing else."""
    settings = service.settings
    return Command(
        state,
        database_url=settings.database_url.get_secret_value(),
        redis_url=settings.redis_url.get_secret_value(),
    )


async def test_accounts_are_created_listed_and_disabled(idle_service: Service, tmp_path: Path) -> None:
    command = operator(idle_service, tmp_path)

    created = await command.run("users", "create", "ann", "--role", "admin", typed=f"{PASSWORD}\n")
    disabled = await command.run("users", "disable", "ANN")
    listed = await command.run("users", "list", "--json")

    assert (created.code, created.out) == (0, "created admin ann\n"), created.err
    assert (disabled.code, disabled.out) == (0, "ann is disabled\n"), disabled.err
    assert [(row["account"], row["role"], row["disabled"]) for row in listed.rows if row["account"] == "ann"] == [
        ("ann", "admin", True)
    ]


async def test_a_rejected_account_is_reported_in_one_line_without_the_password(
    idle_service: Service, tmp_path: Path
) -> None:
    command = operator(idle_service, tmp_path)
    await command.run("users", "create", "ann", typed=f"{PASSWORD}\n")

    invalid = await command.run("users", "create", "bob", "--role", "boss", typed=f"{PASSWORD}\n")
    taken = await command.run("users", "create", "ann", typed=f"{PASSWORD}\n")

    assert (invalid.code, len(invalid.err.splitlines())) == (2, 1)
    assert invalid.err.startswith("imagesvc: role: ")
    assert (taken.code, len(taken.err.splitlines())) == (1, 1)
    assert PASSWORD not in invalid.err + taken.err
