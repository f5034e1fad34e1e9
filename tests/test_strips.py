"""TIFF, strip by strip: sound files of every kind that is written pass, holes are seen."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from test_jpeg import refused

from neocog.pictures import strips
from neocog.pictures.decode import decode

FAX = {
    "lines": ("tiff_ccitt", {}),
    "group 3": ("group3", {}),
    "group 3, two dimensions": ("group3", {292: 1}),
    "group 3, filled": ("group3", {292: 5}),
    "group 4": ("group4", {}),
    "group 4, strips of 32": ("group4", {278: 32}),
    "group 4, mirrored bytes": ("group4", {266: 2}),
}
COLOURS = {
    "deflate": ("tiff_adobe_deflate", {}),
    "old deflate": ("tiff_deflate", {}),
    "deflate, differences": ("tiff_adobe_deflate", {317: 2}),
    "deflate, strips of 7": ("tiff_adobe_deflate", {278: 7}),
    "packbits": ("packbits", {}),
    "packbits, strips of 7": ("packbits", {278: 7}),
    "lzw": ("tiff_lzw", {}),
}
KINDS = {**FAX, **COLOURS}


def photo(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width] / 30
    draws = np.random.default_rng(width)
    levels = 128 + 90 * np.stack([np.sin(x + y), np.sin(2 * x - y), np.sin(x * y)], 2)
    return Image.fromarray(np.clip(levels + draws.normal(0, 9, levels.shape), 0, 255).astype(np.uint8))


def saved(picture: Image.Image, kind: str) -> bytes:
    packed, tags = KINDS[kind]
    data = io.BytesIO()
    picture.convert("1" if kind in FAX else picture.mode).save(
        data, "TIFF", compression=packed, tiffinfo=tags
    )
    return data.getvalue()


def made(pixels: np.ndarray, packing: int, parts: list[bytes], order: str = "<", **more: int) -> bytes:
    """A TIFF of uint8 (H, W, C) whose strips, or tiles, are `parts`."""
    height, width, bands = pixels.shape
    tags = {
        256: [width],
        257: [height],
        258: [8] * bands,
        259: [packing],
        262: [2 if bands == 3 else 1],
        277: [bands],
    }
    tags.update({int(tag.removeprefix("tag")): [value] for tag, value in more.items()})
    starts = [8 + sum(map(len, parts[:number])) for number in range(len(parts))]
    where, sizes = (324, 325) if "tag322" in more else (273, 279)
    tags.update({where: starts, sizes: [len(part) for part in parts]})
    body = b"".join(parts)
    directory, rest = b"", b""
    at = 8 + len(body)
    after = at + 2 + 12 * len(tags) + 4
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        value = packed if len(packed) == 4 else struct.pack(f"{order}I", after + len(rest))
        rest += packed if len(packed) > 4 else b""
        directory += struct.pack(f"{order}HHI", tag, 4, len(values)) + value
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, at)
    return head + body + struct.pack(f"{order}H", len(tags)) + directory + bytes(4) + rest


@pytest.mark.parametrize("kind", KINDS)
def test_sound_files_pass(kind: str) -> None:
    for width, height in ((1, 1), (7, 3), (63, 40), (126, 33), (127, 64), (253, 190)):
        data = saved(photo(width, height), kind)
        with Image.open(io.BytesIO(data)) as picture:
            assert (decode(data) == np.asarray(picture.convert("RGB"))).all(), (width, height)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "I;16", "F"])
def test_sound_files_of_other_samples_pass(mode: str) -> None:
    grey = photo(90, 50).convert("L")
    values = np.asarray(grey)
    deep = {"I;16": Image.fromarray(values.astype(np.uint16) * 200), "F": grey.convert("F")}
    picture = deep[mode] if mode in deep else photo(90, 50).convert(mode)
    for kind in COLOURS:
        if not (mode == "P" and "differences" in kind):
            assert refused(saved(picture, kind)) == "", kind


@pytest.mark.parametrize("kind", KINDS)
def test_holes_are_refused(kind: str) -> None:
    """Of zeros, of ones, and moved bytes. In group 3 each line has a mark, so that a few may be spoiled."""
    data = saved(photo(333, 280), kind)
    whole = decode(data)
    spoiled = []
    places = range(400, len(data) - 1200, (len(data) - 1600) // 9)
    for at in places:
        for hole in (bytes(512), b"\xff" * 512, data[at + 200 : at + 600] + bytes(200)):
            bad = data[:at] + hole + data[at + len(hole) :]
            if said := refused(bad):
                assert "damaged" in said
            else:
                spoiled.append(float((decode(bad) != whole).any(2).mean()))
    if kind.startswith("group 3"):
        assert len(spoiled) < len(places), spoiled
        assert max(spoiled, default=0) < 0.02
    elif kind != "lzw":  # of which libtiff is asked alone
        assert spoiled == []


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packing", [8, 32773])
def test_tiles_and_planes(order: str, packing: int) -> None:
    pixels = np.asarray(photo(48, 32))

    def packed(block: np.ndarray) -> bytes:
        rows = block.reshape(len(block), -1)
        if packing == 8:
            return zlib.compress(rows.tobytes())
        return b"".join(  # literal runs of 24 bytes
            b"\x17" + bytes(row[at : at + 24]) for row in rows for at in range(0, len(row), 24)
        )

    tiles = [packed(pixels[y : y + 16, x : x + 16]) for y in (0, 16) for x in (0, 16, 32)]
    planes = [packed(pixels[y : y + 20, :, band]) for band in range(3) for y in (0, 20)]
    files = (
        (tiles, made(pixels, packing, tiles, order, tag322=16, tag323=16)),
        (planes, made(pixels, packing, planes, order, tag278=20, tag284=2)),
    )
    for parts, data in files:
        assert (decode(data) == pixels).all()
        begin = 8 + len(parts[0]) + 40
        assert "other than" in refused(data[:begin] + bytes(90) + data[begin + 90 :]) or packing == 8
        assert refused(data[:begin] + bytes(90) + data[begin + 90 :])


def test_what_is_left_out_or_too_much_and_harms_nothing() -> None:
    pixels = np.asarray(photo(20, 10))
    whole = zlib.compress(pixels.tobytes())
    more = zlib.compress(pixels.tobytes() + bytes(60))  # a last strip filled up with rows
    for part in (whole, whole[:-4], more, whole + b"\0\0"):
        assert (decode(made(pixels, 8, [part], tag278=10)) == pixels).all()
    wrong = whole[:-1] + bytes([whole[-1] ^ 1])
    assert "incorrect data check" in refused(made(pixels, 8, [wrong], tag278=10))
    literal = b"".join(b"\x3b" + bytes(row) for row in pixels.reshape(10, 60))
    for part in (literal, literal + b"\0", literal + b"\x80\x80"):
        assert (decode(made(pixels, 32773, [part], tag278=10)) == pixels).all()
    assert "packbits" in refused(made(pixels, 32773, [literal + b"\0\1"], tag278=10))


def test_a_fax_whose_end_is_not_marked() -> None:
    with Image.open(io.BytesIO(saved(photo(100, 60), "group 4"))) as picture:
        tags = dict(picture.tag_v2)
        data = saved(photo(100, 60), "group 4")[tags[273][0] :][: tags[279][0]]
    bits = "".join(f"{byte:08b}" for byte in data).rstrip("0").removesuffix("000000000001" * 2)
    unmarked = int(bits + "0" * (-len(bits) % 8), 2).to_bytes(-(-len(bits) // 8), "big")
    asked = {**tags, 273: (0,), 278: 60}
    strips.require_whole({**asked, 279: (len(unmarked),)}, unmarked)
    with pytest.raises(strips.Damaged, match="fax"):
        strips.require_whole({**asked, 279: (len(unmarked) - 9,)}, unmarked[:-9])


def test_a_flood_of_deflate_ends() -> None:
    flood = zlib.compress(bytes(50 << 20), 9)
    with pytest.raises(strips.Damaged, match="deflate"):
        strips.require_whole({256: 4, 257: 4, 258: (8,), 259: 8, 273: (0,), 279: (len(flood),)}, flood)


def test_parts_larger_than_the_picture_are_refused_before_they_are_decoded() -> None:
    """A few bytes of which a decoder makes gigabytes."""
    pixels = np.asarray(photo(16, 16))[:, :, :1]
    data = io.BytesIO()
    Image.fromarray(pixels[:, :, 0]).save(data, "JPEG")
    part = bytearray(data.getvalue())
    size = part.index(b"\xff\xc0") + 5
    assert refused(made(pixels, 7, [bytes(part)], tag278=16)) == ""
    part[size : size + 4] = struct.pack(">HH", 60_000, 60_000)
    assert "larger than the picture" in refused(made(pixels, 7, [bytes(part)], tag278=16))
    tiles = made(pixels, 5, [b"\x80\0"], tag322=30_000, tag323=30_000)
    assert "many times as large" in refused(tiles)


def test_parts_that_name_the_same_bytes_are_looked_at_a_few_times() -> None:
    tags = {256: 16, 257: 9000, 258: (8,), 259: 8, 278: 1}
    data = zlib.compress(bytes(16)) + np.random.default_rng(0).bytes(100_000)
    found = list(strips.parts({**tags, 273: (0,) * 9000, 279: (len(data),) * 9000}, data))
    assert len(found) == strips.TIMES


def test_what_libtiff_was_not_built_for_is_named() -> None:
    assert "TIFF of parts packed as WebP, which is not read" in refused(
        made(np.asarray(photo(8, 8)), 50001, [b"RIFF"], tag278=8)
    )
