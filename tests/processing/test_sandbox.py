"""A hostile file harms only itself: real crashes, loops and escapes, and the next image is processed at once."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from imagesvc.processing.limits import MIB, Limits
from imagesvc.processing.sandbox import Sandbox
from imagesvc.processing.work import Failed, Outcome, Processed, Rejected, Resize, Work
from tests.processing import hostile
from tests.support import images

HOOKS = Path(hostile.__file__)
THUMB = Work(score=False, renditions=(("thumb", "webp"),))
LIMITS = Limits(sandbox_seconds=30, sandbox_memory_bytes=512 * MIB, max_output_bytes=8 * MIB)
HASTY = Limits(sandbox_seconds=2, sandbox_memory_bytes=512 * MIB)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """One for the whole module: each test finds it working, whatever the one before did to it."""
    async with Sandbox(LIMITS, parent=tmp_path_factory.mktemp("scratch"), hooks=HOOKS) as started:
        yield started
        assert await works(started)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """One that gives an image two seconds."""
    async with Sandbox(HASTY, parent=tmp_path_factory.mktemp("hasty"), hooks=HOOKS) as started:
        yield started


async def outcome_of(sandbox: Sandbox, data: bytes, request: Work | Resize = THUMB) -> Outcome:
    async with sandbox.scratch() as folder:
        (folder / "original").write_bytes(data)
        return await sandbox.run(request, folder)


async def attack(sandbox: Sandbox, routine: Callable[[str], None], argument: str = "") -> Failed:
    outcome = await outcome_of(sandbox, f"do {routine.__name__} {argument}\n".encode())
    assert isinstance(outcome, Failed), outcome
    return outcome


async def works(sandbox: Sandbox) -> bool:
    return isinstance(await outcome_of(sandbox, images.jpeg(size=(64, 48))), Processed)


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        await asyncio.sleep(0.02)


def descendants(pid: int) -> set[int]:
    """Processes below this one that are alive."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                _, _, rest = (entry / "stat").read_text().rpartition(")")
            except OSError:
                continue
            state, parent, *_ = rest.split()
            if state != "Z":
                parents[int(entry.name)] = int(parent)
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def zygote_of(sandbox: Sandbox) -> int:
    """-1 while there is none; no process has that number."""
    return sandbox.zygote_pid or -1


# --- honest work


async def test_facts_and_files_come_back(sandbox: Sandbox) -> None:
    async with sandbox.scratch() as folder:
        (folder / "original").write_bytes(images.exif_jpeg(size=(1600, 1200), latitude=48.85837, longitude=2.29448))
        outcome = await sandbox.run(Work(renditions=(("medium", "jpg"), ("thumb", "avif"))), folder)
        assert isinstance(outcome, Processed)
        assert outcome.facts is not None
        assert outcome.facts.camera == "Acme Cam 9"
        assert outcome.facts.latitude == pytest.approx(48.85837)
        assert outcome.facts.score is not None
        assert outcome.cpu_seconds > 0
        sizes = [(r.preset, r.format, r.width, r.height, r.bytes == r.path.stat().st_size) for r in outcome.renditions]
        assert sizes == [("medium", "jpg", 1024, 768, True), ("thumb", "avif", 320, 240, True)]


@pytest.mark.parametrize(
    "maker", [images.jpeg, images.png, images.webp, images.gif, images.tiff, images.bmp, images.heic, images.avif]
)
async def test_every_format_is_decoded_inside(sandbox: Sandbox, maker: Callable[..., bytes]) -> None:
    assert isinstance(await outcome_of(sandbox, maker(size=(400, 300)), Work()), Processed)


async def test_a_resize_is_one_file(sandbox: Sandbox) -> None:
    outcome = await outcome_of(sandbox, images.png(), Resize(width=50, height=50, fit="cover", format="png"))
    assert isinstance(outcome, Processed)
    assert [(r.preset, r.format, r.width, r.height) for r in outcome.renditions] == [("resize", "png", 50, 50)]


@pytest.mark.parametrize(
    ("data", "slug"),
    [
        (images.bomb_png(), "too-many-pixels"),
        (images.gif_of_frames(10_000), "too-many-frames"),
        (images.text_bomb_png(), "too-large-metadata"),
        (images.truncated_jpeg(), "broken-image"),
        (b"<svg/>", "unsupported-content"),
        (b"", "unsupported-content"),
    ],
)
async def test_the_files_own_fault_is_told_by_slug(sandbox: Sandbox, data: bytes, slug: str) -> None:
    outcome = await outcome_of(sandbox, data)
    assert isinstance(outcome, Rejected)
    assert outcome.slug == slug


