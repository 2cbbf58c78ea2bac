"""``Repr-Digest`` headers (RFC 9530)."""

import base64
import hashlib

import pytest

from imagesvc.errors import Invalid
from imagesvc.http.digests import parse_digest, repr_digest

SHA256 = hashlib.sha256(b"an image").digest()
BASE64 = base64.b64encode(SHA256).decode()


def test_a_formatted_digest_parses_to_the_same_bytes() -> None:
    assert repr_digest(SHA256) == f"sha-256=:{BASE64}:"
    assert parse_digest(repr_digest(SHA256)) == SHA256


def test_the_example_digest_of_rfc_9530_is_parsed() -> None:
    # RFC 9530, appendix A: the content {"hello": "world"} and a line feed.
    header = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"

    assert parse_digest(header) == hashlib.sha256(b'{"hello": "world"}\n').digest()


@pytest.mark.parametrize(
    "header",
    [f"sha-512=:AAAA:, sha-256=:{BASE64}:", f"sha-256=:{BASE64}:;x=1, md5=:AAAA:", f"unixsum=3,sha-256=:{BASE64}:"],
)
def test_sha_256_is_found_among_other_algorithms(header: str) -> None:
    assert parse_digest(header) == SHA256


@pytest.mark.parametrize("header", [None, "", "sha-512=:AAAA:", "crc32c=:AAAA:, md5=:AAAA:"])
def test_a_header_without_sha_256_has_no_digest_to_check(header: str | None) -> None:
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
def test_a_malformed_digest_is_rejected_and_not_ignored(header: str) -> None:
    with pytest.raises(Invalid) as failure:
        parse_digest(header)

    assert failure.value.errors[0]["pointer"] == "/header/repr-digest"
