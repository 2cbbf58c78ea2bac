"""Which files are meant, and what is in them."""

import os
from pathlib import Path

import pytest

from imagesvc.client.errors import FileUnusable
from imagesvc.client.file_reader import Found, look_at, read_hash
from imagesvc.client.files import find


def names(*named: Path) -> list[str]:
    """Of what is found; what cannot be read with a mark."""
    return [found.path.name if isinstance(found, Found) else f"!{found[0].name}" for found in find(named)]


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


def test_what_was_named_is_sent_even_if_it_is_hidden(tmp_path: Path) -> None:
    (tmp_path / ".hidden.jpg").touch()

    assert names(tmp_path / ".hidden.jpg") == [".hidden.jpg"]


def test_links_make_no_loops_and_broken_ones_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "real.jpg").touch()
    (folder / "again").symlink_to(folder)
    (folder / "linked.jpg").symlink_to("real.jpg")
    (folder / "nowhere.jpg").symlink_to("gone.jpg")
    (folder / "self.jpg").symlink_to("self.jpg")
    os.mkfifo(folder / "pipe")
    (tmp_path / "door").symlink_to(folder)

    assert names(folder) == ["linked.jpg", "!nowhere.jpg", "real.jpg", "!self.jpg"]
    assert len(names(tmp_path / "door")) == 4


def test_a_file_that_changes_while_it_is_read_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x" * 1_000_000)
    seen = look_at(path)

    def write_more() -> bool:
        path.write_bytes(b"y" * 1_000_001)
        return False

    with pytest.raises(FileUnusable, match="being written"):
        read_hash(seen, is_stopping=write_more)


def test_a_folder_or_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(FileUnusable, match="folder"):
        look_at(tmp_path)
    with pytest.raises(FileUnusable, match="no regular file"):
        look_at(tmp_path / "pipe")