async def test_many_images_are_worked_on_at_once(sandbox: Sandbox) -> None:
    files = [images.jpeg(seed=seed, size=(320 + seed, 240)) for seed in range(24)]
    outcomes = await asyncio.gather(*(outcome_of(sandbox, data) for data in files))
    widths = [o.facts.width for o in outcomes if isinstance(o, Processed) and o.facts is not None]
    assert widths == [320 + seed for seed in range(24)]


# --- crashes, loops, greed


@pytest.mark.parametrize(
    ("routine", "reason"),
    [
        (hostile.segfault, "decoder-crashed"),
        (hostile.abort, "decoder-crashed"),
        (hostile.leave_badly, "decoder-crashed"),
        (hostile.allocate, "decoder-memory"),
        (hostile.write_endlessly, "output-too-large"),
        (hostile.leave, "bad-reply"),
        (hostile.reply_garbage, "bad-reply"),
        (hostile.reply_at_length, "bad-reply"),
        (hostile.reply_nan, "bad-reply"),
        (hostile.reply_nul, "bad-reply"),
        (hostile.reply_without_files, "bad-reply"),
        (hostile.reply_with_a_web_page, "bad-reply"),
    ],
)
async def test_whatever_a_decoder_does_fails_that_image_only(
    sandbox: Sandbox, routine: Callable[[str], None], reason: str
) -> None:
    assert (await attack(sandbox, routine)).reason == reason
    assert await works(sandbox)


@pytest.mark.parametrize("routine", [hostile.loop, hostile.sleep, hostile.stop])
async def test_a_decoder_that_does_not_end_is_ended(hasty: Sandbox, routine: Callable[[str], None]) -> None:
    assert (await attack(hasty, routine)).reason == "decoder-timeout"
    assert await works(hasty)


async def test_neighbours_of_a_crash_are_not_harmed(sandbox: Sandbox) -> None:
    attacks = asyncio.gather(*(attack(sandbox, routine) for routine in (hostile.segfault, hostile.allocate)))
    honest = asyncio.gather(*(works(sandbox) for _ in range(6)))
    assert [failure.reason for failure in await attacks] == ["decoder-crashed", "decoder-memory"]
    assert all(await honest)


# --- escapes


async def test_no_process_can_be_started(sandbox: Sandbox) -> None:
    assert "Error" in (await attack(sandbox, hostile.fork)).detail
    assert "Error" in (await attack(sandbox, hostile.execute)).detail
    await until(lambda: descendants(zygote_of(sandbox)) == set())


async def test_no_file_can_be_written_or_read_elsewhere(sandbox: Sandbox, tmp_path: Path) -> None:
    target, secret = tmp_path / "escaped", tmp_path / "secret"
    tmp_path.chmod(0o777)
    secret.write_text("a secret of the worker")
    for place in (str(target), f"/tmp/{os.urandom(8).hex()}"):
        assert "PermissionError" in (await attack(sandbox, hostile.write_elsewhere, place)).detail
        assert not Path(place).exists()
    assert "a secret" not in (await attack(sandbox, hostile.read_elsewhere, str(secret))).detail


