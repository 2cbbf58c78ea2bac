"""The original: the uploaded bytes, whole or in ranges, and conditional requests."""

import base64
from email.message import Message
from hashlib import sha256
from urllib.parse import unquote

import httpx

from tests.images.uploads import send
from tests.support.bookkeeping import stored_keys
from tests.support.images import jpeg, png
from tests.support.service import Service

DATA = jpeg(seed=1)
HASH = sha256(DATA).hexdigest()
RANGES = {
    "bytes=100-199": (206, DATA[100:200], f"bytes 100-199/{len(DATA)}"),
    "bytes=0-0": (206, DATA[:1], f"bytes 0-0/{len(DATA)}"),
    "bytes=100-": (206, DATA[100:], f"bytes 100-{len(DATA) - 1}/{len(DATA)}"),
    "bytes=-5": (206, DATA[-5:], f"bytes {len(DATA) - 5}-{len(DATA) - 1}/{len(DATA)}"),
    f"bytes=-{len(DATA) + 5}": (206, DATA, f"bytes 0-{len(DATA) - 1}/{len(DATA)}"),
    f"bytes={len(DATA) - 1}-999999999": (206, DATA[-1:], f"bytes {len(DATA) - 1}-{len(DATA) - 1}/{len(DATA)}"),
    "bytes=0-1,5-6": (200, DATA, None),
    "lines=1-2": (200, DATA, None),
    "bytes=5-1": (200, DATA, None),
    "bytes=abc": (200, DATA, None),
    f"bytes={len(DATA)}-": (416, None, f"bytes */{len(DATA)}"),
    "bytes=-0": (416, None, f"bytes */{len(DATA)}"),
}
NAMES = {
    b"plain.jpg": ("plain.jpg", None),
    "Zürich – Ö.jpg".encode(): ("Zurich _ O.jpg", "Zürich – Ö.jpg"),
    b"../../etc/passwd": ("passwd", None),
    b"a;b=c,d.jpg": ("a;b=c,d.jpg", None),
    b'quo\\"te%41.jpg': ("quo_te_41.jpg", 'quo"te%41.jpg'),
    b"line%0D%0ASet-Cookie: x=1.jpg": ("lineSet-Cookie: x=1.jpg", None),
    b"a\x00\x1b[31m.jpg": ("a[31m.jpg", None),
    b"\xff\xfe.jpg": ("__.jpg", "��.jpg"),
    "\u202egpj.exe".encode(): ("gpj.exe", None),
    "emoji 😀.jpg".encode(): ("emoji _.jpg", "emoji 😀.jpg"),
    b"x" * 5000 + b".jpg": ("x" * 251 + ".jpg", None),
    b"": ("unnamed", None),
}


async def original(service: Service, data: bytes = DATA) -> str:
    return f"/v1/images/{(await send(service, data))['image_id']}/original"


def filenames_of(answer: httpx.Response) -> tuple[str, str | None]:
    """The parameters `filename` and `filename*`, as a client decodes them."""
    kind, _, rest = answer.headers["content-disposition"].partition("; ")
    assert kind == "attachment"
    plain, _, extended = rest.partition("; filename*=UTF-8''")
    message = Message()
    message["Content-Disposition"] = f"attachment; {plain}"
    return str(message.get_filename()), unquote(extended) or None


