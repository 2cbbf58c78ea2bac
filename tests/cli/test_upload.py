"""`imagesvc upload` as a process: what it tells and what its exit codes say."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.cli.command import Command, ended
from tests.client.pictures import content, fill
from tests.client.proxy import line_to
from tests.support.people import People
from tests.support.service import Service

ODD = b'a\x1b[31m"b\\c\xff\n .jpg'


async def test_every_file_is_told_in_a_json_line_and_odd_ones_harm_no_other(
    idle_service: Service, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "pictures", 3)
    (folder / "sub").mkdir()
    (folder / "sub" / "again.jpg").write_bytes((folder / "p000.jpg").read_bytes())
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "note.jpg").write_text("no picture")
    (folder / "empty.jpg").touch()
    (folder / "gone.jpg").symlink_to("nowhere")
    Path(os.fsdecode(os.fsencode(folder) + b"/" + ODD)).write_bytes(content())
    link = await idle_service.new_link()
    secret = link["token"]

    told = await Command(tmp_path, link=f"{idle_service.url}{link['path']}").run(
        "upload", "--dir", folder, folder / "p001.jpg", "--json", "--concurrency", "3"
    )

    rows = {Path(row["path"]).name: row for row in told.rows}
    assert told.code == 1, told.err
    assert len(told.rows) == 8
    assert Counter(row["status"] for row in told.rows) == {
        "created": 4,
        "duplicate": 1,
        "rejected": 2,
        "unreadable": 1,
    }
    assert rows["note.jpg"]["problem"]["status"] == 415
    assert rows["gone.jpg"]["problem"]["detail"] == "No such file or directory"
    assert secret not in told.out + told.err
    upload = await idle_service.owner.get(f"/v1/uploads/{rows[os.fsdecode(ODD)]['upload_id']}")
    assert upload.json()["filename"] == "c\ufffd .jpg", "as the service stores names: without what is before a slash"


async def test_people_log_in_and_say_what_the_pictures_are(idle_service: Service, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 2)
    async with People(idle_service) as people:
        ann = await people.new("ann")
        command = Command(tmp_path, server=idle_service.url)
        about = ("--public", "--description", "a red cat", "--store-id", "S1", "--camera-id", "C2", "--barcode", "400")

        dry = await command.run("upload", folder, "--user", "ann", "--dry-run", typed=f"{ann.password}\n")
        sent = await command.run("upload", folder, "--user", "ann", *about, typed=f"{ann.password}\n")
        shown = await command.run("images", "--q", "CAT", "--mine", "--user", "ann", "--json", typed=ann.password)
        wrong = await command.run("upload", folder, "--user", "ann", typed="not the password\n")

    assert (dry.code, dry.out) == (0, "2 to send (4.0 kB), 0 there already\n")
    assert (sent.code, sent.err) == (0, "")
    assert sent.out.startswith("2 new, 0 there already, 4.0 kB sent in ")
    uploads = [row["uploads"][0] for row in shown.rows]
    assert [(row["visibility"], row["description"]) for row in shown.rows] == [("public", "a red cat")] * 2
    assert {(one["store_id"], one["camera_id"], one["barcode"]) for one in uploads} == {("S1", "C2", "400")}
    assert wrong.code == 1
    assert "Account or password is wrong" in wrong.err


async def test_an_interrupted_run_and_a_killed_one_are_gone_on_with(idle_service: Service, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 12)
    link = await idle_service.new_link()
    async with line_to(idle_service.url) as line:
        command = Command(tmp_path / "state", link=f"{line.url}/u/{link['token']}")
        line.hold = lambda uploads: uploads >= 5
        interrupted = await command.start("upload", folder, "--concurrency", "2")
        await line.held.wait()
        interrupted.send_signal(signal.SIGINT)
        told = await ended(interrupted)

        line.held.clear()
        line.hold = lambda uploads: uploads >= 12
        killed = await command.start("upload", folder, "--concurrency", "2")
        await line.held.wait()
        killed.kill()
        await ended(killed)

        line.hold = lambda _uploads: False
        before = len(line.uploads)
        last = await command.run("upload", folder, "--concurrency", "2", "--json")

    totals = (await idle_service.owner.get("/v1/stats")).json()["totals"]
    assert told.code == 128 + signal.SIGINT
    assert "the same command goes on from here" in told.err
    assert "Traceback" not in told.err
    assert (last.code, len(last.rows)) == (0, 12), last.err
    assert {row["status"] for row in last.rows} <= {"created", "duplicate"}
    assert totals["images"] == 12
    assert len(line.uploads) - before <= 12 - 8
    assert list((tmp_path / "state" / "imagesvc" / "uploads").iterdir()) == []


async def test_a_server_that_cannot_be_reached_is_exit_code_3_and_a_wrong_call_2(tmp_path: Path) -> None:
    picture = fill(tmp_path / "pictures", 1) / "p000.jpg"
    command = Command(tmp_path)

    away = await command.run("upload", picture, "--link", "http://127.0.0.1:9/u/a-secret", "--patience", "0.2")
    nothing = await command.run("upload", "--link", "http://127.0.0.1:9/u/a-secret")
    nobody = await command.run("upload", picture)

    assert away.code == 3
    assert away.err.splitlines()[-1].startswith("imagesvc: http://127.0.0.1:9: cannot be reached")
    assert "a-secret" not in away.err
    assert (nothing.code, nobody.code) == (2, 2)
    assert "IMAGESVC_TOKEN" in nobody.err


async def test_links_are_made_listed_and_withdrawn(idle_service: Service, tmp_path: Path) -> None:
    token = idle_service.settings.admin_token
    assert token is not None
    command = Command(tmp_path, server=idle_service.url, token=token.get_secret_value())

    made = await command.run("links", "create", "--expires-in", "2h", "--label", "[bold]Till 4", "--max-bytes", "20M")
    (link,) = (await idle_service.owner.get("/v1/links")).json()["items"]
    listed = await command.run("links", "list")
    revoked = await command.run("links", "revoke", link["id"])

    assert made.out == f"{link['url']}\n", "the link and nothing else, where no terminal is"
    assert (link["label"], link["max_bytes"]) == ("[bold]Till 4", 20_000_000)
    assert f"{link['id']}  open" in listed.out
    assert "[bold]Till 4" in listed.out
    assert link["token"] not in listed.out
    assert revoked.code == 0
    assert (await idle_service.owner.get(f"/v1/links/{link['id']}")).json()["state"] == "revoked"


@pytest.mark.parametrize("command", ["upload", "images", "links create"])
def test_client_commands_explain_themselves_without_loading_the_service(command: str) -> None:
    heavy = "{'sqlalchemy', 'fastapi', 'starlette', 'aioboto3', 'PIL', 'numpy', 'arq', 'imagesvc.settings', 'httpx'}"
    program = (
        "import sys\n"
        "from imagesvc.cli import app\n"
        f"sys.argv = ['imagesvc', *{command.split()!r}, '--help']\n"
        "try:\n    app()\n"
        f"finally:\n    print('LOADED', sorted({heavy} & set(sys.modules)))\n"
    )

    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert "Examples" in told.stdout
    assert f"imagesvc {command}" in told.stdout.partition("Examples")[2]
    assert "LOADED []" in told.stdout