async def test_no_connection_can_be_made(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.setblocking(False)
        assert "Error" in (await attack(sandbox, hostile.connect, str(canary.getsockname()[1]))).detail
        with pytest.raises(BlockingIOError):
            canary.accept()


async def test_the_zygote_cannot_be_killed_from_inside(sandbox: Sandbox) -> None:
    before = zygote_of(sandbox)
    assert (await attack(sandbox, hostile.kill_zygote)).reason == "processing-error"
    assert zygote_of(sandbox) == before


async def test_neither_environment_nor_descriptors_are_inherited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGESVC_ADMIN_TOKEN", "a-secret-of-the-worker")
    inheritable = os.open("/dev/zero", os.O_RDONLY)
    os.set_inheritable(inheritable, True)
    async with Sandbox(LIMITS, parent=tmp_path, hooks=HOOKS) as sandbox:
        told = (await attack(sandbox, hostile.tell_environment)).detail
        assert "environment: ['LC_CTYPE', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS']" in told
        # silence, the original, the reply, the one file that may come out, and the original once more as it is mapped
        told = (await attack(sandbox, hostile.tell_descriptors)).detail
        assert "descriptors: [0, 1, 2, 3, 4, 5, 6]" in told
    os.close(inheritable)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")
async def test_as_root_a_child_is_another_user_in_no_group(sandbox: Sandbox) -> None:
    told = (await attack(sandbox, hostile.tell_user)).detail
    assert sandbox.confinement["other_user"]
    assert "user: (0" not in told
    assert told.strip().endswith("[]")


async def test_what_holds_is_reported(sandbox: Sandbox) -> None:
    assert set(sandbox.confinement) == {"other_user", "no_network", "file_system", "system_calls"}


async def test_a_link_in_the_folder_is_not_followed(sandbox: Sandbox, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("untouched")
    async with sandbox.scratch() as folder:
        (folder / "original").write_bytes(images.jpeg())
        (folder / "thumb.webp").symlink_to(canary)
        (folder / "reply.json").symlink_to(canary)
        outcome = await sandbox.run(THUMB, folder)
        assert isinstance(outcome, Processed)
        assert not outcome.renditions[0].path.is_symlink()
        (folder / "original").unlink()
        (folder / "original").symlink_to(canary)
        with pytest.raises(OSError, match="symbolic"):
            await sandbox.run(THUMB, folder)
    assert canary.read_text() == "untouched"


# --- the life of zygote, children and folders


async def test_a_dead_zygote_is_started_again_and_its_image_worked_on_again(sandbox: Sandbox) -> None:
    first = zygote_of(sandbox)
    running = asyncio.create_task(attack(sandbox, hostile.sleep))
    await until(lambda: len(descendants(first)) == 1)
    os.kill(first, signal.SIGKILL)
    await until(lambda: zygote_of(sandbox) != first and len(descendants(zygote_of(sandbox))) == 1)
    os.kill(zygote_of(sandbox), signal.SIGKILL)
    assert (await running).reason == "sandbox-lost"
    assert await works(sandbox)
    assert first not in descendants(os.getpid())


async def test_giving_up_on_an_image_ends_its_process(sandbox: Sandbox) -> None:
    running = asyncio.create_task(attack(sandbox, hostile.sleep))
    await until(lambda: len(descendants(zygote_of(sandbox))) == 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: descendants(zygote_of(sandbox)) == set())
    assert await works(sandbox)


async def test_closing_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    async with Sandbox(LIMITS, parent=tmp_path, hooks=HOOKS) as sandbox:
        assert await works(sandbox)
        zygote = zygote_of(sandbox)
    assert zygote not in descendants(os.getpid())
    assert list(tmp_path.iterdir()) == []


async def test_a_scratch_folder_is_private_and_goes_whatever_happens(sandbox: Sandbox) -> None:
    kept: list[Path] = []

    async def fail() -> None:
        async with sandbox.scratch() as folder:
            kept.append(folder)
            assert folder.stat().st_mode & 0o777 == 0o700
            (folder / "original").write_bytes(b"x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert not kept[0].exists()


WORKER = """
import asyncio, sys
from pathlib import Path
from imagesvc.processing.limits import Limits
from imagesvc.processing.sandbox import Sandbox
from imagesvc.processing.work import Work

async def main():
    async with Sandbox(Limits(), parent=Path(sys.argv[1]), hooks=Path(sys.argv[2])) as sandbox:
        async with sandbox.scratch() as folder:
            (folder / "original").write_bytes(b"do sleep \\n")
            await sandbox.run(Work(), folder)

asyncio.run(main())
"""


async def test_nothing_survives_a_killed_worker(tmp_path: Path) -> None:
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, str(tmp_path), str(HOOKS))
    await until(lambda: len(descendants(worker.pid)) == 2)
    below = descendants(worker.pid)
    worker.kill()
    await worker.wait()
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))
    assert len(list(tmp_path.iterdir())) == 1
    async with Sandbox(LIMITS, parent=tmp_path) as sandbox:
        assert len(list(tmp_path.iterdir())) == 1  # its own
        assert await works(sandbox)
    assert list(tmp_path.iterdir()) == []


async def test_the_folder_of_a_living_worker_is_left_alone(tmp_path: Path) -> None:
    async with Sandbox(LIMITS, parent=tmp_path) as one, one.scratch() as folder:
        (folder / "original").write_bytes(images.jpeg())
        async with Sandbox(LIMITS, parent=tmp_path) as other:
            assert await works(other)
        assert isinstance(await one.run(THUMB, folder), Processed)
