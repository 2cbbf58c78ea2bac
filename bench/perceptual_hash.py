"""Recall, precision and speed of the search for near-duplicates, as Markdown tables.

``python -m bench.perceptual_hash [FOLDER] [--rows 1000000]``. First, for each change of a near-duplicate: the
number of flipped bits, for this hash and for the usual pHash (8 x 8 lowest frequencies of 32 x 32 pixels, against their
median); the nearest pair of different photos; and the CPU time. Then an exact search for the 12 nearest of a million
visible hashes, in a real PostgreSQL, in two ways: comparing all, and multi-index hashing (``hash_bands.py``).
"""

import argparse
import asyncio
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
from PIL import Image, ImageEnhance

from bench.photos import Pixels, packaged_photos, packaged_textures, photos_of, pixels
from bench.score import jpeg
from bench.servers import running_servers
from imagesvc.processing.hash_bands import BAND_BITS, BANDS, DEFAULT_MAX_DISTANCE, band_neighbours
from imagesvc.processing.perceptual_hash import BITS, distance, perceptual_hash
from imagesvc.processing.quality.luma import luma
from imagesvc.processing.score import PROXY_LONG_SIDE

QUERIES = 60
NEAREST = 12
# of a blob's images: one in ten is public, one in a thousand the caller's
PUBLIC_SHARE, OWNERS = 0.1, 1000


def usual_hash(photo: Pixels) -> int:
    gray = np.asarray(Image.fromarray(photo).convert("L").resize((32, 32), Image.Resampling.LANCZOS), dtype=np.float32)
    place = (np.arange(32) + 0.5) / 32
    waves = np.cos(np.pi * np.outer(np.arange(8), place))
    low = (waves @ gray @ waves.T).ravel()
    return int.from_bytes(np.packbits(low > np.median(low[1:])).tobytes(), "big")


def proxy(image: Image.Image) -> Pixels:
    return pixels(image, long_side=PROXY_LONG_SIDE)


def without_border(image: Image.Image) -> Image.Image:
    x, y = round(image.width * 0.02), round(image.height * 0.02)
    return image.crop((x, y, image.width - x, image.height - y))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG at quality 30": lambda image: Image.fromarray(jpeg(np.asarray(image), 30, np.random.default_rng())),
    "half size": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
    "30 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "2 % off each side": without_border,
}


def accuracy(images: dict[str, Image.Image]) -> None:
    hashed = {name: perceptual_hash(proxy(image)) for name, image in images.items()}
    known = {name: value for name, value in hashed.items() if value is not None}
    nothing = sorted(set(hashed) - set(known))
    print(f"\n{len(known)} photos have a hash; nothing to hash in {', '.join(nothing) or 'none'}.")
    print(f"\n| change | bits flipped, mean | most | found at {DEFAULT_MAX_DISTANCE} | usual pHash: mean | most |")
    print(f"|{'---|' * 6}")
    for title, change in CHANGES.items():
        flips, usual = [], []
        for name, value in known.items():
            changed = proxy(change(images[name]))
            copy = perceptual_hash(changed)
            flips.append(BITS if copy is None else distance(value, copy))
            usual.append(distance(usual_hash(proxy(images[name])), usual_hash(changed)))
        found = np.mean(np.array(flips) <= DEFAULT_MAX_DISTANCE)
        row = f"{np.mean(flips):.1f} | {max(flips)} | {found:.1%} | {np.mean(usual):.1f} | {max(usual)}"
        print(f"| {title} | {row} |")
    pairs = sorted((distance(known[one], known[other]), one, other) for one, other in combinations(known, 2))
    false = [pair for pair in pairs if pair[0] <= DEFAULT_MAX_DISTANCE]
    print(f"\n{len(pairs)} pairs, {len(false)} within {DEFAULT_MAX_DISTANCE}; the nearest: {pairs[:3]}")

    photo = np.asarray(Image.effect_noise((640, 480), 60).convert("RGB"))
    times = []
    for _ in range(30):
        started = time.process_time()
        perceptual_hash(photo)
        times.append(time.process_time() - started)
    print(f"\nCPU of one hash of 640 x 480: {min(times) * 1000:.2f} ms (luma alone: {_luma_ms(photo):.2f} ms).")


def _luma_ms(photo: Pixels) -> float:
    started = time.process_time()
    for _ in range(10):
        luma(photo)
    return (time.process_time() - started) * 100


# nearest first and joined one by one: the planner cannot know how few are near and would read all visible images
VISIBLE = (
    "SELECT seen.id, near.distance FROM ({near} ORDER BY distance) AS near CROSS JOIN LATERAL ("
    "SELECT i.id FROM images i WHERE i.blob_id = near.blob_id AND (i.visibility = 'public' OR i.owner_id = $3) OFFSET 0"
    ") AS seen ORDER BY near.distance, seen.id LIMIT {nearest}"
)
COMPARE_ALL = (
    "SELECT blob_id, bit_count((hash # $1)::bit(64)) AS distance FROM perceptual_hashes"
    " WHERE bit_count((hash # $1)::bit(64)) <= $2"
)
SHIFTS = [BAND_BITS * (BANDS - 1 - place) for place in range(BANDS)]
BY_BANDS = " UNION ".join(
    f"{COMPARE_ALL} AND (hash >> {shift} & 65535) = ANY(${place}::bigint[])"
    for place, shift in enumerate(SHIFTS, start=4)
)
METHODS = {"comparing all": COMPARE_ALL, "by bands": BY_BANDS}


