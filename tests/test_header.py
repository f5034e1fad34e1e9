"""Floods before the pixels, checksums of PNGs, and what lies around the first frame of a GIF."""

from __future__ import annotations

import io
import json
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from neocog.data.folders import picture_cache
from neocog.data.own import open_own
from neocog.errors import UnreadableError
from neocog.pictures import header
from neocog.pictures.decode import Preprocess, decode

SIZE = 1 << 20
PIXELS = np.random.default_rng(3).integers(0, 256, (8, 8, 3)).astype(np.uint8)


def saved(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


JPEG, PNG, WEBP = saved("JPEG"), saved("PNG"), saved("WEBP")
GIF, PICTURE = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff", b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
HEAD = 8 + 25


def tags(entries: int) -> bytes:
    """A TIFF directory whose tags all name the same bytes, half of the file."""
    count = SIZE // 2
    row = struct.pack("<HHII", 40_000, 1, count, 8)
    directory = struct.pack("<H", entries) + row * entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + count) + bytes(count) + directory


FLOODS = {
    "jpeg fill": JPEG[:2] + b"\xff" * SIZE + JPEG[2:],
    "jpeg strays": JPEG[:20] + b"\0" * SIZE + JPEG[20:],
    "jpeg comments": JPEG[:2] + b"\xff\xfe\0\2" * (SIZE // 4) + JPEG[2:],
    "jpeg application": JPEG[:2] + b"\xff\xe5\0\2" * (SIZE // 4) + JPEG[2:],
    "jpeg exif": JPEG[:2] + b"\xff\xe1\0\x08Exif\0\0" * (SIZE // 10) + JPEG[2:],
    "jpeg exif of some length": JPEG[:2] + (b"\xff\xe1\x20\0Exif\0\0" + bytes(0x2000 - 8)) * 40 + JPEG[2:],
    "jpeg tables": JPEG[:2] + b"\xff\xdb\0\2" * (SIZE // 4) + JPEG[2:],
    "png empty pixels": PNG[:HEAD] + chunk(b"IDAT", b"") * (SIZE // 12) + PNG[HEAD:],
    "png private": PNG[:HEAD] + chunk(b"xxXx", b"") * (SIZE // 12) + PNG[HEAD:],
    "png private after": PNG[:-12] + chunk(b"xxXx", b"") * (SIZE // 12) + PNG[-12:],
    "png texts": PNG[:HEAD] + chunk(b"tEXt", b"a\0b") * (SIZE // 15) + PNG[HEAD:],
    "gif comments": GIF + b"!\xfe\0" * (SIZE // 3) + PICTURE,
    "gif comments of one letter": GIF + b"!\xfe\1a\0" * (SIZE // 5) + PICTURE,
    "gif one comment": GIF + b"!\xfe" + b"\1a" * (SIZE // 2) + b"\0" + PICTURE,
    "gif controls": GIF + b"!\xf9\4\0\0\0\0\0" * (SIZE // 8) + PICTURE,
    "gif strays": GIF + b"\1" * SIZE + PICTURE,
    "pnm comment": b"P6\n#" + b"a" * SIZE + b"\n1 1 255\nabc",
    "pnm blanks": b"P6\n" + b" " * SIZE + b"1 1 255\nabc",
    "pnm comments": b"P6\n" + b"#\n" * (SIZE // 2) + b"1 1 255\nabc",
    "pnm late blanks": b"P5 1 1" + b" " * SIZE + b"255\na",
    "webp chunks": WEBP[:12] + b"abcd\0\0\0\0" * (SIZE // 8) + WEBP[12:],
    "tiff tags of the same bytes": tags(2000),
    "tiff tags of fractions": b"II*\0" + struct.pack("<IH", 8, 1)
    + struct.pack("<HHII", 282, 5, 20_000, 22) + bytes(160_004),
    "exif tags of the same bytes": JPEG[:2] + b"\xff\xe1\xff\xf0Exif\0\0"
    + (b"II*\0" + struct.pack("<IH", 8, 999) + struct.pack("<HHII", 9, 1, 60_000, 8) * 999).ljust(65_512)
    + JPEG[2:],
}  # fmt: skip


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_refused_before_a_decoder_sees_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*given: object, **more: object) -> None:
        raise AssertionError("a decoder saw it")

    monkeypatch.setattr(Image, "open", never)
    with pytest.raises(
        UnreadableError, match=r"has (more than|a header of|tags of).* as no program writes it"
    ):
        decode(FLOODS[name])


def test_a_flood_takes_less_than_twice_its_size() -> None:
    for data in FLOODS.values():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(UnreadableError):
            decode(data)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before <= 2 * SIZE // 1024


def test_ordinary_headers_pass() -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    exif[0x010E] = "a description " * 400
    for data in (
        JPEG[:2] + b"\xff" * 100 + JPEG[2:],
        JPEG[:2] + b"\xff\xfe\0\x0bcomment.." * 50 + JPEG[2:],
        JPEG[:2] + (b"\xff\xed\xff\xff" + bytes(0xFFFD)) * 80 + JPEG[2:],
        saved("JPEG", exif=exif),
        PNG[:HEAD] + chunk(b"tEXt", b"a\0b") * 500 + PNG[HEAD:],
        saved("PNG", exif=exif),
        saved("TIFF"),
        saved("TIFF", compression="tiff_lzw", exif=exif),
        saved("GIF", comment=b"c" * 20_000),
        b"P6\n# by hand\n#\n 8 8\n# and\n255\n" + bytes(192),
        b"P6\n" + b"# long\n" * 9000 + b"8 8 255\n" + bytes(192),
        b"P4 8 1\n\0",
        b"P5\n600 600\n255\n" + bytes(360_000),
        b"P4 1000 1000\n" + bytes(125_000),
        b"Pf 200 200 -1.0\n" + bytes(160_000),
    ):
        assert decode(data).shape[2] == 3


def test_pixels_of_a_png_agree_with_their_checksum() -> None:
    """libpng refuses such a file too; Pillow looks at the checksums of all chunks but these."""
    at = PNG.index(b"IDAT")
    length = int.from_bytes(PNG[at - 4 : at], "big")
    wrong = bytearray(PNG)
    wrong[at + 4 + length] ^= 1
    with pytest.raises(UnreadableError, match=r"damaged or cut off .*checksum"):
        decode(bytes(wrong))
    parts = [PNG[at + 4 + i : min(at + 4 + i + 9, at + 4 + length)] for i in range(0, length, 9)]
    many = PNG[: at - 4] + b"".join(chunk(b"IDAT", part) for part in parts) + PNG[at + 8 + length :]
    np.testing.assert_array_equal(decode(many), PIXELS)


def test_a_cache_of_before_is_not_read_where_checksums_are_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.roll(PIXELS, i, axis=0) // (1 + (name == "b"))).save(
                tmp_path / "pets" / name / f"{i}.png"
            )
    spoilt = tmp_path / "pets" / "a" / "0.png"
    data = bytearray(spoilt.read_bytes())
    data[-13] ^= 1  # of the checksum of the pixels, which end before the twelve bytes of IEND
    spoilt.write_bytes(data)
    listing = open_own(tmp_path / "pets").listing
    preprocess = Preprocess(size=(8, 8))
    with monkeypatch.context() as before:
        before.setattr(header, "require_lean", lambda kind, data: None)
        old = picture_cache.decoded(listing, preprocess)
    assert len(old.rows) == 6
    index = picture_cache._index(old.path)
    document = json.loads(index.read_text())
    del document["body"]["checked"]
    document["sha256"] = picture_cache._check(document["body"])
    index.write_text(json.dumps(document))
    new = picture_cache.decoded(listing, preprocess)
    assert [one.path for one in new.skipped] == ["a/0.png"]
    assert picture_cache.decoded(listing, preprocess).checked


@pytest.mark.parametrize("ground", [255, 0])
def test_around_the_first_frame_of_a_gif_is_the_ground(ground: int) -> None:
    """As browsers show it; decoders without a thought give the first colour of the palette there."""
    red_and_blue = b"\xff\0\0\0\0\xff"
    data = b"GIF89a\4\0\3\0\x80\0\0" + red_and_blue + b",\1\0\1\0\1\0\1\0\0\2\2L\1\0;"
    pixels = decode(data, wanted=Preprocess(ground=ground))
    expected = np.full((3, 4, 3), ground, np.uint8)
    expected[1, 1] = (0, 0, 255)
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_orientation_stands_in_exif_or_else_in_xmp(kind: str) -> None:
    tall = np.zeros((16, 32, 3), np.uint8)
    said = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    picture = Image.fromarray(tall)

    def made(**more: object) -> bytes:
        out = io.BytesIO()
        picture.save(out, kind, **more)
        return out.getvalue()

    if kind == "PNG":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", said.decode())
        xmp = {"pnginfo": info}
    else:
        xmp = {"xmp": said}
    exif = Image.Exif()
    exif[0x0112] = 3
    assert decode(made()).shape == (16, 32, 3)
    assert decode(made(**xmp)).shape == (32, 16, 3)
    assert decode(made(exif=exif, **xmp)).shape == (16, 32, 3)
