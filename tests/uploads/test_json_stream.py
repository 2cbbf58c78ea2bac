"""Items of a JSON text in chunks of any size: what is read, what is refused, and that nothing is buffered."""

import base64
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from imagesvc.settings import Settings
from imagesvc.uploads.batches.items import JsonBatchBody
from imagesvc.uploads.batches.json_stream import MAX_SKIPPED_BYTES
from imagesvc.uploads.errors import Base64Broken, BrokenJson, NotABatch, RequestTooLarge

Read = Callable[..., Any]
MIB = 1024 * 1024
PIECES = (1, 2, 3, 7, 64 * 1024)


async def cut(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def cut_at_random(data: bytes, random: random.Random) -> AsyncIterator[bytes]:
    start = 0
    while start < len(data):
        size = random.choice((0, 1, 1, 2, 3, 5, 8, 50))
        yield data[start : start + size]
        start += size


async def read(settings: Settings, chunks: AsyncIterator[bytes]) -> tuple[list[Any], list[str]]:
    """(fields, file or its problem, what is wrong) of each item, and the warnings."""
    body, found = JsonBatchBody(settings, chunks), []
    async for item in body.items():
        file: bytes | Base64Broken | None = None
        try:
            if await item.find_file():
                file = b"".join([chunk async for chunk in item.chunks()])
        except Base64Broken as error:
            file = error
        await item.finish()
        found.append((item.fields, file, item.errors))
    return found, body.warnings


@pytest.fixture
def settings() -> Settings:
    """Nothing of this needs a server."""
    server = {"database_url": "-", "redis_url": "-", "s3_endpoint": "-", "s3_access_key": "-", "s3_secret_key": "-"}
    return Settings.model_validate({**server, "secret_keys": "k:" + "0" * 32, "max_parts": 20})


@pytest.fixture
def items_of(settings: Settings) -> Read:
    async def items(text: str | bytes, size: int = 64 * 1024) -> list[Any]:
        data = text if isinstance(text, bytes) else text.encode()
        return (await read(settings, cut(data, size)))[0]

    return items


def random_text(random: random.Random) -> str:
    letters = ["a", '"', "\\", "/", "\n", "é", "😀", "\x01", "u", "\t", " ", "{", "[", "}", ","]
    return "".join(random.choice(letters) for _ in range(random.randrange(12)))


def random_batch(random: random.Random) -> tuple[str, list[Any]]:
    """A JSON text as any library might write it, and what is to be read from it."""
    items: list[Any] = []
    expected: list[Any] = []
    for _ in range(random.randrange(4)):
        data = random.randbytes(random.randrange(60))
        file = base64.b64encode(data).decode()
        members: list[tuple[str, Any]] = [("file", random.choice((file, "\r\n".join((file[:20], file[20:])))))]
        members += [(name, random_text(random)) for name in ("camera_id", "title", "filename") if random.random() < 0.6]
        members.append(('odd"name', random.choice((1, -2.5e3, None, True, [], {}, [[{"a": ']}"'}]], "s\\"))))
        random.shuffle(members)
        items.append(dict(members))
        fields = {name: value for name, value in members if name in ("camera_id", "title", "filename")}
        expected.append((fields, data, []))
    batch = random.choice((items, {"version": 1, "images": items, "more": {"of": [1]}}))
    text = json.dumps(batch, ensure_ascii=random.random() < 0.5, indent=random.choice((None, 1)))
    for sign, escape in (("/", "\\/"), ("+", "\\u002b"), ("=", "\\u003D")):
        text = text.replace(sign, escape) if random.random() < 0.3 else text
    return text, expected


@pytest.mark.parametrize("seed", range(200))
async def test_any_json_text_is_read_as_the_standard_library_reads_it_however_it_is_cut(
    settings: Settings, seed: int
) -> None:
    chance = random.Random(seed)
    text, expected = random_batch(chance)

    found, _ = await read(settings, cut_at_random(text.encode(), chance))

    assert found == expected


@pytest.mark.parametrize("seed", range(200))
async def test_truncated_json_is_refused_or_yields_the_same_items(settings: Settings, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(random_batch(chance)[0].encode())
    place = chance.randrange(len(data))
    data[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(2))

    try:
        batch: Any = json.loads(data)
        number_of_items = len(batch["images"] if isinstance(batch, dict) else batch)
    except (ValueError, KeyError, TypeError):
        number_of_items = None
    try:
        outcome: object = len((await read(settings, cut_at_random(bytes(data), chance)))[0])
    except (BrokenJson, NotABatch) as error:
        outcome = type(error)

    assert number_of_items in (None, outcome)


@pytest.mark.parametrize("size", PIECES)
async def test_escapes_are_read_wherever_a_chunk_ends(items_of: Read, size: int) -> None:
    text = r'[{"title": "a\"\\b\u00e9\ud83d\ude00\n", "file": "\/\u002B8\/AA=\u003d"}]'

    assert await items_of(text, size) == [({"title": 'a"\\bé😀\n'}, base64.b64decode("/+8/AA=="), [])]


BAD_BASE64 = {
    "foreign signs": "!!!!",
    "no padding": "QQ",
    "half a padding": "QQ=",
    "one letter more": "QUJDR",
    "padding in the middle": "QQ==QQ==",
    "only padding": "====",
    "the alphabet of URLs": "__--",
    "a data URL": "data:image/jpeg;base64,QUJD",
    "a space": "QU JD",
    "an escaped backslash": r"QUJD\\/w",
    "an escaped quote": r"QU\"D",
    "an escaped NUL": r"QUJD\u0000",
    "a letter that looks like one": r"QUJ\u0410",
    "a broken escape": r"QUJD\u00zz",
    "a raw line break": "QUJD\nQUJD",
    "letters beyond ASCII": "QUJDé===",
}


@pytest.mark.parametrize("what", BAD_BASE64)
@pytest.mark.parametrize("size", PIECES)
async def test_invalid_base64_affects_only_its_item(items_of: Read, what: str, size: int) -> None:
    text = f'[{{"file": "{BAD_BASE64[what]}", "title": "a"}}, {{"file": "QUJD"}}]'

    bad, good = await items_of(text, size)

    assert isinstance(bad[1], Base64Broken)
    assert bad[1].errors[0]["pointer"] == "/0/file"
    assert (bad[0], good) == ({"title": "a"}, ({}, b"ABC", []))


WRONG_MEMBERS = {
    '"camera_id": 5, "file": "QUJD"': "/0/camera_id",
    '"file": "QUJD", "title": ["x"]': "/0/title",
    '"title": "a", "file": "QUJD", "title": "a"': "/0/title",
    '"captured_at": "x", "timestamp": "x", "file": "QUJD"': "/0/timestamp",
    '"file": "QUJD", "file": "QUJD"': "/0/file",
    '"file": {"a": "QUJD"}': "/0/file",
    '"file": 5': "/0/file",
    '"a/b~c": 1, "file": "QUJD", "a/b~c": 1': "/0/a~1b~0c",
    '"title": "\\ud800\\q", "file": "QUJD"': "/0/title",
    '"title": "' + "x" * 40_000 + '", "file": "QUJD"': "/0/title",
}


@pytest.mark.parametrize("members", WRONG_MEMBERS)
async def test_a_wrong_member_is_pointed_at_and_harms_its_own_item_only(items_of: Read, members: str) -> None:
    bad, good = await items_of(f'[{{{members}}}, {{"file": "QUJD"}}]')

    assert [wrong["pointer"] for wrong in bad[2]] == [WRONG_MEMBERS[members]]
    assert good == ({}, b"ABC", [])


async def test_a_letter_that_is_no_utf8_harms_its_own_item_only(items_of: Read) -> None:
    bad, good = await items_of(b'[{"title": "\xff\xfe", "file": "QUJD"}, {"file": "QUJD"}]')

    assert [wrong["pointer"] for wrong in bad[2]] == ["/0/title"]
    assert good[2] == []


async def test_a_value_that_is_no_object_is_an_empty_item(items_of: Read) -> None:
    found = await items_of('{"images": [5, "x", [{"file": "QUJD"}], null, {"file": "QUJD"}]}')

    assert [[wrong["pointer"] for wrong in item[2]] for item in found] == [[f"/images/{n}"] for n in range(4)] + [[]]


async def test_null_is_as_good_as_a_member_that_is_not_there(items_of: Read) -> None:
    assert await items_of('[{"title": null, "file": null}]') == [({}, None, [])]


NO_BATCH = {
    "42": NotABatch,
    '"images"': NotABatch,
    "null": NotABatch,
    '{"images": 5}': NotABatch,
    '{"images": {"0": {}}}': NotABatch,
    '{"pictures": []}': NotABatch,
    '{"images": [], "images": []}': NotABatch,
    "": BrokenJson,
    "  \n": BrokenJson,
    "[{": BrokenJson,
    "[": BrokenJson,
    "[}": BrokenJson,
    "[,]": BrokenJson,
    '[{"file"}]': BrokenJson,
    '[{"file": "QUJD"},]': BrokenJson,
    '[{"file": "QUJD",}]': BrokenJson,
    "[{5: 1}]": BrokenJson,
    "[{'file': 'QUJD'}]": BrokenJson,
    '[{"file": "QUJD"}] x': BrokenJson,
    '[{"file": "QUJD"}][]': BrokenJson,
    '[{"file": "QUJD"': BrokenJson,
    '[{"file": "QUJD': BrokenJson,
    '[{"a": NaN}]': BrokenJson,
    '[{"a": -Infinity}]': BrokenJson,
    '[{"a": 01}]': BrokenJson,
    '[{"a": [}]': BrokenJson,
    '[{"a": nul}]': BrokenJson,
    '{"images": []': BrokenJson,
    '[{"a": ' + "[" * 100_000: RequestTooLarge,
    '[{"a": ' + '{"a":' * 100_000: RequestTooLarge,
    "[" * 100_000: RequestTooLarge,
    '[{"a": ' + "9" * 100_000 + "}]": RequestTooLarge,
    '[{"a": "' + "x" * (MAX_SKIPPED_BYTES + 1) + '"}]': RequestTooLarge,
    '[{"a": [' + "1," * 100_000 + "1]}]": RequestTooLarge,
    "[{" + ",".join(f'"{n}": 1' for n in range(101)) + "}]": RequestTooLarge,
    "[" + ",".join(["{}"] * 21) + "]": RequestTooLarge,
    "[" + "{}," * 1_000_000 + "{}]": RequestTooLarge,
    '[{"' + "x" * 500 + '": 1}]': BrokenJson,
}


@pytest.mark.parametrize("text", NO_BATCH, ids=lambda text: text[:20])
async def test_an_invalid_batch_is_refused(items_of: Read, text: str) -> None:
    with pytest.raises(NO_BATCH[text]):
        await items_of(text)


ENCODINGS = {"utf-16": '[{"file": "QUJD"}]'.encode("utf-16"), "utf-8-sig": b'\xef\xbb\xbf[{"file": "QUJD"}]'}


@pytest.mark.parametrize("data", [*ENCODINGS.values(), b"\xff\xfe", b"[\xff]", b'[{"\xff": 1}]', b"\x1f\x8b\x08"])
@pytest.mark.parametrize("size", PIECES)
async def test_invalid_utf_8_is_refused(items_of: Read, data: bytes, size: int) -> None:
    with pytest.raises(BrokenJson):
        await items_of(data, size)


async def test_the_position_of_an_error_is_reported(items_of: Read) -> None:
    with pytest.raises(BrokenJson) as reported:
        await items_of('[{"file": "QUJD"} {}]', 3)

    assert (reported.value.detail or "").startswith("At byte 18:")


async def test_unknown_members_are_reported_once_and_up_to_a_limit(settings: Settings) -> None:
    names = ",".join(f'"x{n:02}": 1' for n in range(30))
    text = f'{{"note": 1, "images": [{{"file": "QUJD", {names}}}, {{"file": "QUJD", {names}}}]}}'

    found, warnings = await read(settings, cut(text.encode(), 1000))

    assert [item[1:] for item in found] == [(b"ABC", [])] * 2
    assert len(warnings) == 21
    assert warnings[0] == "The member 'note' is unknown and was ignored."
    assert warnings[-1] == "11 more unknown members were ignored."


async def test_a_file_is_handed_on_while_it_arrives(settings: Settings) -> None:
    """What was decoded is never more than one chunk behind what has come in."""
    piece = base64.b64encode(bytes(48 * 1024))
    sent, behind, decoded = 0, [], 0

    async def coming() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'[{"file": "'
        for _ in range(100):
            sent += len(piece)
            yield piece
        yield b'"}]'

    async for item in JsonBatchBody(settings, coming()).items():
        assert await item.find_file()
        async for chunk in item.chunks():
            decoded += len(chunk)
            behind.append(sent * 3 // 4 - decoded)
        await item.finish()

    assert decoded == 100 * 48 * 1024
    assert max(behind) <= 48 * 1024
