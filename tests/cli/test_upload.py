"""`imagesvc upload` and the other client commands as processes: their output and exit codes."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.cli.command import Command, finish
from tests.client.pictures import content, fill
from tests.client.proxy import faulty_proxy
from tests.support.people import People
from tests.support.service import Service

UNUSUAL_NAME = b'a\x1b[31m"b\\c\xff\n .jpg'


async def test_json_has_a_line_per_file_and_bad_files_do_not_stop_the_others(
    idle_service: Service, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "pictures", 3)
    (folder / "sub").mkdir()
    (folder / "sub" / "again.jpg").write_bytes((folder / "p000.jpg").read_bytes())
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "note.jpg").write_text("no picture")
    (folder / "empty.jpg").touch()
    (folder / "gone.jpg").symlink_to("nowhere")
    Path(os.fsdecode(os.fsencode(folder) + b"/" + UNUSUAL_NAME)).write_bytes(content())
    link = await idle_service.new_link()
    secret = link["token"]

    finished = await Command(tmp_path, link=f"{idle_service.url}{link['path']}").run(
        "upload", "--dir", folder, folder / "p001.jpg", "--json", "--concurrency", "3"
    )

    rows = {Path(row["path"]).name: row for row in finished.rows}
    assert finished.code == 1, finished.err
    assert len(finished.rows) == 8
    assert Counter(row["status"] for row in finished.rows) == {
        "created": 4,
        "duplicate": 1,
        "rejected": 2,
        "unreadable": 1,
    }
    assert rows["note.jpg"]["problem"]["status"] == 415
    assert rows["gone.jpg"]["problem"]["detail"] == "No such file or directory"
    assert secret not in finished.out + finished.err
    upload = await idle_service.owner.get(f"/v1/uploads/{rows[os.fsdecode(UNUSUAL_NAME)]['upload_id']}")
    assert upload.json()["filename"] == "c\ufffd .jpg", "the service stores the last component of a name"


async def test_files_in_a_folder_that_are_no_images_are_skipped_with_one_line(
    idle_service: Service, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "pictures", 2)
    for name in ("notes.txt", "a.mov", "b.MOV", "shelf.xmp"):
        (folder / name).write_text(f"no image: {name}")
    link = await idle_service.new_link()
    command = Command(tmp_path, link=f"{idle_service.url}{link['path']}")

    first = await command.run("upload", "--dir", folder, "--exclude", "p000*")
    second = await command.run("upload", "--dir", folder, "--json")
    named = await command.run("upload", "--dir", folder, folder / "a.mov")
    (folder / "broken.jpg").write_text("no image, but its name says so")
    broken = await command.run("upload", "--dir", folder)

    assert (first.code, first.err) == (0, "skipped 3 files that are not images: 2 .mov, 1 .txt\n")
    assert first.out.startswith("1 new, 0 already present, 3 skipped, ")
    assert (second.code, second.err) == (0, "")
    assert Counter(row["status"] for row in second.rows) == {"created": 1, "duplicate": 1, "skipped": 3}
    assert {row["problem"]["status"] for row in second.rows if row["status"] == "skipped"} == {415}
    assert named.code == 1
    assert "a.mov: " in named.err
    assert broken.code == 1
    assert "broken.jpg: " in broken.err


async def test_users_log_in_and_give_details_of_the_files(idle_service: Service, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 2)
    async with People(idle_service) as people:
        ann = await people.new("ann")
        command = Command(tmp_path, server=idle_service.url)
        details = (
            "--public",
            "--description",
            "a red cat",
            "--store-id",
            "S1",
            "--camera-id",
            "C2",
            "--barcode",
            "400",
        )

        dry = await command.run("upload", folder, "--user", "ann", "--dry-run", typed=f"{ann.password}\n")
        sent = await command.run("upload", folder, "--user", "ann", *details, typed=f"{ann.password}\n")
        shown = await command.run("images", "--q", "CAT", "--mine", "--user", "ann", "--json", typed=ann.password)
        wrong = await command.run("upload", folder, "--user", "ann", typed="not the password\n")

    assert (dry.code, dry.out) == (0, "2 to send (4.0 kB), 0 already present\n")
    assert (sent.code, sent.err) == (0, "")
    assert sent.out.startswith("2 new, 0 already present, 4.0 kB sent in ")
    uploads = [row["uploads"][0] for row in shown.rows]
    assert [(row["visibility"], row["description"]) for row in shown.rows] == [("public", "a red cat")] * 2
    assert {(one["store_id"], one["camera_id"], one["barcode"]) for one in uploads} == {("S1", "C2", "400")}
    assert wrong.code == 1
    assert "Account or password is wrong" in wrong.err


async def test_the_same_command_resumes_an_interrupted_and_a_killed_run(idle_service: Service, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 12)
    link = await idle_service.new_link()
    async with faulty_proxy(idle_service.url) as proxy:
        command = Command(tmp_path / "state", link=f"{proxy.url}/u/{link['token']}")
        proxy.hold = lambda uploads: uploads >= 5
        interrupted = await command.start("upload", folder, "--concurrency", "2")
        await proxy.held.wait()
        interrupted.send_signal(signal.SIGINT)
        interruption = await finish(interrupted)

        proxy.held.clear()
        proxy.hold = lambda uploads: uploads >= 12
        killed = await command.start("upload", folder, "--concurrency", "2")
        await proxy.held.wait()
        killed.kill()
        await finish(killed)

        proxy.hold = lambda _uploads: False
        before = len(proxy.uploads)
        last = await command.run("upload", folder, "--concurrency", "2", "--json")

    totals = (await idle_service.owner.get("/v1/stats")).json()["totals"]
    assert interruption.code == 128 + signal.SIGINT
    assert "run the same command again to resume" in interruption.err
    assert "Traceback" not in interruption.err
    assert (last.code, len(last.rows)) == (0, 12), last.err
    assert {row["status"] for row in last.rows} <= {"created", "duplicate"}
    assert totals["images"] == 12
    assert len(proxy.uploads) - before <= 12 - 8
    assert list((tmp_path / "state" / "imagesvc" / "uploads").iterdir()) == []


async def test_an_unreachable_server_is_exit_code_3_and_wrong_usage_2(tmp_path: Path) -> None:
    picture = fill(tmp_path / "pictures", 1) / "p000.jpg"
    command = Command(tmp_path)

    unreachable = await command.run("upload", picture, "--link", "http://127.0.0.1:9/u/a-secret", "--patience", "0.2")
    no_files = await command.run("upload", "--link", "http://127.0.0.1:9/u/a-secret")
    no_credential = await command.run("upload", picture)

    assert unreachable.code == 3
    assert unreachable.err.splitlines()[-1].startswith("imagesvc: http://127.0.0.1:9: cannot be reached")
    assert "a-secret" not in unreachable.err
    assert (no_files.code, no_credential.code) == (2, 2)
    assert "IMAGESVC_TOKEN" in no_credential.err


async def test_links_are_created_listed_and_revoked(idle_service: Service, tmp_path: Path) -> None:
    token = idle_service.settings.admin_token
    assert token is not None
    command = Command(tmp_path, server=idle_service.url, token=token.get_secret_value())

    created = await command.run(
        "links", "create", "--expires-in", "2h", "--label", "[bold]Till 4", "--max-bytes", "20M"
    )
    (link,) = (await idle_service.owner.get("/v1/links")).json()["items"]
    listed = await command.run("links", "list")
    revoked = await command.run("links", "revoke", link["id"])

    assert created.out == f"{link['url']}\n", "without a terminal, the link and nothing else"
    assert (link["label"], link["max_bytes"]) == ("[bold]Till 4", 20_000_000)
    assert f"{link['id']}  open" in listed.out
    assert "[bold]Till 4" in listed.out
    assert link["token"] not in listed.out
    assert revoked.code == 0
    assert (await idle_service.owner.get(f"/v1/links/{link['id']}")).json()["state"] == "revoked"


@pytest.mark.parametrize("command", ["upload", "images", "links create"])
def test_help_of_client_commands_does_not_import_the_service(command: str) -> None:
    heavy = "{'sqlalchemy', 'fastapi', 'starlette', 'aioboto3', 'PIL', 'numpy', 'arq', 'imagesvc.settings', 'httpx'}"
    program = (
        "import sys\n"
        "from imagesvc.cli import app\n"
        f"sys.argv = ['imagesvc', *{command.split()!r}, '--help']\n"
        "try:\n    app()\n"
        f"finally:\n    print('LOADED', sorted({heavy} & set(sys.modules)))\n"
    )

    help_run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert "Examples" in help_run.stdout
    assert f"imagesvc {command}" in help_run.stdout.partition("Examples")[2]
    assert "LOADED []" in help_run.stdout
