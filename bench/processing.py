"""CPU time of one photo's processing by stage.

The photo is generated: detail on all scales in the proportions of photographs, and some noise, as a JPEG of quality 90.
Times are CPU, the best of several runs, because the machine is rarely idle. The last rows show the cost of the sandbox.
"""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np
from PIL import Image

from bench.progress import log_progress
from bench.servers import Servers
from imagesvc.processing.color import to_srgb
from imagesvc.processing.contract import Processed, Work
from imagesvc.processing.decode import decode, open_image
from imagesvc.processing.headers import READERS, HeaderLimits
from imagesvc.processing.limits import Limits
from imagesvc.processing.metadata import read_metadata
from imagesvc.processing.pipeline import process
from imagesvc.processing.renditions import encode, fit_within, resized
from imagesvc.processing.sandbox.sandbox import Sandbox
from tests.support.icc_profiles import DISPLAY_P3, rgb_profile

T = TypeVar("T")

SIZES = {"12 MP": (4000, 3000), "24 MP": (6000, 4000)}
WHOLE, TARGET_MS = "facts and three WebP", 450
WITH_SCORE, TARGET_WITH_SCORE_MS = "the same with score and hash", 500
RUNS = 5


def photo(size: tuple[int, int], *, icc_profile: bytes | None = None) -> bytes:
    """A generated JPEG with EXIF of an invented camera."""
    random = np.random.default_rng(20)
    width, height = size
    picture = np.full((height, width, 3), 118.0, np.float32)
    cell = 1
    while cell < max(size):
        coarse = random.normal(0, 2.2 * cell**0.45, ((height - 1) // cell + 2, (width - 1) // cell + 2, 3))
        layer = [
            Image.fromarray(coarse[..., n].astype(np.float32)).resize(size, Image.Resampling.BICUBIC) for n in range(3)
        ]
        gray = np.asarray(layer[0])
        for n in range(3):
            picture[..., n] += 0.8 * gray + 0.2 * np.asarray(layer[n])
        cell *= 2
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Acme", "Acme Cam 9", 6
    exif.get_ifd(0x8769).update({0x9003: "2020:09:02 10:11:12", 0x9011: "+02:00"})
    out = io.BytesIO()
    image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    image.save(out, "JPEG", quality=90, exif=exif, icc_profile=icc_profile)
    return out.getvalue()


@dataclass
class Stages:
    """CPU milliseconds by stage, in order."""

    milliseconds: dict[str, float] = field(default_factory=dict)

    def measure(self, name: str, work: Callable[[], T], runs: int = RUNS) -> T:
        best, result = float("inf"), None
        for _ in range(runs):
            started = time.process_time()
            result = work()
            best = min(best, time.process_time() - started)
        self.milliseconds[name] = best * 1000
        return result  # type: ignore[return-value]


async def stages_of(size: tuple[int, int]) -> Stages:
    stages = Stages()
    data = photo(size)
    header_limits = HeaderLimits(frames=10, text_bytes=10_000, profile_bytes=10_000)

    def header_and_metadata() -> None:
        read_metadata(data, READERS["image/jpeg"](data, header_limits), is_tiff=False)

    stages.measure("header, metadata", header_and_metadata)
    header = READERS["image/jpeg"](data, header_limits)

    def decoded():  # type: ignore[no-untyped-def]
        return decode(open_image(io.BytesIO(data), data, "image/jpeg", header), orientation=6)

    picture = stages.measure("decode", decoded)
    large = stages.measure("resize to 2048", partial(resized, picture.image, fit_within(size, 2048)))
    profile = rgb_profile(DISPLAY_P3)
    stages.measure("turn upright", lambda: large.transpose(Image.Transpose.ROTATE_270))
    medium = stages.measure("resize to 1024", partial(resized, large, fit_within(size, 1024)))
    thumb = stages.measure("resize to 320", partial(resized, medium, fit_within(size, 320)))
    stages.measure("WebP 2048", partial(encode, large, "webp", webp_method=1))
    stages.measure("WebP 1024", partial(encode, medium, "webp", webp_method=1))
    stages.measure("WebP 320", partial(encode, thumb, "webp", webp_method=4))
    stages.measure(f"**{WHOLE}**", partial(whole, data, Work(score=False)), runs=3)
    stages.measure(f"**{WITH_SCORE}**", partial(whole, data, Work()), runs=3)
    stages.measure("besides: Display P3 to sRGB at 2048", partial(to_srgb, large, profile, None, None))
    stages.measure("besides: JPEG 2048", partial(encode, large, "jpg"))
    stages.measure("besides: AVIF 1024", partial(encode, medium, "avif"), runs=2)
    await _sandboxed(stages, data)
    return stages


async def _sandboxed(stages: Stages, data: bytes) -> None:
    """All processing in a new process per image, measured by the kernel; and an image that is rejected at once."""
    async with Sandbox(Limits()) as sandbox:
        cpu, wall, refused = [], [], []
        for _ in range(RUNS):
            async with sandbox.scratch() as folder:
                (folder / "original").write_bytes(data)
                started = time.monotonic()
                outcome = await sandbox.run(Work(), folder)
                wall.append(time.monotonic() - started)
                assert isinstance(outcome, Processed)
                cpu.append(outcome.cpu_seconds)
                (folder / "original").write_bytes(b"not an image")
                started = time.monotonic()
                await sandbox.run(Work(), folder)
                refused.append(time.monotonic() - started)
    stages.milliseconds["**in the sandbox, with score and hash**"] = min(cpu) * 1000
    stages.milliseconds["its wall time"] = min(wall) * 1000
    stages.milliseconds["wall time of a refusal (fork, confinement)"] = min(refused) * 1000


def whole(data: bytes, work: Work) -> None:
    process(io.BytesIO(data), data, work, Limits(), _discard)


def _discard(index: int, data: bytes) -> None:
    """Discards result files; other sections measure storing."""


async def measure(_: Servers) -> str:
    columns = {}
    for name, size in SIZES.items():
        log_progress(f"a photo of {name}")
        columns[name] = await stages_of(size)
    names = list(next(iter(columns.values())).milliseconds)
    return "\n".join(
        [
            f"| CPU ms a photo | {' | '.join(columns)} |",
            f"|---|{'---:|' * len(columns)}",
            *(f"| {name} | {' | '.join(f'{c.milliseconds[name]:.1f}' for c in columns.values())} |" for name in names),
            "",
            f"Wanted of 12 MP: {WHOLE} in {TARGET_MS} ms, {WITH_SCORE} in {TARGET_WITH_SCORE_MS} ms.",
        ]
    )
