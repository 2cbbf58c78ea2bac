"""The key ring: one derived key per purpose and secret."""

from imagesvc.keyring import KeyRing

FIRST, SECOND = ("2026-11", b"a" * 32), ("2026-05", b"b" * 32)


def test_the_first_secret_signs_and_all_verify() -> None:
    ring = KeyRing([FIRST, SECOND])

    kid, key = ring.signing("link")

    assert kid == "2026-11"
    assert ring.verifying("link", "2026-11") == key
    assert ring.verifying("link", "2026-05") not in (None, key)


def test_a_key_id_that_is_not_configured_has_no_key() -> None:
    assert KeyRing([FIRST]).verifying("link", "2026-05") is None


def test_each_purpose_and_each_secret_has_its_own_key() -> None:
    ring = KeyRing([FIRST, SECOND])

    keys = {
        ring.verifying("access", "2026-11"),
        ring.verifying("link", "2026-11"),
        ring.verifying("share", "2026-11"),
        ring.verifying("cursor", "2026-11"),
        ring.verifying("session", "2026-11"),
        ring.verifying("link", "2026-05"),
    }

    assert len(keys) == 6
    assert {len(key) for key in keys if key} == {32}


def test_a_derived_key_never_changes() -> None:
    # All issued links become invalid when this changes. The value was calculated by two HMACs.
    expected = "4e8e50e6866b5c773afc9ad1f7e0ba6f56d8af4274e3c87a1d42659a412eea6a"

    assert KeyRing([FIRST]).signing("link") == ("2026-11", bytes.fromhex(expected))


def test_the_repr_of_a_key_ring_contains_no_key() -> None:
    assert repr(KeyRing([FIRST, SECOND])) == "KeyRing(2026-11, 2026-05)"
