"""Filenames from clients: cleaning for storage, and `Content-Disposition` headers."""

import re
import unicodedata
from urllib.parse import unquote

import pytest

from imagesvc.http.filenames import MAX_BYTES, clean_filename, content_disposition, filename_of

HOSTILE = [
    'a"b.jpg',
    "a\\b.jpg",
    "a\r\nX-Evil: 1\r\n\r\n.jpg",
    "nul\0nul.jpg",
    "\udc80\ud800.jpg",
    "e" * 4_096 + ".jpg",
    "é" * 4_096,
    "",
    "../../etc/passwd",
    "photo\u202egpj.exe",
    "写真 🧑‍🚀.heic",
    "100%25.jpg",
    ";=,.jpg",
    "name*=UTF-8''x.jpg",
    "\u2028line\u2029.png",
    "\x85\x9f.png",
    " . ",
]


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("a.jpg", "a.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\holiday.jpg", "holiday.jpg"),
        ("mixed\\and/both.png", "both.png"),
        ("nul\0.jpg", "nul.jpg"),
        ("a\r\nb\tc\x7f.jpg", "abc.jpg"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("e\u0301.jpg", "é.jpg"),
        ("  spaced  .jpg ", "spaced  .jpg"),
        ("写真.jpg", "写真.jpg"),
        ("a\udc80b.jpg", "a\ufffdb.jpg"),
        ("\ud83d\ude00.jpg", "😀.jpg"),
        (b"\xff\xfe.jpg", "\ufffd\ufffd.jpg"),
        ("émile.jpg".encode(), "émile.jpg"),
        ("", "unnamed"),
        ("folder/", "unnamed"),
        ("..", "unnamed"),
        ("...", "unnamed"),
        ("\0\r\n", "unnamed"),
        (".hidden", ".hidden"),
        ("👩\u200d👩\u200d👧.png", "👩\u200d👩\u200d👧.png"),
    ],
)
def test_a_client_filename_is_cleaned_for_storage(raw: str | bytes, name: str) -> None:
    assert clean_filename(raw) == name


@pytest.mark.parametrize("raw", HOSTILE)
def test_a_cleaned_name_is_short_printable_and_does_not_change_again(raw: str) -> None:
    name = clean_filename(raw)

    assert 0 < len(name.encode()) <= MAX_BYTES
    assert name == unicodedata.normalize("NFC", name)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f/\\\u2028\u2029\u202a-\u202e]", name)
    assert clean_filename(name) == name


@pytest.mark.parametrize(("raw", "extension"), [("e" * 5_000 + ".jpg", ".jpg"), ("é" * 200 + ".jpeg", ".jpeg")])
def test_a_long_name_keeps_its_extension_and_complete_characters(raw: str, extension: str) -> None:
    name = clean_filename(raw)

    assert MAX_BYTES - 1 <= len(name.encode()) <= MAX_BYTES
    assert name.endswith(extension)
    assert "\ufffd" not in name


def test_an_extension_longer_than_the_limit_is_truncated() -> None:
    assert len(clean_filename("a." + "b" * 400)) == MAX_BYTES


@pytest.mark.parametrize("raw", HOSTILE)
def test_content_disposition_is_valid_and_preserves_any_cleaned_name(raw: str) -> None:
    value = content_disposition(raw)

    assert value.isascii()
    assert value.isprintable()
    plain = re.fullmatch(
        r"attachment; filename=\"([^\"\\]*)\"(?:; filename\*=UTF-8''([A-Za-z0-9!#$&+.^_`|~%-]+))?", value
    )
    assert plain is not None
    assert unquote(plain[2] or plain[1]) == clean_filename(raw)


def test_a_non_ascii_name_has_an_ascii_fallback_and_an_extended_parameter() -> None:
    value = content_disposition("Grüße & 写真.jpg")

    assert value == (
        "attachment; filename=\"Gru_e & __.jpg\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20&%20%E5%86%99%E7%9C%9F.jpg"
    )


def test_an_ascii_name_has_no_extended_parameter() -> None:
    assert content_disposition("a b.jpg") == 'attachment; filename="a b.jpg"'


@pytest.mark.parametrize(
    ("disposition", "plain", "filename"),
    [
        ('form-data; name="file"; filename="a.jpg"', "a.jpg", "a.jpg"),
        ("form-data; name=file; filename*=utf-8''%C3%A4.jpg", None, "ä.jpg"),
        (
            "form-data; name=file; filename=\"=?utf-8?B?w6QuanBn?=\"; filename*=utf-8''%C3%A4.jpg",
            "=?utf-8?B?w6QuanBn?=",
            "ä.jpg",
        ),
        ('form-data; name=file; filename="=?utf-8?B?w6QuanBn?="', "=?utf-8?B?w6QuanBn?=", "ä.jpg"),
        ('form-data; name=file; filename="=?utf-8?Q?=C3=A4_b.jpg?="', "=?utf-8?Q?=C3=A4_b.jpg?=", "ä b.jpg"),
        ("form-data; name=file; filename=x; filename*=iso-8859-1'en'%A3.jpg", "x", "£.jpg"),
        ("form-data; name=file; filename=x; filename*=UTF-8''%FF.jpg", "x", "\ufffd.jpg"),
        ("form-data; name=file; filename=x.jpg; filename*=koi8-r''%C1.jpg", "x.jpg", "x.jpg"),
        ("form-data; name=file; filename=x.jpg; filename*=broken", "x.jpg", "x.jpg"),
        ('form-data; name=file; filename="=?nonsense?B?w6Q=?="', "=?nonsense?B?w6Q=?=", "=?nonsense?B?w6Q=?="),
        ('form-data; name=file; filename="=?utf-8?B?%%%?="', "=?utf-8?B?%%%?=", "=?utf-8?B?%%%?="),
        ("form-data; name=\"a;filename*=utf-8''b\"", None, None),
        ("form-data; name=text", None, None),
    ],
)
def test_the_filename_of_a_part_is_read_in_all_its_encodings(
    disposition: str, plain: str | None, filename: str | None
) -> None:
    assert filename_of(disposition, plain) == filename
