"""Builds image files as bytes: valid ones by seed (equal seeds give equal bytes), and hostile ones.

Different seeds give visually different pictures, so their perceptual hashes differ too.
"""

import io
import struct
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()

Size = tuple[int, int]


@lru_cache(maxsize=64)
def _pixels(seed: int, size: Size) -> bytes:
    """RGB pixels: gradients, some edges and a little noise. They compress like a photo and are fast to generate."""
    width, height = size
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x / max(width, 1), y / max(height, 1)
    picture = np.empty((height, width, 3), np.float32)
    for channel in range(3):
        a, b, c, d = random.uniform(1, 7, 4)
        picture[..., channel] = 128 + 60 * np.sin(a * x + b * y + d) + 40 * np.cos(c * x * y * 3 + d)
    left, top = random.uniform(0.1, 0.5, 2)
    picture[(x > left) & (x < left + 0.3) & (y > top) & (y < top + 0.25)] += random.uniform(-90, 90, 3)
    noise = random.normal(0, 3, (256, 256, 3)).astype(np.float32)
    picture += np.tile(noise, (height // 256 + 1, width // 256 + 1, 1))[:height, :width]
    return picture.clip(0, 255).astype(np.uint8).tobytes()


def picture(*, seed: int = 0, size: Size = (640, 480), mode: str = "RGB") -> Image.Image:
    """The picture of this seed. With an alpha channel, its upper left quarter is transparent."""
    image = Image.frombytes("RGB", size, _pixels(seed, size))
    if mode in ("RGBA", "LA", "PA"):
        alpha = Image.new("L", size, 255)
        alpha.paste(0, (0, 0, size[0] // 2, size[1] // 2))
        image = image.convert(mode.rstrip("A") if mode != "RGBA" else "RGB")
        image.putalpha(alpha)
        return image
    return image.convert(mode)


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    """The image encoded in a Pillow format."""
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def jpeg(*, seed: int = 0, size: Size = (640, 480), mode: str = "RGB", quality: int = 85, **options: Any) -> bytes:
    return encode(picture(seed=seed, size=size, mode=mode), "JPEG", quality=quality, **options)


def png(*, seed: int = 0, size: Size = (640, 480), mode: str = "RGB", **options: Any) -> bytes:
    return encode(picture(seed=seed, size=size, mode=mode), "PNG", compress_level=1, **options)


def webp(*, seed: int = 0, size: Size = (640, 480), mode: str = "RGB", **options: Any) -> bytes:
    return encode(picture(seed=seed, size=size, mode=mode), "WEBP", method=0, **options)


def gif(*, seed: int = 0, size: Size = (640, 480), frames: int = 1, **options: Any) -> bytes:
    """A GIF; with several frames an animation of different pictures."""
    first, *rest = (picture(seed=seed + 1000 * n, size=size) for n in range(frames))
    return encode(first, "GIF", save_all=frames > 1, append_images=rest, **options)


def tiff(*, seed: int = 0, size: Size = (640, 480), mode: str = "RGB", pages: int = 1, **options: Any) -> bytes:
    first, *rest = (picture(seed=seed + 1000 * n, size=size, mode=mode) for n in range(pages))
    if "exif" in options:  # Pillow writes the sub-directories only when they are values of the main directory
        tags: Image.Exif = options["exif"]
        for number in (0x8769, 0x8825):
            if sub_directory := dict(tags.get_ifd(number)):
                tags[number] = sub_directory
    return encode(first, "TIFF", save_all=pages > 1, append_images=rest, **options)


def bmp(*, seed: int = 0, size: Size = (640, 480), mode: str = "RGB") -> bytes:
    return encode(picture(seed=seed, size=size, mode=mode), "BMP")


def heic(*, seed: int = 0, size: Size = (640, 480), mode: str = "RGB", **options: Any) -> bytes:
    """With ``exif=`` the orientation is written as phones do: as the tag and as the rotation of the container."""
    if "exif" in options:
        options["exif"] = options["exif"].tobytes()  # the plugin reads the orientation from bytes only
    return encode(picture(seed=seed, size=size, mode=mode), "HEIF", quality=60, **options)


def avif(*, seed: int = 0, size: Size = (640, 480), mode: str = "RGB", **options: Any) -> bytes:
    return encode(picture(seed=seed, size=size, mode=mode), "AVIF", speed=10, **options)


def exif(
    *,
    make: str | None = "Acme",
    model: str | None = "Acme Cam 9",
    taken: str | None = "2020:09:02 10:11:12",
    offset: str | None = "+02:00",
    subseconds: str | None = None,
    latitude: float | None = None,
    longitude: float | None = None,
    altitude: float | None = None,
    orientation: int | None = None,
) -> Image.Exif:
    """EXIF data as a camera writes it; ``None`` omits a tag."""
    block = Image.Exif()
    for tag, value in ((0x010F, make), (0x0110, model), (0x0112, orientation)):
        if value is not None:
            block[tag] = value
    camera = block.get_ifd(0x8769)
    for tag, text in ((0x9003, taken), (0x9011, offset), (0x9291, subseconds)):
        if text is not None:
            camera[tag] = text
    gps = block.get_ifd(0x8825)
    if latitude is not None and longitude is not None:
        gps.update({1: "N" if latitude >= 0 else "S", 2: _degrees(latitude)})
        gps.update({3: "E" if longitude >= 0 else "W", 4: _degrees(longitude)})
    if altitude is not None:
        gps.update({5: b"\x01" if altitude < 0 else b"\x00", 6: abs(altitude)})
    return block


def _degrees(value: float) -> tuple[float, float, float]:
    value = abs(value)
    minutes = value % 1 * 60
    return float(int(value)), float(int(minutes)), round(minutes % 1 * 60, 4)


def exif_jpeg(*, seed: int = 0, size: Size = (640, 480), quality: int = 85, **tags: Any) -> bytes:
    """A JPEG with EXIF data; ``tags`` as for :func:`exif`."""
    return jpeg(seed=seed, size=size, quality=quality, exif=exif(**tags))


def truncated_jpeg(*, seed: int = 0, size: Size = (640, 480), keep: float = 0.5) -> bytes:
    """The first part of a JPEG: the header is complete, the pixels are not."""
    whole = jpeg(seed=seed, size=size)
    return whole[: int(len(whole) * keep)]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_chunks(width: int, height: int, *before_pixels: bytes, pixels: bytes = b"\0" * 64) -> bytes:
    """An 8-bit grayscale PNG of the stated size with only the given pixel data."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(pixels))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before_pixels) + body + png_chunk(b"IEND", b"")


def bomb_png(width: int = 50_000, height: int = 50_000) -> bytes:
    """A small file whose header states an enormous size."""
    return png_of_chunks(width, height)


def text_bomb_png(megabytes: int = 200) -> bytes:
    """A PNG with a compressed text chunk that expands about a thousandfold."""
    text = zlib.compress(b"x" * (megabytes * 1024 * 1024), 9)
    return png_of_chunks(8, 8, png_chunk(b"zTXt", b"Comment\0\0" + text), pixels=b"\0" * 72)


def profile_bomb_png(megabytes: int = 200) -> bytes:
    """A PNG with a color profile that expands about a thousandfold."""
    profile = zlib.compress(b"\0" * (megabytes * 1024 * 1024), 9)
    return png_of_chunks(8, 8, png_chunk(b"iCCP", b"icc\0\0" + profile), pixels=b"\0" * 72)


def gif_of_frames(count: int, *, size: Size = (16, 16)) -> bytes:
    """A GIF of ``count`` equal frames of one color, each a valid LZW stream."""
    width, height = size
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    descriptor = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0)
    return screen + (descriptor + _lzw_zeros(width * height)) * count + b"\x3b"


def _lzw_zeros(pixels: int) -> bytes:
    """An LZW stream of ``pixels`` zeros. A clear code after every two pixels keeps the codes three bits wide."""
    codes = [code for start in range(0, pixels, 2) for code in [4, *([0] * min(2, pixels - start))]] + [5]
    bits = sum(code << (3 * n) for n, code in enumerate(codes))
    data = bits.to_bytes((3 * len(codes) + 7) // 8, "little")
    blocks = (data[start : start + 255] for start in range(0, len(data), 255))
    return b"\x02" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
