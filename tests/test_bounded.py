import io
import os
import socket
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from advcli.errors import AdvcliError, UsageError
from advcli.files import archives, bounded
from advcli.files.hdf5 import check_hdf5

SMALL = b"some weights" * 50


def packed(path: Path, *names: str, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in names:
            archive.writestr(name, SMALL)
    return path


def declare(path: Path, name: str, size: int) -> None:
    """Change the size that the directory of an archive declares for a member."""
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\1\2")
    while bytes(content[place + 46 : place + 46 + len(name)]) != name.encode():
        place = content.index(b"PK\1\2", place + 1)
    content[place + 24 : place + 28] = struct.pack("<I", size)
    path.write_bytes(content)


def test_a_member_that_unpacks_to_too_much_is_never_unpacked(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", "good", "bad")
    declare(path, "bad", 4_000_000_000)
    with archives.Archive(path) as archive:
        assert archive.read("good") == SMALL
        for refused in (archive.check, lambda: archive.read("bad"), lambda: archive.read("good", 100)):
            with pytest.raises(AdvcliError, match=r"more than the .* allowed"):
                refused()


def test_many_members_that_are_too_much_together_are_refused(tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(9)]
    path = packed(tmp_path / "a.zip", *names)
    for name in names:
        declare(path, name, 200_000_000)
    with archives.Archive(path) as archive, pytest.raises(AdvcliError, match=r"the unpacked content of .* has"):
        archive.check()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_in_any_order(tmp_path: Path, compression: int) -> None:
    with archives.Archive(packed(tmp_path / "a.zip", "x", "y", compression=compression)) as archive:
        file = archive.random_access("y")
        assert file.seek(-5, io.SEEK_END) == len(SMALL) - 5
        assert file.read() == SMALL[-5:]
        assert file.seek(0) == 0
        assert file.read() == SMALL


@pytest.mark.parametrize("damage", [b"", b"PK\3\4" * 20, b"PK\5\6" + bytes(18) + b"x"])
def test_a_damaged_archive_is_an_error(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(damage)
    if damage[2:4] != b"\5\6":
        with pytest.raises(AdvcliError, match=r"not a readable \.zip"):
            archives.Archive(tmp_path / "a.zip")


def test_packed_streams_end_at_their_limit(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for name, size in (("d/skipped", 3_000_000), ("d/wanted", 1000)):
            info = tarfile.TarInfo(name)
            info.size = size
            archive.addfile(info, io.BytesIO(bytes(size)))
    assert archives.read_tar(tmp_path / "a.tar.gz", ["wanted"], 4_000_000) == {"wanted": bytes(1000)}
    with pytest.raises(AdvcliError, match=r"more than the 2\.0 MB allowed"):
        archives.read_tar(tmp_path / "a.tar.gz", ["wanted"], 2_000_000)
    tracemalloc.start()
    with pytest.raises(AdvcliError, match=r"more than the 10\.0 kB allowed"):
        archives.gunzip(tmp_path / "a.tar.gz", 10_000)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_text_and_json(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("\ufeffgrüße".encode())
    assert bounded.read_text(tmp_path / "a") == "grüße"
    with pytest.raises(AdvcliError, match="more than the 5 bytes allowed"):
        bounded.read_text(tmp_path / "a", 5)
    (tmp_path / "a").write_bytes(b"\xff\xfe")
    with pytest.raises(AdvcliError, match="not a text file"):
        bounded.read_text(tmp_path / "a")
    for text in ("[" * 100_000, "9" * 5000, "{"):
        with pytest.raises(ValueError, match=r"."):
            bounded.parse_json(text)


@pytest.mark.skipif(os.name != "posix", reason="pipes are those of POSIX")
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(tmp_path)
        listening.bind("socket")
        for path, kind in (
            (tmp_path / "pipe", "a pipe"),
            (Path("/dev/zero"), "a device"),
            (Path("socket"), "a socket"),
        ):
            for read in (lambda path: bounded.read_bytes(path, 100), bounded.refuse_special, archives.Archive):
                with pytest.raises(UsageError, match=f"is {kind}, not a file"):
                    read(Path(path))
    with pytest.raises(AdvcliError, match="is a folder, not a file"):
        bounded.read_bytes(tmp_path, 100)


def huge(file: h5py.File) -> None:
    file.create_dataset("layers/w", (50_000, 50_000), "f4", chunks=(100, 100), compression="gzip")


def huge_chunk(file: h5py.File) -> None:
    file.create_dataset("layers/w", (10,), "f4", maxshape=(None,), chunks=(200_000_000,))


def linked(file: h5py.File) -> None:
    file["w"] = h5py.ExternalLink("/etc/hosts", "/w")


def stored_elsewhere(file: h5py.File) -> None:
    file.create_dataset("w", (10,), "u1", external=[("/etc/hosts", 0, 10)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((10,), "u1")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "w", (10,))
    file.create_virtual_dataset("w", layout)


@pytest.mark.parametrize("fault", [huge, huge_chunk, linked, stored_elsewhere, virtual])
def test_arrays_that_a_file_does_not_store_are_refused(tmp_path: Path, fault: Callable[[h5py.File], None]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ones"] = np.ones(1000)
        fault(file)
    with pytest.raises(AdvcliError, match=r"declares arrays|another place|another file"):
        check_hdf5(tmp_path / "a.h5", "a.h5")


def test_ordinary_arrays_pass(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = np.random.default_rng(0).random((1000, 1000))
        file.create_dataset("b", data=np.zeros(1_000_000), compression="gzip")
        file["empty"] = h5py.Empty("f4")
    check_hdf5(tmp_path / "a.h5", "a.h5")
