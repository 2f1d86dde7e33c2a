import io
import os
import stat
import struct
import time
import zlib
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from advcli.data import images
from advcli.errors import AdvcliError, UsageError
from advcli.files import atomic, paths, png
from advcli.records import Failed

RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
DEEP = RAMP.astype(np.uint16) * 257
COLOUR = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=-1)
DEEP_COLOUR = COLOUR.astype(np.uint16) * 257


def saved(picture: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def sixteen_bit_png(array: np.ndarray, colour_type: int) -> bytes:
    """Write a 16-bit PNG, which Pillow does not do in colour."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = array.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def read(content: bytes, channels: int = 3) -> np.ndarray:
    return images.read(io.BytesIO(content), channels)


def palette(kind: str) -> bytes:
    picture = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    picture.putpalette([10, 20, 30, 200, 100, 0])
    return saved(picture, kind, transparency=0)


GREY = {
    "png": saved(RAMP, "PNG"),
    "tiff": tiff(RAMP),
    "tiff with white as zero": tiff(255 - RAMP, photometric="miniswhite"),
    "png 16": saved(DEEP, "PNG"),
    "tiff 16": tiff(DEEP),
    "tiff 16, big-endian": tiff(DEEP, byteorder=">"),
    "tiff unsigned 32": tiff(RAMP.astype(np.uint32) * 16843009),
    "tiff float 16": tiff((RAMP / 255).astype(np.float16)),
    "tiff float 32": tiff((RAMP / 255).astype(np.float32)),
    "tiff float 32 in 0..255": tiff(RAMP.astype(np.float32)),
    "tiff float 64": tiff(RAMP / 255),
    "pgm 16": b"P5 8 6 65535\n" + DEEP.astype(">u2").tobytes(),
}
COLOURED = {
    "png": saved(COLOUR, "PNG"),
    "bmp": saved(COLOUR, "BMP"),
    "webp": saved(COLOUR, "WEBP", lossless=True),
    "tga": saved(COLOUR, "TGA"),
    "png 16": sixteen_bit_png(DEEP_COLOUR, 2),
    "tiff 16": tiff(DEEP_COLOUR, photometric="rgb"),
    "tiff 16 in planes": tiff(np.moveaxis(DEEP_COLOUR, -1, 0), photometric="rgb", planarconfig="separate"),
    "tiff float 32": tiff((COLOUR / 255).astype(np.float32), photometric="rgb"),
    "tiff float 64": tiff(COLOUR / 255, photometric="rgb"),
}


@pytest.mark.parametrize("kind", GREY)
def test_grey_files_are_read_exactly(kind: str) -> None:
    np.testing.assert_array_equal(read(GREY[kind], 1)[..., 0], RAMP)
    np.testing.assert_array_equal(read(GREY[kind], 3), np.repeat(RAMP[..., None], 3, axis=-1))


@pytest.mark.parametrize("kind", COLOURED)
def test_colour_files_are_read_exactly(kind: str) -> None:
    pixels = read(COLOURED[kind])
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, COLOUR)


def test_one_bit_is_black_and_white() -> None:
    assert read(saved(np.array([[True, False]]), "PNG"), 1).ravel().tolist() == [255, 0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (saved(Image.new("RGBA", (2, 2), (200, 0, 0, 0)), "PNG"), (255, 255, 255)),
        (saved(Image.new("RGBA", (2, 2), (0, 0, 0, 51)), "PNG"), (204, 204, 204)),
        (saved(Image.new("LA", (2, 2), (0, 51)), "PNG"), (204, 204, 204)),
        (sixteen_bit_png(np.full((2, 2, 4), (0, 0, 0, 51 * 257)), 6), (204, 204, 204)),
        (tiff(np.full((2, 2, 4), (0, 0, 0, 0.2), np.float32), photometric="rgb"), (204, 204, 204)),
        (saved(Image.new("L", (2, 2), 7), "PNG", transparency=7), (255, 255, 255)),
    ],
)
def test_transparency_shows_white_behind(content: bytes, expected: tuple[int, int, int]) -> None:
    assert tuple(read(content)[0, 0]) == expected


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_with_transparency(kind: str) -> None:
    assert read(palette(kind)).tolist() == [[[255, 255, 255], [200, 100, 0]]]


def test_cmyk_becomes_rgb() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert np.abs(read(saved(red, "JPEG", quality=100))[8, 8].astype(int) - (255, 0, 0)).max() <= 2
    assert tuple(read(saved(red, "TIFF"))[8, 8]) == (255, 0, 0)


def test_exif_rotation_is_applied() -> None:
    picture = Image.new("L", (16, 32), 0)
    picture.paste(255, (0, 0, 16, 16))
    rotation = Image.Exif()
    rotation[0x0112] = 6
    pixels = read(saved(picture, "JPEG", exif=rotation), 1)
    assert pixels.shape == (16, 32, 1)
    assert pixels[8, 4, 0] < 10 and pixels[8, 28, 0] > 245


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("WEBP", {"lossless": True})])
def test_first_picture_of_an_animation(kind: str, options: dict[str, Any]) -> None:
    first, second = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    assert tuple(read(saved(first, kind, save_all=True, append_images=[second], **options))[0, 0]) == (255, 0, 0)


@pytest.mark.parametrize(
    ("value", "name"), [(np.nan, "NaN"), (np.inf, "infinite values"), (-np.inf, "infinite values"), (1j, "complex")]
)
@pytest.mark.parametrize("size", [4, 8])
def test_values_that_are_no_real_numbers_are_refused_by_name(value: complex, name: str, size: int) -> None:
    kind = f"complex{16 * size}" if isinstance(value, complex) else f"float{8 * size}"
    with pytest.raises(AdvcliError, match=f"an image (with|of) {name}"):
        read(tiff(np.array([[0.2, 0.5], [0.5, value]], kind)))


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("content", [EPS, saved(COLOUR, "PCX"), saved(COLOUR, "SGI"), b"%PDF-1.4\n" * 9, b"8BPS" * 9])
def test_only_formats_on_the_list_are_decoded(content: bytes) -> None:
    with pytest.raises(AdvcliError, match=r"its content is none of PNG, JPEG, BMP|not an image but a"):
        read(content)


@pytest.mark.parametrize("kind", ["png", "png 16", "tiff 16 in planes", "tiff 16", "tiff float 64", "bmp", "webp"])
def test_no_decoder_takes_more_pixels_than_allowed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCLI_MAX_PIXELS", "47")
    with pytest.raises(AdvcliError, match=r"more than 47 pixels \(see --max-pixels\)"):
        read(COLOURED[kind] if kind in COLOURED else GREY[kind])
    monkeypatch.setenv("ADVCLI_MAX_PIXELS", "48")
    assert read(COLOURED[kind] if kind in COLOURED else GREY[kind]).shape == (6, 8, 3)
    assert Image.MAX_IMAGE_PIXELS != 48


def with_size(content: bytes, width: int, height: int) -> bytes:
    """Change the size in the header of a PNG file of 8 x 6 pixels."""
    header = content[12:29].replace(struct.pack(">II", 8, 6), struct.pack(">II", width, height))
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def test_a_photograph_of_100_megapixels_is_allowed() -> None:
    grey = saved(RAMP, "PNG")
    with pytest.raises(AdvcliError) as error:
        read(with_size(grey, 11648, 8736))
    assert "pixels" not in error.value.message
    with pytest.raises(AdvcliError, match="more than 120,000,000 pixels"):
        read(with_size(grey, 13000, 13000))


@pytest.mark.parametrize("tag", [256, 257])
def test_a_tiff_without_pixels_is_an_error(tag: int) -> None:
    content = saved(COLOUR, "TIFF")
    entry = content.index(struct.pack("<HH", tag, 4))
    with pytest.raises(AdvcliError):
        read(content[: entry + 8] + bytes(4) + content[entry + 12 :])


def test_a_text_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    text = b"advcli\0\0" + zlib.compress(bytes(50_000_000))
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    content = saved(COLOUR, "PNG")
    (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])
    with pytest.raises(AdvcliError, match="a text in the image unpacks to more than 1 MB"):
        images.read(tmp_path / "a.png")
    assert images.size(tmp_path / "a.png") == (0, 0)
    assert png.record_in(tmp_path / "a.png") == {} and png.kind_in(tmp_path / "a.png") is None


def test_many_colour_profiles_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    profile = b"own\0\0" + zlib.compress(bytes(900_000))
    chunk = struct.pack(">I", len(profile)) + b"iCCP" + profile + struct.pack(">I", zlib.crc32(b"iCCP" + profile))
    content = saved(COLOUR, "PNG")
    # Pillow alone needs two milliseconds for each.
    (tmp_path / "many.png").write_bytes(content[:33] + 2000 * chunk + content[33:])
    began = time.process_time()
    for reader in (images.read, png.read):
        with pytest.raises(AdvcliError, match="many colour profiles"):
            reader(tmp_path / "many.png")
    assert images.size(tmp_path / "many.png") == (0, 0)
    assert time.process_time() - began < 2
    (tmp_path / "one.png").write_bytes(content[:33] + chunk + content[33:])
    np.testing.assert_array_equal(images.read(tmp_path / "one.png"), COLOUR)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "[1]", "9" * 5000])
def test_a_text_that_is_no_record_is_none(tmp_path: Path, text: str) -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("advcli", text)
    Image.fromarray(COLOUR).save(tmp_path / "a.png", pnginfo=chunks)
    assert png.record_in(tmp_path / "a.png") == {}


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
HUGE = saved(RAMP, "PNG").replace(struct.pack(">II", 8, 6), struct.pack(">II", 30000, 30000), 1)
BROKEN = {
    "empty": b"",
    "text": b"hello world\n" * 40,
    "html": b"<!DOCTYPE html><html><body>404</body></html>",
    "half a jpeg": saved(NOISE, "JPEG")[:1500],
    "half a png": saved(NOISE, "PNG")[:6000],
    "flipped bits": saved(NOISE, "PNG")[:6000] + bytes(6000),
    "half a tiff": tiff(DEEP_COLOUR, photometric="rgb")[:60],
    "a stack of pages": tiff(np.zeros((5, 6, 8), np.float64), photometric="minisblack"),
    "huge": HUGE[:16] + HUGE[16:29] + struct.pack(">I", zlib.crc32(HUGE[12:29])) + HUGE[33:],
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_are_errors(kind: str) -> None:
    with pytest.raises(AdvcliError) as error:
        read(BROKEN[kind])
    assert "0x" not in error.value.message


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AdvcliError, match="cannot read"):
        images.read(tmp_path / "no.png")
    with pytest.raises(AdvcliError, match="is an empty folder, not a file"):
        images.read(tmp_path)


def test_find_lists_files_and_folders_once(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "sub/c.webp", "notes.txt", ".hidden.png", ".cache/d.png", "sub/._c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = paths.find_images([tmp_path / "b.JPG", tmp_path, tmp_path / "a.png"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["b.JPG", "a.png", "sub/c.webp"]


def test_find_names_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "kitten.png").touch()
    with pytest.raises(UsageError) as error:
        paths.find_images([tmp_path / "kiten.png"])
    assert "kitten.png" in error.value.hint
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no images in folder"):
        paths.find_images([tmp_path / "empty"])
    with pytest.raises(UsageError) as error:
        paths.find_images([tmp_path / "nowhere" / "x.png"])
    assert "does not exist either" in error.value.hint


def test_plan_gives_each_file_its_own_output(tmp_path: Path) -> None:
    files = [Path("a/cat.png"), Path("a/cat.jpg"), Path("b/cat.jpg"), Path("b/Cat.png"), Path("a/dog.png")]
    stems = paths.plan_outputs(files, tmp_path, [".adv.png"], overwrite=False)
    assert [stem.name for stem in stems.values()] == ["a.cat.png", "a.cat.jpg", "b.cat.jpg", "b.Cat.png", "dog"]
    assert len({stem.name.casefold() for stem in stems.values()}) == len(files)
    with pytest.raises(UsageError, match="would have the same output"):
        paths.plan_outputs([*files, Path("x/b/cat.jpg")], tmp_path, [".adv.png"], overwrite=False)


@pytest.mark.parametrize("endings", [[".a b.png", ".A b.png"], [".x.png", ".x.png"]])
def test_plan_refuses_one_name_for_two_outputs(tmp_path: Path, endings: list[str]) -> None:
    with pytest.raises(UsageError, match="same name"):
        paths.plan_outputs([Path("cat.png")], tmp_path, endings, overwrite=True)
    with pytest.raises(UsageError, match="same output"):
        paths.plan_outputs([Path("cat.png"), Path("cat.adv.png")], tmp_path, [".adv.x.png", ".x.png"], overwrite=True)


def test_plan_refuses_names_that_are_too_long(tmp_path: Path) -> None:
    fits = "é" * 123 + "x"
    assert paths.plan_outputs([Path(f"{fits}.png")], tmp_path, [".adv.png"], overwrite=True)
    png.write(tmp_path / f"{fits}.adv.png", NOISE)
    for out in (tmp_path, tmp_path / "new" / "folder"):
        with pytest.raises(UsageError, match="255 are possible"):
            paths.plan_outputs([Path(f"{fits}x.png")], out, [".adv.png"], overwrite=True)
    with pytest.raises(UsageError, match="path is too long"):
        paths.plan_outputs([Path("cat.png")], tmp_path.joinpath(*["long" * 50] * 30), [".adv.png"], overwrite=True)


def test_plan_refuses_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "cat.adv.png").touch()
    with pytest.raises(UsageError, match="output exists"):
        paths.plan_outputs([Path("cat.png")], tmp_path, [".x.png", ".adv.png"], overwrite=False)
    assert paths.plan_outputs([Path("cat.png")], tmp_path, [".adv.png"], overwrite=True)
    with pytest.raises(UsageError, match="is a file"):
        paths.plan_outputs([Path("cat.png")], tmp_path / "cat.adv.png", [".adv.png"], overwrite=True)
    with pytest.raises(UsageError, match="looks like a file"):
        paths.plan_outputs([Path("cat.png")], tmp_path / "new.png", [".adv.png"], overwrite=True)


def test_resize_keeps_type_and_mean() -> None:
    small = images.resize(NOISE, (16, 16))
    assert small.shape == (16, 16, 3) and small.dtype == np.uint8
    assert abs(small.mean() - NOISE.mean()) < 2
    precise = images.resize(NOISE.astype(np.float32) / 255, (16, 16))
    assert precise.dtype == np.float32
    assert np.abs(precise * 255 - small).max() <= 0.51
    assert images.resize(NOISE, (64, 64)) is NOISE
    assert images.resize(NOISE[:10, :20], (30, 30)).shape == (30, 30, 3)


def test_to_channels() -> None:
    assert images.to_channels(RAMP, 3).shape == (6, 8, 3)
    assert images.to_channels(COLOUR, 3) is COLOUR
    grey = images.to_channels(np.repeat(RAMP[..., None], 3, axis=-1), 1)
    np.testing.assert_array_equal(grey[..., 0], RAMP)
    red = images.to_channels(np.array([[[1, 0, 0]]], np.float32), 1)
    assert red.dtype == np.float32 and red.item() == pytest.approx(0.299)


def test_written_png_is_what_was_given(tmp_path: Path) -> None:
    record = Failed(model="m", data="d", seed=0, image="grüße", error="none")
    png.write(tmp_path / "new" / "a.png", NOISE, record, "noise")
    np.testing.assert_array_equal(images.read(tmp_path / "new" / "a.png"), NOISE)
    assert png.record_in(tmp_path / "new" / "a.png")["image"] == "grüße"
    assert png.kind_in(tmp_path / "new" / "a.png") == "noise"
    with Image.open(tmp_path / "new" / "a.png") as picture:
        assert picture.info.keys() == {"advcli", "advcli-kind"}
    png.write(tmp_path / "grey.png", RAMP[..., None])
    np.testing.assert_array_equal(images.read(tmp_path / "grey.png", 1)[..., 0], RAMP)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic.whole_file(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
    with pytest.raises(AdvcliError, match="cannot write"), atomic.whole_file(path / "below") as file:
        file.write(b"x")


@pytest.mark.parametrize("links", [True, False])
def test_a_file_of_another_process_is_kept(tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:
        refuse = mock.Mock(side_effect=OSError(95, "Operation not supported"))
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = tmp_path / "a.txt"
    with atomic.whole_file(path, overwrite=False) as file:
        file.write(b"first")
    with pytest.raises(AdvcliError, match="another process has written"), atomic.whole_file(path, False) as file:
        file.write(b"second")
    assert path.read_text() == "first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_a_written_file_has_the_usual_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        png.write(tmp_path / "a.png", NOISE)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o640


def test_an_input_is_never_an_output(tmp_path: Path) -> None:
    files = [tmp_path / "a.png", tmp_path / "a.adv.png"]
    for file in files:
        png.write(file, np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(UsageError, match="is one of the inputs"):
        paths.plan_outputs(files, tmp_path, [".adv.png"], overwrite=True)
