"""Every package's docstring is a complete map of its folder."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "imagesvc"
PACKAGES = sorted(path.parent for path in SOURCE.rglob("__init__.py"))


def contents(package: Path) -> set[str]:
    """Modules, and folders with a slash."""
    modules = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    return modules | {f"{path.name}/" for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"}


def entries(package: Path) -> set[str]:
    """The names at the start of a line of the docstring."""
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    starts = re.findall(r"^\s*((?:\w+(?:\.py|/)\s+)*\w+(?:\.py|/))(?=\s|$)", docstring, re.MULTILINE)
    return {name for start in starts for name in start.split()}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(SOURCE.parent)))
def test_the_map_of_a_package_lists_every_file_and_folder(package: Path) -> None:
    assert contents(package) - entries(package) == set()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(SOURCE.parent)))
def test_the_map_of_a_package_lists_only_existing_files(package: Path) -> None:
    assert entries(package) - contents(package) == set()
