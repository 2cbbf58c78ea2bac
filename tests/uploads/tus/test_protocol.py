"""tus 1.0 as clients see it: versions, headers, refusals."""

import itertools
from hashlib import sha256

import pytest

from tests.support.images import jpeg
from tests.support.service import Service
from tests.uploads.tus.tus import (
    MIB,
    OFFSET_STREAM,
    Tus,
    checksum,
    metadata,
    of_link,
    of_user,
    verdict,
)


async def test_a_picture_sent_in_pieces_becomes_an_image_like_any_other(service: Service) -> None:
    tus, data = of_user(service), jpeg(seed=1)
    upload = await tus.new(
        len(data), Upload_Metadata=metadata(filename="a b.jpg", store_id="S1", barcode="4006381333931")
    )

    first = await tus.patch(upload, 0, data[:1000])
    last = await tus.patch(upload, 1000, data[1000:])

    assert (first.status_code, first.headers["upload-offset"]) == (204, "1000")
    assert "upload-expires" in first.headers
    assert (last.status_code, last.headers["upload-offset"]) == (204, str(len(data)))
    assert last.headers["imagesvc-status"] == "created"
    assert last.headers["imagesvc-url"] == f"/v1/images/{last.headers['imagesvc-image-id']}"
    arrived = await service.upload_of({"upload_id": last.headers["imagesvc-upload-id"]})
    assert (arrived["way"], arrived["filename"], arrived["store_id"]) == ("tus", "a b.jpg", "S1")
    assert arrived["image"]["id"] == last.headers["imagesvc-image-id"]
    assert arrived["image"]["state"] == "ready"
    assert arrived["image"]["sha256"] == sha256(data).hexdigest()
    assert (await service.owner.get(arrived["image"]["original_url"])).content == data


