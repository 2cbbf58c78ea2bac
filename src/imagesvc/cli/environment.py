"""Settings of a command, read from the environment; mistakes in them become one line each."""

import os
from typing import TYPE_CHECKING

from pydantic import ValidationError

from imagesvc.cli.errors import InvalidSettings
from imagesvc.settings import Settings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# stand-ins for required settings that a command does not use
UNUSED_STORAGE = {"s3_endpoint": "http://unused.invalid", "s3_access_key": "unused", "s3_secret_key": "unused"}
UNUSED_OTHERS = {"redis_url": "redis://unused.invalid", "secret_keys": f"unused:{'-' * 32}"}

READY_VARIABLE, LISTENER_VARIABLE = "IMAGESVC_READY_DESCRIPTOR", "IMAGESVC_LISTENER_DESCRIPTOR"
"""How one of several processes learns its descriptors. Set by ``processes.py`` only."""


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return f"IMAGESVC_{name.upper()}"


def unless_set(values: dict[str, str]) -> dict[str, str]:
    """Those of the settings that the environment does not set."""
    return {name: value for name, value in values.items() if variable_of(name) not in os.environ}


def settings_from(**changes: object) -> Settings:
    """The environment's settings, overridden by the ``changes`` that are not None. Raises InvalidSettings."""
    try:
        return Settings.model_validate({name: value for name, value in changes.items() if value is not None})
    except ValidationError as error:
        # without input and context, which contain the values: they may be secrets
        found = error.errors(include_input=False, include_context=False, include_url=False)
        raise InvalidSettings("\n".join(_line(str(problem["loc"][0]), problem) for problem in found)) from None


def _line(name: str, problem: "ErrorDetails") -> str:
    variable = variable_of(name)
    meaning = Settings.model_fields[name].description if name in Settings.model_fields else None
    if problem["type"] == "missing":
        return f"{variable} is not set" + (f": set it to {meaning}" if meaning else "")
    what = problem["msg"].removeprefix("Value error, ").replace("items after validation", "characters")
    return f"{variable} is invalid: {what}" + (f" ({meaning})" if meaning else "")


def require_public_url(settings: Settings) -> None:
    """Raises InvalidSettings when other machines can reach the service but its public address is not set."""
    if settings.public_url is None and not is_loopback(settings.host):
        raise InvalidSettings(
            f"IMAGESVC_PUBLIC_URL is not set: it is required to listen on {settings.host}, since links are built from "
            "it; set it to the address that people use, such as https://images.example.org"
        )


def is_loopback(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"


def say_ready() -> None:
    """Called by a process that can work. Does nothing in one that is on its own."""
    descriptor = os.environ.pop(READY_VARIABLE, None)
    if descriptor is not None:
        os.write(int(descriptor), b".")
        os.close(int(descriptor))