def arguments_of(way: str, value: int, max_distance: int) -> list[Any]:
    arguments: list[Any] = [value - (1 << BITS) if value >> (BITS - 1) else value, max_distance, 7]
    return arguments if way == "comparing all" else [*arguments, *band_neighbours(value, max_distance=max_distance)]


def random_hashes(rows: int, random: np.random.Generator) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Uneven and correlated bits, as photos have them; one hash in fifty is a near-duplicate of another."""
    shared = random.normal(size=(8, BITS)).astype(np.float32) * 0.35
    lean = random.normal(size=BITS).astype(np.float32) * 0.4
    bits = np.empty((rows, BITS), dtype=bool)
    for start in range(0, rows, 100_000):
        part = min(100_000, rows - start)
        causes = random.normal(size=(part, 8)).astype(np.float32)
        bits[start : start + part] = causes @ shared + random.normal(size=(part, BITS)) > lean
    copies = random.integers(0, rows, rows // 50)
    bits[random.integers(0, rows, len(copies))] = bits[copies] ^ (random.random((len(copies), BITS)) < 0.08)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


async def fill(connection: asyncpg.Connection, hashes: np.ndarray[Any, np.dtype[np.uint64]]) -> None:
    """Fill a table that contains only hashes and is never updated, so that the band indexes allow index-only scans."""
    random = np.random.default_rng(2)
    await connection.execute("CREATE TABLE perceptual_hashes (blob_id bigint PRIMARY KEY, hash bigint NOT NULL)")
    await connection.execute("CREATE TABLE images (id bigint, owner_id int, blob_id bigint, visibility text)")
    signed = hashes.view(np.int64).tolist()
    await connection.copy_records_to_table("perceptual_hashes", records=enumerate(signed))
    public = (random.random(len(signed)) < PUBLIC_SHARE).tolist()
    owners = random.integers(0, OWNERS, len(signed)).tolist()
    await connection.copy_records_to_table(
        "images",
        records=(
            (number, owner, number, "public" if is_public else "private")
            for number, (owner, is_public) in enumerate(zip(owners, public, strict=True))
        ),
    )
    await connection.execute("CREATE INDEX ON images (blob_id)")
    for shift in SHIFTS:
        await connection.execute(
            f"CREATE INDEX band_{shift} ON perceptual_hashes ((hash >> {shift} & 65535), hash) INCLUDE (blob_id)"
        )
    await connection.execute("VACUUM ANALYZE perceptual_hashes")
    await connection.execute("VACUUM ANALYZE images")


async def search(rows: int) -> None:
    random = np.random.default_rng(1)
    hashes = random_hashes(rows, random)
    async with running_servers() as servers:
        connection = await asyncpg.connect(servers.admin_url)
        try:
            await fill(connection, hashes)
            server = (await connection.fetchval("SHOW server_version")).split()[0]
            print(f"\n{rows:,} hashes, PostgreSQL {server} with its default settings, {QUERIES} searches each\n")
            print("| search | within | median ms | 95 % | most | the same as comparing all |")
            print("|---|---|---|---|---|---|")
            for max_distance in (8, DEFAULT_MAX_DISTANCE, 16):
                await time_ways(connection, hashes, max_distance)
            size = await connection.fetchval("SELECT pg_size_pretty(pg_relation_size('band_0'))")
            print(f"\nEach of the {BANDS} band indexes takes {size}.")
        finally:
            await connection.close()


async def time_ways(
    connection: asyncpg.Connection, hashes: np.ndarray[Any, np.dtype[np.uint64]], max_distance: int
) -> None:
    random = np.random.default_rng(max_distance)
    chosen = [int(value) for value in hashes[random.integers(0, len(hashes), QUERIES)]]
    truth: list[list[tuple[int, int]]] = []
    for way, near in METHODS.items():
        statement = VISIBLE.format(near=near, nearest=NEAREST)
        times, found = [], []
        for value in chosen:
            started = time.perf_counter()
            rows = await connection.fetch(statement, *arguments_of(way, value, max_distance))
            times.append((time.perf_counter() - started) * 1000)
            found.append([(row["id"], row["distance"]) for row in rows])
        truth = truth or found
        median, high = np.quantile(times, (0.5, 0.95))
        same = "yes" if found == truth else "NO"
        print(f"| {way} | {max_distance} | {median:.1f} | {high:.1f} | {max(times):.1f} | {same} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="photos to use instead of scikit-image's")
    parser.add_argument("--rows", type=int, default=1_000_000, help="hashes to search in; 0 leaves the search out")
    chosen = parser.parse_args()
    accuracy(photos_of(chosen.folder) if chosen.folder else packaged_photos() | packaged_textures())
    if chosen.rows:
        asyncio.run(search(chosen.rows))


if __name__ == "__main__":
    main()