async def test_the_original_is_returned_unchanged_with_its_headers(idle_service: Service) -> None:
    path = await original(idle_service)

    got = await idle_service.owner.get(path)
    head = await idle_service.owner.head(path)

    digest = base64.b64encode(sha256(DATA).digest()).decode()
    assert (got.status_code, got.content) == (200, DATA)
    assert {name: got.headers[name] for name in got.headers if name not in ("date", "server", "x-request-id")} == {
        "etag": f'"{HASH}"',
        "repr-digest": f"sha-256=:{digest}:",
        "content-type": "image/jpeg",
        "content-length": str(len(DATA)),
        "content-disposition": 'attachment; filename="a.jpg"',
        "cache-control": "private, no-cache",
        "accept-ranges": "bytes",
        "content-security-policy": "default-src 'none'; sandbox",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    own = ("date", "x-request-id")
    assert (head.status_code, head.content) == (200, b"")
    assert {n: v for n, v in head.headers.items() if n not in own} == {
        n: v for n, v in got.headers.items() if n not in own
    }


async def test_the_content_type_comes_from_the_bytes_and_not_from_the_filename(idle_service: Service) -> None:
    sent = await send(idle_service, png(seed=1), name=b"page.html")

    answer = await idle_service.owner.get(f"{sent['url']}/original")

    assert answer.headers["content-type"] == "image/png"
    assert filenames_of(answer) == ("page.html", None)


async def test_a_range_of_the_original_is_206_and_an_unsatisfiable_range_is_416(idle_service: Service) -> None:
    path = await original(idle_service)

    answers = {wanted: await idle_service.owner.get(path, headers={"Range": wanted}) for wanted in RANGES}

    assert {
        wanted: (answer.status_code, answer.headers.get("content-range")) for wanted, answer in answers.items()
    } == {wanted: (status, content_range) for wanted, (status, _, content_range) in RANGES.items()}
    assert [
        wanted for wanted, (_, data, _) in RANGES.items() if data is not None and answers[wanted].content != data
    ] == []
    assert {answer.headers["etag"] for answer in answers.values() if answer.status_code != 416} == {f'"{HASH}"'}
    assert answers["bytes=-0"].json()["type"] == "/problems/range-not-satisfiable"


async def test_if_range_returns_the_whole_file_unless_the_tag_matches(idle_service: Service) -> None:
    path = await original(idle_service)
    conditions = {f'"{HASH}"': 206, '"another"': 200, f'W/"{HASH}"': 200, "Sat, 21 Nov 2026 00:00:00 GMT": 200}

    answers = {
        condition: await idle_service.owner.get(path, headers={"Range": "bytes=1-2", "If-Range": condition})
        for condition in conditions
    }

    assert {condition: answer.status_code for condition, answer in answers.items()} == conditions


async def test_an_unchanged_original_is_304_without_reading_the_stored_object(idle_service: Service) -> None:
    path, storage = await original(idle_service), idle_service.background.servers.storage
    (key,) = await stored_keys(idle_service.background.servers)
    await storage.delete(key)
    matching_tags = [f'"{HASH}"', f'W/"{HASH}"', "*", f'"other", "{HASH}"']

    answers = [await idle_service.owner.get(path, headers={"If-None-Match": tags}) for tags in matching_tags]
    head = await idle_service.owner.head(path)
    missing = await idle_service.owner.get(path, headers={"If-None-Match": '"other"'})

    assert [(answer.status_code, answer.content) for answer in answers] == [(304, b"")] * 4
    assert {answer.headers["etag"] for answer in answers} == {f'"{HASH}"'}
    assert head.status_code == 200
    assert missing.status_code == 503
    assert "retry-after" in missing.headers


async def test_an_original_that_does_not_match_if_match_is_412(idle_service: Service) -> None:
    path = await original(idle_service)

    answers = [
        await idle_service.owner.get(path, headers={"If-Match": tags}) for tags in (f'"{HASH}"', "*", '"another"')
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 412]


async def test_a_range_of_a_large_original_may_span_its_stored_parts(idle_service: Service) -> None:
    data = DATA + bytes(range(256)) * 4 * 9000
    path, middle = await original(idle_service, data), 8 * 1024 * 1024

    answer = await idle_service.owner.get(path, headers={"Range": f"bytes={middle - 10}-{middle + 9}"})

    assert answer.content == data[middle - 10 : middle + 10]


async def test_a_hostile_filename_becomes_a_harmless_header(idle_service: Service) -> None:
    sent = [await send(idle_service, jpeg(seed=seed, size=(16, 16)), name=name) for seed, name in enumerate(NAMES)]

    answers = [await idle_service.owner.head(f"{result['url']}/original") for result in sent]

    assert [filenames_of(answer) for answer in answers] == list(NAMES.values())
    assert not [answer for answer in answers if "set-cookie" in answer.headers]


async def test_the_original_of_a_public_image_is_only_for_its_owner(idle_service: Service) -> None:
    sent = await send(idle_service, DATA, visibility="public")

    anyone = await idle_service.anyone.get(f"{sent['url']}/original")
    bad = await idle_service.anyone.get(f"{sent['url']}/original", headers={"Authorization": "Bearer " + "x" * 40})
    cookie = await idle_service.anyone.get(f"{sent['url']}/original", headers={"Cookie": "token=x"})

    assert [answer.status_code for answer in (anyone, bad, cookie)] == [401] * 3
