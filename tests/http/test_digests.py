"""``Repr-Digest``."""

import base64
import hashlib

import pytest

from imagesvc.errors import Invalid
from imagesvc.http.digests import parse_digest, repr_digest

SHA256 = hashlib.sha256(b"a picture").digest()
BASE64 = base64.b64encode(SHA256).decode()


def test_a_digest_is_written_and_read_again() -> None:
    assert repr_digest(SHA256) == f"sha-256=:{BASE64}:"
    assert parse_digest(repr_digest(SHA256)) == SHA256


def test_the_digest_of_the_rfc_is_read() -> None:
    # RFC 9530, appendix A: the content {"hello": "world"} and a line feed.
    header = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"

    assert parse_digest(header) == hashlib.sha256(b'{"hello": "world"}\n').digest()


@pytest.mark.parametrize(
    "header",
    [f"sha-512=:AAAA:, sha-256=:{BASE64}:", f"sha-256=:{BASE64}:;x=1, md5=:AAAA:", f"unixsum=3,sha-256=:{BASE64}:"],
)
def test_it_is_found_among_others(header: str) -> None:
    assert parse_digest(header) == SHA256


@pytest.mark.parametrize("header", [None, "", "sha-512=:AAAA:", "crc32c=:AAAA:, md5=:AAAA:"])
def test_without_a_sha_256_there_is_nothing_to_check(header: str | None) -> None:
    assert parse_digest(header) is None


@pytest.mark.parametrize(
    "header",
    [
        "sha-256=:AAAA:",
        f"sha-256={BASE64}",
        "sha-256=:not base64!:",
        "sha-256",
        'sha-256="abc"',
        "sha-256=(:AAAA:)",
        f"sha-256:{BASE64}",
        "\udc80",
        f"sha-256=:{BASE64}:,",
    ],
)
def test_a_malformed_digest_is_refused_instead_of_being_ignored(header: str) -> None:
    with pytest.raises(Invalid) as failure:
        parse_digest(header)

    assert failure.value.errors[0]["pointer"] == "/header/repr-digest"
