"""The message catalogues: complete, with the same placeholders as the English text."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import imagesvc.web
from imagesvc.web.languages import LANGUAGES, preferred_language

FOLDER = Path(str(files(imagesvc.web)))
METHODS = [("templates/upload/**.html", "jinja2")]
OPTIONS = {"templates/upload/**.html": {"newstyle_gettext": "true"}}
PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w+\}|%%")


def used_messages() -> set[object]:
    """The messages of the templates; one with a plural is a tuple."""
    found = [message for _, _, message, *_ in extract_from_dir(str(FOLDER), METHODS, OPTIONS)]
    return {tuple(message) if isinstance(message, (list, tuple)) else message for message in found}


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"en"}))
def test_catalogue_translates_every_message(language: str) -> None:
    with (FOLDER / "locale" / f"{language}.po").open("rb") as source:
        catalogue = {message.id: message.string for message in read_po(source, locale=language) if message.id}
    assert set(catalogue) == used_messages()
    for wanted, translated in catalogue.items():
        original = wanted[0] if isinstance(wanted, (list, tuple)) else wanted
        for text in translated if isinstance(translated, (list, tuple)) else [translated]:
            assert text, original
            assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(original)), original


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "en"),
        ("", "en"),
        ("de-CH, en;q=0.5", "de"),
        ("en-GB,de;q=0.9", "en"),
        ("ja, fr;q=0.3, es;q=0.8", "es"),
        ("de;q=0, fr;q=0.1", "fr"),
        ("*", "en"),
        ("de;q=x, ;;,,-", "en"),
        ("x" * 100_000, "en"),
    ],
)
def test_language_follows_the_qualities_of_the_header(header: str | None, expected: str) -> None:
    assert preferred_language(header) == expected
