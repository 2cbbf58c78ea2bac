"""Finding files and reading them."""

import os
from pathlib import Path

import pytest

from imagesvc.client.errors import FileUnreadable
from imagesvc.client.excludes import DEFAULT_EXCLUDES, Excludes
from imagesvc.client.file_reader import LocalFile, read_hash, stat_file
from imagesvc.client.files import find_files


def names(*named: Path, excludes: Excludes | None = None) -> list[str]:
    """The names of the files found; unreadable ones have a leading "!"."""
    return [
        found.path.name if isinstance(found, LocalFile) else f"!{found[0].name}"
        for found in find_files(named, excludes or Excludes())
    ]


def touch(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def test_all_files_below_a_folder_are_found_once_and_in_order(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/1.jpg", "a.jpg", "c/deep/er/3.jpg", ".hidden/x.jpg", "b/.y.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert names(tmp_path) == ["a.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert names(tmp_path / "b" / "2.jpg", tmp_path / "b", tmp_path / "b" / ".." / "a.jpg", tmp_path) == [
        "2.jpg",
        "1.jpg",
        "a.jpg",
        "3.jpg",
    ]


def test_a_named_file_is_found_even_if_it_is_hidden(tmp_path: Path) -> None:
    (tmp_path / ".hidden.jpg").touch()

    assert names(tmp_path / ".hidden.jpg") == [".hidden.jpg"]


def test_previews_system_files_and_sidecars_are_excluded_by_default(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *("a.jpg", "a.XMP", "A.THM", "b.AAE", "Thumbs.db", "DESKTOP.INI", "._a.jpg", ".DS_Store"),
        *("@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", ".thumbnails/1.jpg", "__MACOSX/._a.jpg", "deep/@eaDir/x.jpg"),
        *("deep/xmp/b.jpg", "deep/thumbs/c.jpg"),
    )

    assert names(tmp_path) == ["a.jpg", "c.jpg", "b.jpg"]
    assert "x.jpg" in names(tmp_path, excludes=Excludes(with_defaults=False))
    assert names(tmp_path / "Thumbs.db", tmp_path / "@eaDir") == ["Thumbs.db", "SYNOPHOTO_THUMB_M.jpg"]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("*.png", ["a.jpg", "b.jpg", "c.jpg"]),
        ("B*", ["a.jpg", "a.png", "c.jpg"]),
        ("sub", ["a.jpg", "a.png"]),
        ("sub/", ["a.jpg", "a.png"]),
        ("sub/b.*", ["a.jpg", "a.png", "c.jpg"]),
        ("/sub/deep", ["a.jpg", "a.png", "b.jpg"]),
        ("b.jpg/", ["a.jpg", "a.png", "c.jpg"]),
        ("deep/c.jpg", ["a.jpg", "a.png", "b.jpg", "c.jpg"]),
        ("[", ["a.jpg", "a.png", "b.jpg", "c.jpg"]),
        ("", ["a.jpg", "a.png", "b.jpg", "c.jpg"]),
    ],
)
def test_a_pattern_excludes_by_name_or_by_path_below_the_folder(tmp_path: Path, pattern: str, left: list[str]) -> None:
    touch(tmp_path, "a.jpg", "a.png", "sub/b.jpg", "sub/deep/c.jpg")

    assert names(tmp_path, excludes=Excludes([pattern])) == left


def test_a_default_exclude_is_a_name_without_slash() -> None:
    assert not [pattern for pattern in DEFAULT_EXCLUDES if "/" in pattern]


def test_symbolic_links_make_no_loops_and_broken_ones_are_reported(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "real.jpg").touch()
    (folder / "again").symlink_to(folder)
    (folder / "linked.jpg").symlink_to("real.jpg")
    (folder / "nowhere.jpg").symlink_to("gone.jpg")
    (folder / "self.jpg").symlink_to("self.jpg")
    os.mkfifo(folder / "pipe")
    (tmp_path / "shortcut").symlink_to(folder)

    assert names(folder) == ["linked.jpg", "!nowhere.jpg", "real.jpg", "!self.jpg"]
    assert len(names(tmp_path / "shortcut")) == 4


def test_a_file_that_changes_while_it_is_read_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x" * 1_000_000)
    seen = stat_file(path)

    def write_more() -> bool:
        path.write_bytes(b"y" * 1_000_001)
        return False

    with pytest.raises(FileUnreadable, match="changed while it was read"):
        read_hash(seen, is_stopping=write_more)


def test_a_folder_and_a_pipe_are_unreadable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(FileUnreadable, match="folder"):
        stat_file(tmp_path)
    with pytest.raises(FileUnreadable, match="not a regular file"):
        stat_file(tmp_path / "pipe")
