"""Exit codes of all commands, the errors that end one, and how they are printed."""

import sys

EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE = 1, 2, 3


class InvalidSettings(Exception):
    """One line for each wrong setting, with its variable and what to set; never with a value, which may be secret."""


class CommandFailed(Exception):
    """The settings are valid, but a server they name is unreachable or in the wrong state; one line."""


def print_error(lines: str) -> None:
    for line in lines.splitlines():
        sys.stderr.write(f"imagesvc: {line}\n")


def printable(text: object) -> str:
    """Escapes control and unprintable characters: file names and answers are untrusted and could steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(text))
