"""A confined child imports nothing, because it may not be able to read the files of a module or a codec."""

import subprocess
import sys
from pathlib import Path

from tests.support import images
from tests.support.exif_blocks import jpeg_with, packet

PROGRAM = """
import io, sys
from pathlib import Path
from imagesvc.processing.sandbox import libraries
from imagesvc.processing.contract import Work
from imagesvc.processing.limits import Limits
from imagesvc.processing.pipeline import process

libraries.prepare()

class Refuse:
    def find_spec(self, name, path=None, target=None):
        print("late import:", name)
        return None

sys.meta_path.insert(0, Refuse())
request = Work(renditions=(("thumb", "webp"), ("full", "jpg"), ("thumb", "avif")))
for path in sorted(Path(sys.argv[1]).iterdir()):
    data = path.read_bytes()
    process(io.BytesIO(data), data, request, Limits(), lambda index, data: None)
"""


def test_no_file_makes_a_child_import_anything(tmp_path: Path, cases: Path) -> None:
    exif = images.exif(latitude=48.8, longitude=2.3, altitude=30, orientation=6)
    files = {
        "a.jpg": images.jpeg(exif=exif),
        "b.png": images.png(mode="RGBA", exif=exif),
        "c.webp": images.webp(exif=exif),
        "d.gif": images.gif(frames=2),
        "e.tif": images.tiff(exif=exif),
        "f.bmp": images.bmp(),
        "g.heic": images.heic(exif=exif),
        "h.avif": images.avif(exif=exif),
        "cmyk.jpg": images.jpeg(mode="CMYK"),
        "truncated.jpg": images.truncated_jpeg(),
        "lab.tif": images.tiff(mode="L", compression="tiff_lzw"),
    }
    for encoding in ("utf-8", "utf-16", "utf-16-le", "utf-16-be"):
        xmp = packet('tiff:Make="Acmé"').decode().encode(encoding)
        files[f"xmp-{encoding}.jpg"] = jpeg_with(images.jpeg(size=(16, 12)), xmp=xmp)
    declared = packet('tiff:Make="A"').replace(b"<?xpacket", b'<?xml version="1.0" encoding="windows-1252"?><?xpacket')
    files["xmp-declared.jpg"] = jpeg_with(images.jpeg(size=(16, 12)), xmp=declared)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    for path in cases.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )

    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_sandbox_loads_nothing_that_it_does_not_need() -> None:
    """Every module costs each child memory to share, and a hostile file more to misuse."""
    program = "import sys; from imagesvc.processing.sandbox import zygote; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert {"pydantic", "asyncio", "ssl", "sqlalchemy", "structlog"}.isdisjoint(loaded.stdout.split())