async def test_a_large_file_in_odd_pieces_arrives_whole(service: Service) -> None:
    tus, data = of_user(service), jpeg(seed=2) + bytes(range(256)) * (21 * MIB // 256)
    upload = await tus.new(len(data))
    cuts = [0, 3_000_000, 9_500_000, 9_500_001, 16_000_000, len(data)]

    answers = [await tus.patch(upload, start, data[start:stop]) for start, stop in itertools.pairwise(cuts)]

    assert [int(answer.headers["upload-offset"]) for answer in answers] == cuts[1:]
    image = await service.image_of({"upload_id": answers[-1].headers["imagesvc-upload-id"]})
    assert image["sha256"] == sha256(data).hexdigest()
    assert (await service.owner.get(image["original_url"])).content == data


async def test_known_content_is_a_duplicate(idle_service: Service) -> None:
    tus, data = of_user(idle_service), jpeg(seed=3)
    known = (await idle_service.owner.post("/v1/images", files=[("file", ("a.jpg", data))])).json()["results"][0]

    answer = await tus.create(len(data), data)

    assert answer.status_code == 201
    assert answer.headers["imagesvc-status"] == "duplicate"
    assert answer.headers["imagesvc-image-id"] == known["image_id"]


async def test_every_head_of_a_finished_upload_has_its_result(idle_service: Service) -> None:
    tus, data = of_user(idle_service), jpeg(seed=4)
    sent = metadata(filename="a.jpg")
    upload = await tus.new(len(data), Upload_Metadata=sent)
    last = await tus.patch(upload, 0, data)

    reported = await tus.head(upload)
    again = await tus.patch(upload, len(data), b"")

    assert reported.status_code == 200
    assert (reported.headers["upload-offset"], reported.headers["upload-length"]) == (str(len(data)), str(len(data)))
    assert reported.headers["upload-metadata"] == sent
    assert reported.headers["cache-control"] == "no-store"
    results = ("imagesvc-status", "imagesvc-upload-id", "imagesvc-image-id", "imagesvc-url")
    assert [reported.headers[name] for name in results] == [last.headers[name] for name in results]
    assert (again.status_code, again.headers["imagesvc-upload-id"]) == (204, last.headers["imagesvc-upload-id"])


async def test_through_a_link_the_result_has_a_receipt_and_no_image(service: Service) -> None:
    tus, link = await of_link(service, max_files=2)
    data = jpeg(seed=5)

    first = await tus.create(len(data), data, Upload_Metadata=metadata(filename="a.jpg"))
    again = await tus.create(len(data), data)

    assert [answer.headers["imagesvc-status"] for answer in (first, again)] == ["created", "duplicate"]
    assert "imagesvc-image-id" not in first.headers
    await service.upload_of({"upload_id": first.headers["imagesvc-upload-id"]})
    receipt = await service.anyone.get(first.headers["imagesvc-url"])
    assert (receipt.json()["state"], receipt.json()["filename"]) == ("ready", "a.jpg")
    after = (await service.owner.get(f"/v1/links/{link['id']}")).json()
    assert (after["used_files"], after["used_bytes"]) == (1, len(data))
    assert (after["reserved_files"], after["reserved_bytes"]) == (0, 0)


async def test_the_token_is_accepted_in_the_header(idle_service: Service) -> None:
    link, data = await idle_service.new_link(), jpeg(seed=6)
    headers = {"Tus-Resumable": "1.0.0", "Authorization": f"Bearer {link['token']}"}
    tus = Tus(client=idle_service.anyone, path="/u/-/tus", sent_headers=headers)

    upload = await tus.new(len(data))
    last = await tus.patch(upload, 0, data)

    assert upload.startswith("/u/-/tus/")
    assert last.headers["imagesvc-status"] == "created"
    assert link["token"] not in str(last.headers)


async def test_options_lists_the_capabilities_without_a_version_header(idle_service: Service) -> None:
    _, link = await of_link(idle_service, max_file_bytes=5000)

    for_user = await idle_service.owner.options("/v1/tus")
    for_link = await idle_service.anyone.options(f"{link['path']}/tus")

    assert for_user.status_code == for_link.status_code == 204
    assert for_user.headers["tus-version"] == "1.0.0"
    assert for_user.headers["tus-extension"] == "creation,creation-with-upload,expiration,termination,checksum"
    assert for_user.headers["tus-checksum-algorithm"] == "sha1,sha256"
    assert for_user.headers["tus-max-size"] == str(idle_service.settings.max_file_bytes)
    assert for_link.headers["tus-max-size"] == "5000"


async def test_another_version_is_412_with_the_supported_version(idle_service: Service) -> None:
    headers: list[dict[str, str]] = [{}, {"Tus-Resumable": "0.2.2"}, {"Tus-Resumable": "1.0"}]

    answers = [
        await Tus(client=idle_service.owner, path="/v1/tus", sent_headers=version).create(100) for version in headers
    ]

    assert [verdict(answer) for answer in answers] == [(412, "tus-version")] * 3
    assert {answer.headers["tus-version"] for answer in answers} == {"1.0.0"}
    assert {answer.headers["tus-resumable"] for answer in answers} == {"1.0.0"}


async def test_every_answer_names_the_version_refusals_too(idle_service: Service) -> None:
    tus, nobody = of_user(idle_service), Tus(client=idle_service.anyone, path="/v1/tus")
    upload = await tus.new(100)

    answers = [
        await nobody.create(100),
        await tus.head(upload),
        await tus.patch(upload, 5, b"x"),
        await tus.head("/v1/tus/nonsense"),
        await tus.delete(upload),
        await Tus(client=idle_service.anyone, path="/u/nonsense/tus").create(100),
    ]

    assert [answer.status_code for answer in answers] == [401, 200, 409, 404, 204, 401]
    assert {answer.headers["tus-resumable"] for answer in answers} == {"1.0.0"}


REFUSED_CREATIONS: list[tuple[dict[str, str], tuple[int, str]]] = [
    ({}, (400, "tus-header")),
    ({"Upload-Length": "abc"}, (400, "tus-header")),
    ({"Upload-Length": "-1"}, (400, "tus-header")),
    ({"Upload-Length": "9" * 30}, (400, "tus-header")),
    ({"Upload-Defer-Length": "1"}, (400, "tus-header")),
    ({"Upload-Length": "0"}, (422, "empty-file")),
    ({"Upload-Length": str(10**12)}, (413, "file-too-large")),
    ({"Upload-Length": "10", "Upload-Metadata": "filename %%%"}, (400, "tus-header")),
    ({"Upload-Length": "10", "Upload-Metadata": "a YQ==,a YQ=="}, (400, "tus-header")),
    ({"Upload-Length": "10", "Upload-Metadata": metadata(captured_at="yesterday")}, (422, "invalid-context")),
    ({"Upload-Length": "10", "Upload-Metadata": metadata(store_id="x" * 201)}, (422, "invalid-context")),
    ({"Upload-Length": "10", "Upload-Metadata": metadata(sha256="123")}, (422, "invalid-context")),
]


async def test_an_upload_that_cannot_be_is_not_created(idle_service: Service) -> None:
    version = {"Tus-Resumable": "1.0.0"}

    answers = [await idle_service.owner.post("/v1/tus", headers=version | headers) for headers, _ in REFUSED_CREATIONS]

    assert [verdict(answer) for answer in answers] == [expected for _, expected in REFUSED_CREATIONS]


async def test_metadata_may_have_keys_without_values_and_unknown_keys(idle_service: Service) -> None:
    tus, data = of_user(idle_service), jpeg(seed=7)
    sent = f"is_private,filetype aW1hZ2UvanBlZw==,store_id ,{metadata(name='ähm.jpg')}"

    answer = await tus.create(len(data), data, Upload_Metadata=sent)

    arrived = (await idle_service.owner.get(f"/v1/uploads/{answer.headers['imagesvc-upload-id']}")).json()
    assert (arrived["filename"], arrived["store_id"]) == ("ähm.jpg", None)
    assert (await tus.head(answer.headers["location"])).headers["upload-metadata"] == sent


async def test_a_patch_of_another_content_type_is_415(idle_service: Service) -> None:
    tus = of_user(idle_service)
    upload = await tus.new(100)

    answer = await tus.patch(upload, 0, b"x" * 100, {"Content-Type": "image/jpeg"})

    assert verdict(answer) == (415, "not-offset-octet-stream")
    assert await tus.offset(upload) == 0


async def test_a_wrong_offset_is_409_with_the_current_offset(idle_service: Service) -> None:
    tus, data = of_user(idle_service), jpeg(seed=8)
    upload = await tus.new(len(data), data[:500])

    behind = await tus.patch(upload, 0, data)
    ahead = await tus.patch(upload, 501, data[501:])
    none = await idle_service.owner.patch(
        upload, content=b"", headers={**tus.sent_headers, "Content-Type": OFFSET_STREAM}
    )

    assert verdict(behind) == verdict(ahead) == (409, "wrong-offset")
    assert behind.headers["upload-offset"] == "500"
    assert verdict(none) == (400, "tus-header")
    assert await tus.offset(upload) == 500


async def test_more_bytes_than_declared_are_413_and_do_not_count(idle_service: Service) -> None:
    tus, data = of_user(idle_service), jpeg(seed=9)
    upload = await tus.new(len(data), data[:500])

    async def chunked() -> object:
        yield data[500:]
        yield b"x"

    declared = await tus.patch(upload, 500, data[500:] + b"x")
    undeclared = await tus.patch(upload, 500, chunked())

    assert verdict(declared) == verdict(undeclared) == (413, "too-many-bytes")
    assert await tus.offset(upload) == 500
    assert (await tus.patch(upload, 500, data[500:])).headers["imagesvc-status"] == "created"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
async def test_bytes_count_only_once_their_checksum_is_right(idle_service: Service, algorithm: str) -> None:
    tus, data = of_user(idle_service), jpeg(seed=10)
    upload = await tus.new(len(data), data[:500])

    wrong = await tus.patch(upload, 500, data[500:], checksum(data[501:], algorithm))
    after_wrong = await tus.offset(upload)
    right = await tus.patch(upload, 500, data[500:], checksum(data[500:], algorithm))

    assert verdict(wrong) == (460, "checksum-mismatch")
    assert after_wrong == 500
    assert right.headers["imagesvc-status"] == "created"


async def test_a_wrong_checksum_over_many_parts_leaves_nothing_that_counts(service: Service) -> None:
    tus, data = of_user(service), jpeg(seed=11) + bytes(19 * MIB)
    upload = await tus.new(len(data), data[: 4 * MIB])

    wrong = await tus.patch(upload, 4 * MIB, data[4 * MIB :], checksum(b""))
    after_wrong = await tus.offset(upload)
    right = await tus.patch(upload, 4 * MIB, data[4 * MIB :], checksum(data[4 * MIB :]))

    assert (wrong.status_code, after_wrong) == (460, 4 * MIB)
    assert right.headers["imagesvc-status"] == "created"
    image = await service.image_of({"upload_id": right.headers["imagesvc-upload-id"]})
    assert image["sha256"] == sha256(data).hexdigest()


async def test_a_checksum_that_cannot_be_checked_is_400(idle_service: Service) -> None:
    tus = of_user(idle_service)
    upload = await tus.new(10)
    headers = ["md5 1B2M2Y8AsgTpgAmY7PhCfg==", "sha1 !!!", "sha1", "sha256 aGVsbG8="]

    answers = [await tus.patch(upload, 0, b"x" * 10, {"Upload-Checksum": value}) for value in headers]

    assert [verdict(answer) for answer in answers] == [(400, "tus-header")] * 4
    assert await tus.offset(upload) == 0


async def test_a_creation_with_a_wrong_checksum_has_a_location(idle_service: Service) -> None:
    tus, data = of_user(idle_service), jpeg(seed=12)

    wrong = await tus.create(len(data), data, **checksum(b"other"))

    assert wrong.status_code == 460
    assert await tus.offset(wrong.headers["location"]) == 0


async def test_the_digest_in_the_metadata_is_that_of_the_whole_file(idle_service: Service) -> None:
    tus, data = of_user(idle_service), jpeg(seed=13)
    named = metadata(sha256=sha256(b"another").hexdigest())

    whole = await tus.create(len(data), data, Upload_Metadata=named)
    upload = await tus.new(len(data), data[:100], Upload_Metadata=named)
    refused = await tus.patch(upload, 100, data[100:])
    later = await tus.head(upload)
    taken = await tus.create(len(data), data, Upload_Metadata=metadata(sha256=sha256(data).hexdigest()))

    assert verdict(whole) == verdict(refused) == (422, "digest-mismatch")
    assert "location" not in whole.headers
    assert (later.status_code, later.headers["imagesvc-problem"]) == (410, "digest-mismatch")
    assert taken.headers["imagesvc-status"] == "created"


async def test_methods_can_be_overridden_by_those_who_cannot_send_them(idle_service: Service) -> None:
    tus, data = of_user(idle_service), jpeg(seed=14)
    upload = await tus.new(len(data))
    headers = tus.sent_headers | {
        "X-HTTP-Method-Override": "PATCH",
        "Upload-Offset": "0",
        "Content-Type": OFFSET_STREAM,
    }

    patched = await idle_service.owner.post(upload, content=data[:100], headers=headers)
    deleted = await idle_service.owner.post(upload, headers=tus.sent_headers | {"X-HTTP-Method-Override": "DELETE"})
    plain = await idle_service.owner.post(upload, headers=tus.sent_headers)

    assert (patched.status_code, patched.headers["upload-offset"]) == (204, "100")
    assert deleted.status_code == 204
    assert verdict(plain) == (400, "tus-header")


async def test_an_upload_is_only_there_for_who_created_it(idle_service: Service) -> None:
    tus, (first, _), (second, _) = of_user(idle_service), await of_link(idle_service), await of_link(idle_service)
    of_owner, of_first = await tus.new(100), await first.new(100)
    of_first_id = of_first.rpartition("/")[2]

    strangers = [
        await second.head(f"{second.path}/{of_first_id}"),
        await second.patch(f"{second.path}/{of_first_id}", 0, b"x"),
        await second.delete(f"{second.path}/{of_first_id}"),
        await tus.head(f"{tus.path}/{of_first_id}"),
        await first.head(f"{first.path}/{of_owner.rpartition('/')[2]}"),
        await tus.head(f"{tus.path}/0198c5a0-0000-7000-8000-000000000000"),
    ]

    assert {answer.status_code for answer in strangers} == {404}
    assert await first.offset(of_first) == 0


async def test_a_credential_without_the_scope_is_refused(idle_service: Service) -> None:
    stranger = Tus(client=idle_service.anyone, path="/v1/tus")

    assert (await stranger.create(100)).status_code == 401
    assert (await stranger.head("/v1/tus/0198c5a0-0000-7000-8000-000000000000")).status_code == 401


async def test_raw_uploads_named_tus_are_still_raw_uploads(idle_service: Service) -> None:
    link = await idle_service.new_link()

    answer = await idle_service.anyone.put(f"{link['path']}/tus", content=jpeg(seed=15))

    assert answer.json()["results"][0]["filename"] == "tus"


@pytest.mark.parametrize(
    "header", ["Upload-Concat", "Upload-Complete", "Upload-Draft-Interop-Version", "Upload-Incomplete", "Upload-Limit"]
)
async def test_an_extension_that_is_not_offered_is_refused_at_creation(idle_service: Service, header: str) -> None:
    link = await idle_service.new_link(max_files=1)

    refused = await idle_service.anyone.post(
        f"{link['path']}/tus", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "10", header: "partial"}
    )

    assert refused.status_code == 400
    assert refused.json()["detail"].startswith(f"{header} belongs to an extension that is not supported")
    assert (await idle_service.anyone.get(link["path"])).json()["remaining"]["files"] == 1


async def test_a_slash_after_the_path_of_all_uploads_is_accepted(idle_service: Service) -> None:
    link, data = await idle_service.new_link(), jpeg(seed=9)
    for client, path in ((idle_service.owner, "/v1/tus"), (idle_service.anyone, f"{link['path']}/tus")):
        head = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(data))}

        capabilities = await client.options(f"{path}/")
        created = await client.post(f"{path}/", headers=head)
        sent = await client.patch(
            created.headers["location"],
            content=data,
            headers={"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"},
        )

        assert (capabilities.status_code, created.status_code, sent.status_code) == (204, 201, 204)
        assert created.headers["location"].startswith(f"{path}/")
