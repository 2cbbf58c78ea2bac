"""A hostile file affects only its own processing: real crashes, loops and escapes."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from imagesvc.processing.contract import Processed, Rejected, Resize, Work
from imagesvc.processing.limits import MIB, Limits
from imagesvc.processing.sandbox.sandbox import Sandbox
from tests.processing import hostile
from tests.processing.sandboxes import HOOKS, LIMITS, THUMB, attack, descendants, outcome_of, until, works, zygote_of
from tests.support import images

HASTY = Limits(sandbox_seconds=2, sandbox_memory_bytes=512 * MIB)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """One that gives an image two seconds."""
    async with Sandbox(HASTY, parent=tmp_path_factory.mktemp("hasty"), hooks=HOOKS) as started:
        yield started


# --- honest work


async def test_facts_and_files_are_returned(sandbox: Sandbox) -> None:
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
async def test_a_rejection_has_a_slug_and_the_facts_of_the_header(sandbox: Sandbox, data: bytes, slug: str) -> None:
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
async def test_a_crash_of_a_decoder_fails_only_its_image(
    sandbox: Sandbox, routine: Callable[[str], None], reason: str
) -> None:
    assert (await attack(sandbox, routine)).reason == reason
    assert await works(sandbox)


@pytest.mark.parametrize("routine", [hostile.loop, hostile.sleep, hostile.stop])
async def test_a_decoder_that_does_not_end_is_ended(hasty: Sandbox, routine: Callable[[str], None]) -> None:
    zygote = zygote_of(hasty)
    assert (await attack(hasty, routine)).reason == "decoder-timeout"
    assert await works(hasty)
    assert zygote_of(hasty) == zygote


async def test_neighbours_of_a_crash_are_not_harmed(sandbox: Sandbox) -> None:
    attacks = asyncio.gather(*(attack(sandbox, routine) for routine in (hostile.segfault, hostile.allocate)))
    honest = asyncio.gather(*(works(sandbox) for _ in range(6)))
    assert [failure.reason for failure in await attacks] == ["decoder-crashed", "decoder-memory"]
    assert all(await honest)


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


async def test_a_scratch_folder_is_private_and_always_removed(sandbox: Sandbox) -> None:
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
from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.processing.contract import Work

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
