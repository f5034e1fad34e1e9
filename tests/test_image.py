"""The decoder against NumPy references, files that are cut, disguised or hostile, and time and memory."""

from __future__ import annotations

import contextlib
import io
import os
import random
import resource
import struct
import subprocess
import sys
import threading
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFile

from neocog.errors import UnreadableError
from neocog.pictures import decode as decode_module
from neocog.pictures.decode import PICTURE_SUFFIXES, decode

H, W = 13, 21


def noise(*shape: int, top: int = 256, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top, shape).astype(dtype)


def smooth(height: int = 48, width: int = 64) -> np.ndarray:
    """A picture that JPEG keeps well."""
    r, c = np.mgrid[0:height, 0:width]
    return np.stack([255 * r / height, 255 * c / width, 127 + 100 * np.sin(r / 9 + c / 11)], axis=2).astype(
        np.uint8
    )


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    if "append_images" in options:  # copies, because Pillow leaves JPEG settings behind in what it saved
        options["append_images"] = [frame.copy() for frame in options["append_images"]]  # type: ignore[attr-defined]
    picture.copy().save(buffer, kind, **options)
    return buffer.getvalue()


def png(
    samples: np.ndarray, depth: int, colour: int, extra: bytes = b"", orientation: int | None = None
) -> bytes:
    """A PNG written by hand from (H, W) or (H, W, C) samples, for the kinds that Pillow cannot write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = samples.shape[:2]
    rows = samples.reshape(height, -1)
    if depth == 16:
        lines = [row.astype(">u2").tobytes() for row in rows]
    else:
        bits = ((rows[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1).reshape(height, -1).astype(np.uint8)
        lines = [np.packbits(row).tobytes() for row in bits]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    exif = chunk(b"eXIf", exif_bytes(orientation)[6:]) if orientation else b""
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + line for line in lines)))
    named = chunk(extra[:4], extra[4:]) if extra else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + exif + named + body + chunk(b"IEND", b"")


def exif_bytes(orientation: int) -> bytes:
    return b"Exif\0\0" + b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x0112, 3, 1, orientation, 0)


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """EXIF 2.3, tag 0x0112, by its words: which side of the scene the stored row 0 and column 0 are."""
    h, w = stored.shape[:2]
    shape = (h, w) if orientation < 5 else (w, h)
    out = np.empty((*shape, 3), np.uint8)
    for i in range(h):
        for j in range(w):
            row, column = {
                1: (i, j),
                2: (i, w - 1 - j),
                3: (h - 1 - i, w - 1 - j),
                4: (h - 1 - i, j),
                5: (j, i),
                6: (j, h - 1 - i),
                7: (w - 1 - j, h - 1 - i),
                8: (w - 1 - j, i),
            }[orientation]
            out[row, column] = stored[i, j]
    return out


def grey3(values: np.ndarray) -> np.ndarray:
    return np.stack([values] * 3, axis=2).astype(np.uint8)


def on_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    a = alpha.astype(float)[..., None] / 255
    return np.rint(rgb * a + 255 * (1 - a)).astype(np.uint8)


Saver = Callable[[int], bytes]


def lossless_cells() -> Iterator[tuple[str, Saver, np.ndarray]]:
    """(name, orientation -> bytes, upright reference at orientation 1)."""
    rgb, alpha, grey = noise(H, W, 3), noise(H, W, seed=1), noise(H, W, seed=2)
    bits, wide = noise(H, W, top=2, seed=3), noise(H, W, top=65536, dtype=np.uint16, seed=4)
    wide3, wide_alpha = (
        noise(H, W, 3, top=65536, dtype=np.uint16, seed=5),
        noise(H, W, top=65536, dtype=np.uint16),
    )
    palette, index = noise(256, 3, seed=6), noise(H, W, top=7, seed=7)

    def by_hand(samples: np.ndarray, depth: int, colour: int, extra: bytes = b"") -> Saver:
        return lambda k: png(samples, depth, colour, extra, k)

    table = b"PLTE" + palette[:16].tobytes()
    yield "png 1", by_hand(bits, 1, 0), grey3(bits * 255)
    yield "png 2", by_hand(index % 4, 2, 0), grey3(index % 4 * 85)
    yield "png 4", by_hand(index, 4, 0), grey3(index * 17)
    yield "png L", by_hand(grey, 8, 0), grey3(grey)
    yield "png I;16", by_hand(wide, 16, 0), grey3(wide // 256)
    yield "png RGB", by_hand(rgb, 8, 2), rgb
    yield "png RGB16", by_hand(wide3, 16, 2), (wide3 // 256).astype(np.uint8)
    yield "png P", by_hand(index, 8, 3, table), palette[index]
    yield "png P4", by_hand(index, 4, 3, table), palette[index]
    yield "png LA", by_hand(np.stack([grey, alpha], 2), 8, 4), on_white(grey3(grey), alpha)
    both = np.stack([wide, wide_alpha], 2)
    yield "png LA16", by_hand(both, 16, 4), on_white(grey3(wide // 256), wide_alpha // 256)
    yield "png RGBA", by_hand(np.dstack([rgb, alpha]), 8, 6), on_white(rgb, alpha)
    four = np.dstack([wide3, wide_alpha])
    yield "png RGBA16", by_hand(four, 16, 6), on_white(wide3 // 256, wide_alpha // 256)
    # One colour declared transparent, in the file's own sample depth.
    for name, samples, depth, full in (
        ("1", bits, 1, grey3(bits * 255)),
        ("2", index % 4, 2, grey3(index % 4 * 85)),
        ("4", index, 4, grey3(index * 17)),
        ("L", grey, 8, grey3(grey)),
        ("16", wide, 16, grey3(wide // 256)),
    ):
        key = int(samples[3, 4])
        reference = np.where((samples == key)[..., None], 255, full).astype(np.uint8)
        yield f"png {name} key", by_hand(samples, depth, 0, b"tRNS" + struct.pack(">H", key)), reference
    for name, samples, depth in (("RGB", rgb, 8), ("RGB16", wide3, 16)):
        reference = (samples if depth == 8 else samples // 256).astype(np.uint8).copy()
        reference[3, 4] = 255
        key3 = b"tRNS" + struct.pack(">HHH", *samples[3, 4].tolist())
        yield f"png {name} key", by_hand(samples, depth, 2, key3), reference

    tiff: dict[str, tuple[np.ndarray, np.ndarray]] = {
        "1": (bits.astype(bool), grey3(bits * 255)),
        "L": (grey, grey3(grey)),
        "LA": (np.stack([grey, alpha], 2), on_white(grey3(grey), alpha)),
        "RGB": (rgb, rgb),
        "RGBA": (np.dstack([rgb, alpha]), on_white(rgb, alpha)),
        "I;16": (wide, grey3(wide // 256)),
        "CMYK": (
            np.dstack([rgb, alpha]),
            np.rint((255 - rgb.astype(float)) * (255 - alpha[..., None]) / 255),
        ),
    }
    for mode, (samples, reference) in tiff.items():
        for compression in (None, "tiff_lzw", "tiff_adobe_deflate"):

            def tiff_bytes(
                k: int, samples: np.ndarray = samples, mode: str = mode, how: str | None = compression
            ) -> bytes:
                raw = np.packbits(samples, axis=1) if mode == "1" else samples
                picture = Image.frombytes(mode, (W, H), raw.tobytes())
                return saved(picture, "TIFF", compression=how, tiffinfo={274: k})

            yield f"tiff {mode} {compression}", tiff_bytes, reference.astype(np.uint8)
    for mode, (samples, reference) in {m: tiff[m] for m in ("RGB", "RGBA")}.items():

        def webp_bytes(k: int, samples: np.ndarray = samples) -> bytes:
            return saved(Image.fromarray(samples), "WEBP", lossless=True, exact=True, exif=exif_bytes(k))

        yield f"webp {mode}", webp_bytes, reference


@pytest.mark.parametrize(("name", "make", "reference"), [pytest.param(*c, id=c[0]) for c in lossless_cells()])
def test_lossless_pictures_exactly_in_all_eight_orientations(
    name: str, make: Saver, reference: np.ndarray
) -> None:
    for orientation in range(1, 9):
        pixels = decode(make(orientation))
        np.testing.assert_array_equal(
            pixels, upright(reference, orientation), err_msg=f"{name} {orientation}"
        )
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_within_a_few_levels_in_all_eight_orientations(mode: str, progressive: bool) -> None:
    picture = Image.fromarray(smooth()).convert(mode)
    reference = np.asarray(picture.convert("RGB"), dtype=int)
    for orientation in range(1, 9):
        data = saved(
            picture, "JPEG", quality=98, subsampling=0, progressive=progressive, exif=exif_bytes(orientation)
        )
        error = np.abs(decode(data).astype(int) - upright(reference, orientation))
        assert error.max() <= 12
        assert error.mean() < 1.5


def test_adobe_inverted_cmyk_is_not_a_negative() -> None:
    """Pillow writes Adobe's inverted CMYK: no ink must come back as white paper, full black ink as black."""
    paper = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    ink = Image.new("CMYK", (16, 16), (0, 0, 0, 255))
    assert b"Adobe" in saved(paper, "JPEG")
    assert decode(saved(paper, "JPEG")).min() >= 253
    assert decode(saved(ink, "JPEG")).max() <= 2


def test_formats_without_exif() -> None:
    rgb, grey, bits = noise(H, W, 3), noise(H, W), noise(H, W, top=2).astype(bool)
    for kind in ("BMP", "PPM"):
        np.testing.assert_array_equal(decode(saved(Image.fromarray(rgb), kind)), rgb)
        np.testing.assert_array_equal(decode(saved(Image.fromarray(grey), kind)), grey3(grey))
        np.testing.assert_array_equal(decode(saved(Image.fromarray(bits), kind)), grey3(bits * 255))
    np.testing.assert_array_equal(decode(saved(Image.fromarray(grey), "GIF")), grey3(grey))
    np.testing.assert_array_equal(
        decode(b"P3\n# by hand\n2 1\n255\n1 2 3  250 251 252\n"), [[[1, 2, 3], [250, 251, 252]]]
    )
    np.testing.assert_array_equal(decode(b"P1 3 1\n1 0 1\n"), grey3(np.array([[0, 255, 0]])))
    np.testing.assert_array_equal(decode(b"P5 2 1 65535\n\x00\xff\xff\x00"), grey3(np.array([[0, 255]])))
    np.testing.assert_array_equal(decode(b"P5 2 1 15\n\x00\x0f"), grey3(np.array([[0, 255]])))


def test_palette_with_transparency_lies_on_white() -> None:
    index = noise(H, W, top=3)
    palette = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    for alphas in ([0, 255, 255], [128, 0, 77]):
        data = png(index, 8, 3, b"PLTE" + palette.tobytes())
        at = data.index(b"IDAT") - 4
        trns = b"tRNS" + bytes(alphas)
        chunk = struct.pack(">I", 3) + trns + struct.pack(">I", zlib.crc32(trns))
        reference = on_white(palette[index], np.array(alphas, np.uint8)[index])
        np.testing.assert_array_equal(decode(data[:at] + chunk + data[at:]), reference)
    gif = Image.fromarray(index).convert("P")
    gif.putpalette(palette.tobytes())
    reference = palette[index].copy()
    reference[index == 1] = 255
    np.testing.assert_array_equal(decode(saved(gif, "GIF", transparency=1)), reference)


# the research page's traps


def test_a_16_bit_ramp_keeps_all_its_levels() -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for data in (png(ramp, 16, 0), saved(Image.fromarray(ramp), "PNG"), saved(Image.fromarray(ramp), "TIFF")):
        np.testing.assert_array_equal(decode(data), grey3(ramp >> 8))


def test_transparent_red_becomes_white() -> None:
    assert (decode(saved(Image.new("RGBA", (4, 3), (255, 0, 0, 0)), "PNG")) == 255).all()


def test_orientation_6_stands_upright() -> None:
    data = saved(Image.new("RGB", (40, 20)), "JPEG", exif=exif_bytes(6))
    assert decode(data).shape == (40, 20, 3)


@pytest.mark.parametrize(
    "exif",
    [exif_bytes(0), exif_bytes(9), exif_bytes(65535), b"Exif\0\0junk", b"Exif\0\0II*\0\xff\xff\xff\xff"],
)
def test_invalid_exif_is_ignored(exif: bytes) -> None:
    pixels = smooth()
    for kind in ("JPEG", "PNG", "WEBP"):
        assert decode(saved(Image.fromarray(pixels), kind, exif=exif)).shape == pixels.shape


def test_32_bit_tiffs_are_stretched_and_not_finite_ones_refused() -> None:
    values = np.linspace(-3, 7, H * W, dtype=np.float32).reshape(H, W)
    expected = np.rint((values.astype(float) + 3) / 10 * 255)
    assert np.abs(decode(saved(Image.fromarray(values), "TIFF"))[:, :, 0] - expected).max() <= 1
    whole = (np.arange(H * W, dtype=np.int32) * 100_000 - 7).reshape(H, W)
    expected = np.rint(255 * ((whole + 7) / (whole.max() + 7)))
    np.testing.assert_array_equal(decode(saved(Image.fromarray(whole), "TIFF"))[:, :, 1], expected)
    assert (decode(saved(Image.fromarray(np.full((3, 3), 5.0, np.float32)), "TIFF")) == 0).all()
    huge = np.array([[-3e38, 3e38]], np.float32)
    np.testing.assert_array_equal(decode(saved(Image.fromarray(huge), "TIFF"))[0, :, 0], [0, 255])
    for bad in (np.nan, np.inf, -np.inf):
        values[2, 2] = bad
        with pytest.raises(UnreadableError, match="not finite"):
            decode(saved(Image.fromarray(values), "TIFF"))


def bomb_png(width: int = 13_000, height: int = 13_000) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(9)
    line = b"\0" * (1 + (width + 7) // 8)
    body = b"".join(packer.compress(line * 100) for _ in range(height // 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The formats of all pictures whose pixels Pillow was told to decode."""
    seen: list[str] = []
    load = ImageFile.ImageFile.load

    def counted(self: ImageFile.ImageFile) -> object:
        seen.append(str(self.format))
        return load(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counted)
    return seen


def test_bombs_are_refused_from_the_header(loads: list[str]) -> None:
    vp8x = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + (12_999).to_bytes(3, "little") * 2
    sof = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, 60_000, 60_000, 1) + b"\1\x11\0"
    bombs = {
        "png": bomb_png(),
        "png over Pillow's own limit": bomb_png(40_000, 40_000),
        "gif": b"GIF89a"
        + struct.pack("<HH", 60_000, 60_000)
        + b"\0\0\0,\0\0\0\0"
        + struct.pack("<HH", 60_000, 60_000)
        + b"\0\x08",
        "bmp": b"BM" + struct.pack("<IIIIiiHHIIIIII", 60, 0, 54, 40, 20_000, 20_000, 1, 24, 0, 0, 0, 0, 0, 0),
        "jpeg": b"\xff\xd8" + sof + b"\xff\xda\0\x08\1\1\0\0\x3f\0",
        "ppm": b"P6 20000 20000 255\n",
        "tiff": b"II*\0\x08\0\0\0"
        + struct.pack("<H", 6)
        + b"".join(
            struct.pack("<HHII", t, 4, 1, v)
            for t, v in ((256, 30_000), (257, 30_000), (258, 8), (259, 1), (262, 1), (273, 8))
        )
        + b"\0\0\0\0",
        "webp": b"RIFF" + struct.pack("<I", 4 + len(vp8x)) + b"WEBP" + vp8x,
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, data in bombs.items():
        with pytest.raises(UnreadableError, match=r"^<bytes>: .*; "):
            decode(data)
        assert loads == [], name
    with pytest.raises(UnreadableError, match="more than 30,000,000"):
        decode(bombs["png"])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # kilobytes


def test_the_pixel_ceiling_is_exact() -> None:
    data = saved(Image.new("L", (50, 20)), "PNG")
    assert decode(data, max_pixels=1000).shape == (20, 50, 3)
    with pytest.raises(UnreadableError, match="50x20 pixels"):
        decode(data, max_pixels=999)


def test_a_jpeg_of_thousands_of_scans_is_refused(loads: list[str]) -> None:
    data = saved(Image.new("L", (3000, 3000)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(UnreadableError, match="too many scans"):
        decode(data[:-2] + data[last:-2] * 2000 + data[-2:])
    assert loads == []
    assert decode(data + b"\xff\xda\0\2" * 5000).shape == (
        3000,
        3000,
        3,
    )  # what follows the end does not count


def seeds() -> dict[str, bytes]:
    """Small pictures of every format and most of its kinds."""
    rgb = Image.fromarray(smooth())
    noisy, grey = Image.fromarray(noise(H, W, 3)), Image.fromarray(noise(H, W))
    rgba = Image.fromarray(np.dstack([smooth(), noise(48, 64)]))
    wide = Image.fromarray(noise(H, W, top=65536, dtype=np.uint16))
    frames = [Image.fromarray(noise(H, W, 3, seed=s)) for s in range(3)]
    more = {"save_all": True, "append_images": frames[1:]}
    found = {
        "jpeg": saved(rgb, "JPEG"),
        "jpeg progressive": saved(rgb, "JPEG", progressive=True, exif=exif_bytes(6)),
        "jpeg grey": saved(grey, "JPEG"),
        "jpeg cmyk": saved(rgb.convert("CMYK"), "JPEG"),
        "mpo": saved(frames[0], "MPO", **more),
        "png": saved(rgb, "PNG", exif=exif_bytes(3)),
        "png rgba": saved(rgba, "PNG"),
        "png palette": saved(rgb.convert("P", palette=Image.Palette.ADAPTIVE), "PNG", transparency=2),
        "png 16": saved(wide, "PNG"),
        "png 1": saved(rgb.convert("1"), "PNG"),
        "png key": png(noise(H, W, 3), 8, 2, b"tRNS" + bytes(6)),
        "apng": saved(frames[0], "PNG", **more),
        "gif": saved(rgb, "GIF"),
        "gif transparent": saved(rgb.convert("P"), "GIF", transparency=5),
        "gif animated": saved(frames[0], "GIF", **more),
        "bmp": saved(noisy, "BMP"),
        "bmp palette": saved(grey.convert("P"), "BMP"),
        "bmp 1": saved(rgb.convert("1"), "BMP"),
        "bmp rle": rle_bmp(),
        "webp": saved(rgb, "WEBP"),
        "webp lossless": saved(rgba, "WEBP", lossless=True, exif=exif_bytes(8)),
        "webp alpha": saved(rgba, "WEBP"),
        "webp animated": saved(frames[0], "WEBP", **more),
        "ppm": saved(noisy, "PPM"),
        "pgm 16": b"P5 4 2 65535\n" + bytes(range(16)),
        "ppm odd maximum": b"P6 2 2 100\n" + bytes(range(12)),
        "ppm plain": b"P3 2 2 255\n" + b" ".join(b"%d" % v for v in range(12)) + b"\n",
        "pbm plain": b"P1 4 2\n" + b"1 0 1 1 0 0 0 1\n",
        "pfm": b"Pf\n2 2\n-1.0\n" + struct.pack("<4f", 0, 1, 2, 3),
        "tiff float": saved(
            Image.fromarray(np.linspace(0, 1, H * W, dtype=np.float32).reshape(H, W)), "TIFF"
        ),
        "tiff int": saved(Image.fromarray(np.arange(H * W, dtype=np.int32).reshape(H, W)), "TIFF"),
        "tiff pages": saved(frames[0], "TIFF", **more),
        "tiff cmyk": saved(rgb.convert("CMYK"), "TIFF", tiffinfo={274: 5}),
        "tiff ycbcr": saved(rgb.convert("YCbCr"), "TIFF"),
        "tiff lab": saved(rgb.convert("RGB"), "TIFF", compression="packbits"),
    }
    for how in (None, "tiff_lzw", "tiff_adobe_deflate", "jpeg"):
        found[f"tiff {how}"] = saved(rgb, "TIFF", compression=how)
    for how in ("group3", "group4", "tiff_ccitt"):
        found[f"tiff {how}"] = saved(rgb.convert("1"), "TIFF", compression=how)
    found["tiff 16"] = saved(wide, "TIFF", compression="tiff_lzw")
    found["tiff rgba"] = saved(rgba, "TIFF", compression="tiff_adobe_deflate")
    return found


def rle_bmp() -> bytes:
    """An 8-bit run-length BMP of 6x2: a run of six, then three literal pixels and a run of three."""
    body = b"\x06\x01\x00\x00" + b"\x00\x03\x02\x01\x02\x00\x03\x02" + b"\x00\x01"
    palette = b"".join(bytes((v, v, v, 0)) for v in range(256))
    offset = 14 + 40 + len(palette)
    head = b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset)
    return head + struct.pack("<IiiHHIIiiII", 40, 6, 2, 1, 8, 1, len(body), 0, 0, 256, 0) + palette + body


SEEDS = seeds()


def test_every_seed_decodes() -> None:
    for name, data in SEEDS.items():
        assert decode(data).shape[2] == 3, name
    np.testing.assert_array_equal(decode(SEEDS["bmp rle"])[:, :, 0], [[2, 1, 2, 2, 2, 2], [1] * 6])


def one_line(error: UnreadableError) -> bool:
    text = str(error)
    assert text.startswith("<bytes>: "), text
    assert "; " in text
    assert "\n" not in text
    assert len(text) < 300
    return True


# The end of a plain number cannot be told from a shorter number.
@pytest.mark.parametrize("name", [name for name in SEEDS if name != "ppm plain"])
def test_a_cut_picture_is_refused_or_the_same(name: str) -> None:
    data = SEEDS[name]
    whole = decode(data)
    places = (
        range(len(data))
        if len(data) < 400
        else sorted({len(data) * i // 200 for i in range(200)} | {len(data) - i for i in range(1, 40)})
    )
    refused = 0
    for cut in places:
        try:
            pixels = decode(data[:cut])
        except UnreadableError as error:
            refused += one_line(error)
        else:
            np.testing.assert_array_equal(pixels, whole, err_msg=f"{name} cut at {cut} of {len(data)}")
    assert refused > len(places) // 4
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"\0", "not a picture"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "is a PDF, not a picture"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is an HTML page, not a picture"),
        (b"\n<html>", "is an HTML page, not a picture"),
        (
            b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
            "is an SVG drawing, not a picture",
        ),
        (b"<svg width='1'/>", "is an SVG drawing, not a picture"),
        (b"<?xml version='1.0'?><a/>", "is an XML document, not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is a PostScript file, not a picture"),
        (b"8BPS\0\1", "is a Photoshop file, not a picture"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "is a camera's raw file, not a picture"),
        (b"\xff\x0a\xfa\x1f", "is a JPEG XL file, not a picture"),
        (b"v/1\1\2\0\0\0", "is an OpenEXR file, not a picture"),
        (bytes(128) + b"DICM\2\0", "is a DICOM file, not a picture"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "damaged or cut off"),
        (b"\0\0\0\x1cftypisom\0\0\0\0", "is a video, not a picture"),
        (b"PK\3\4abcd", "is an archive, not a picture"),
        (b"\0\0\1\0\1\0", "is an icon file, not a picture"),
        (b"SIMPLE  =                    T", "is a FITS file, not a picture"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer, not a picture"),
        (b"hello, this is only text\n", "is a text file, not a picture"),
        (b"\x89PNG\r\n\x1a\n", "damaged or cut off"),
        (b"\xff\xd8\xff", "damaged or cut off"),
        (b"GIF89a", "damaged or cut off"),
        (b"BM", "damaged or cut off"),
    ],
)
def test_masquerades_are_named(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableError) as caught:
        decode(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert what in str(caught.value)
    assert "; " in str(caught.value)


def test_content_counts_and_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    for name, data in SEEDS.items():
        path.write_bytes(data)
        np.testing.assert_array_equal(decode(path), decode(data), err_msg=name)
        assert path.read_bytes() == data


def test_files_that_are_not_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is opened, so none is waited for."""
    fifo = tmp_path / "a.jpg"
    os.mkfifo(fifo)
    opened: list[object] = []
    real = os.open

    def noted(path: object, *given: object, **named: object) -> int:
        opened.append(path)
        return real(path, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", noted)
    for path, what in (
        (fifo, "is a pipe, socket or device"),
        (Path("/dev/zero"), "is a pipe, socket or device"),
        (tmp_path, "is a folder"),
        (tmp_path / "none.png", "does not exist"),
        (tmp_path / ("x" * 300), "cannot be read"),
        (Path("a\0b"), "cannot be read"),
    ):
        with pytest.raises(UnreadableError, match=what):
            decode(path)
    assert opened == []
    (tmp_path / "a.png").write_bytes(SEEDS["png"])
    decode(tmp_path / "a.png")
    assert opened == [tmp_path / "a.png"]


def test_a_file_over_the_size_cap_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate((256 << 20) + 1)
    with pytest.raises(UnreadableError, match="more than 256 MiB"):
        decode(path)


def test_first_frame_without_touching_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = noise(H, W, seed=1), noise(H, W, seed=2)
    for kind in ("GIF", "PNG", "TIFF"):
        data = saved(Image.fromarray(first), kind, save_all=True, append_images=[Image.fromarray(other)])
        np.testing.assert_array_equal(decode(data), grey3(first), err_msg=kind)
    one = saved(Image.fromarray(noise(8, 8)), "GIF")
    frame = one[one.index(b",", 13 + 3 * 2 ** ((one[10] & 7) + 1)) : -1]
    data = one[:-1] + frame * 10_000 + b";"
    read_bytes: list[int] = []

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            found = super().read(size)
            read_bytes.append(len(found))
            return found

    monkeypatch.setattr(decode_module, "io", SimpleNamespace(BytesIO=Counting))
    decode(data)
    assert len(one) / 2 < sum(read_bytes) < 2 * len(one) + ImageFile.MAXBLOCK < len(data) / 4


def test_no_warning_escapes_and_filters_are_restored() -> None:
    """Damaged TIFFs make Pillow warn; threads decode at once. Warnings are errors in this suite."""
    tiff = bytearray(SEEDS["tiff cmyk"])
    noisy = []
    for at in range(8, len(tiff), 97):
        broken = tiff.copy()
        broken[at] ^= 0xFF
        noisy.append(bytes(broken))
    noisy += [bytes(tiff[:-cut]) for cut in range(1, 60)]
    before = list(warnings.filters)
    escaped: list[BaseException] = []

    def work() -> None:
        for data in noisy:
            try:
                decode(data)
            except UnreadableError:
                pass
            except BaseException as error:
                escaped.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert escaped == []
    assert warnings.filters == before


def test_libtiff_does_not_print(capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("tiff group4", "tiff tiff_adobe_deflate", "tiff jpeg"):
        data = bytearray(SEEDS[name])
        for at in range(8, len(data), 5):
            data[at] ^= 0x55
            with contextlib.suppress(UnreadableError):
                decode(bytes(data))
    assert capfd.readouterr() == ("", "")


def test_dangerous_plugins_are_never_imported() -> None:
    code = (
        "import sys, io; from PIL import Image; from neocog.pictures.decode import decode\n"
        f"for data in ({SEEDS['webp']!r}, {SEEDS['tiff float']!r}, {SEEDS['png 1']!r}, b'%!PS'):\n"
        "    try: decode(data)\n"
        "    except Exception as e: print(type(e).__name__)\n"
        "bad = [m for m in sys.modules if m[:7] in ('PIL.Eps', 'PIL.Psd', 'PIL.Fit', 'PIL.Wmf')]\n"
        "print(bad, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["UnreadableError", "[] False"]


def test_extreme_sides() -> None:
    for size in ((1, 1), (1, 20_000), (20_000, 1)):
        assert decode(saved(Image.new("L", size), "PNG")).shape == (size[1], size[0], 3)
    for data in (b"P6 0 4 255\n", b"GIF89a" + bytes(4) + b"\0\0\0,\0\0\0\0\0\0\0\0\0\x02\x00;"):
        with pytest.raises(UnreadableError):
            decode(data)


def test_suffixes() -> None:
    assert {
        ".jpg",
        ".jpeg",
        ".jfif",
        ".png",
        ".gif",
        ".bmp",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
    } <= PICTURE_SUFFIXES
    assert all(s == s.lower() and s.startswith(".") for s in PICTURE_SUFFIXES)


def test_memory_of_a_decode_is_a_few_times_its_pixels() -> None:
    data = saved(Image.new("RGB", (2000, 1000), "red"), "PNG")
    tracemalloc.start()
    decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 2000 * 1000 * 3


# mutated files


def mutated(chance: random.Random, pool: list[bytes]) -> bytes:
    """A seed with flips, cuts, insertions and splices, one to six of them."""
    data = bytearray(chance.choice(pool))
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        if not data:
            break
        at = chance.randrange(len(data))
        match chance.randrange(7):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
            case 2:
                del data[at:]
            case 3:
                data[at:at] = chance.randbytes(chance.randrange(1, 40))
            case 4:
                other = chance.choice(pool)
                start = chance.randrange(len(other))
                data[at : at + chance.randrange(64)] = other[start : start + chance.randrange(200)]
            case 5:
                del data[at : at + chance.randrange(1, 30)]
            case _:
                head = chance.randrange(min(len(data), 96))
                data[head : head + 4] = chance.choice(
                    (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\1\0")
                )
    return bytes(data)


def battery(rounds: int, seed: int) -> int:
    """How many of so many mutated pictures can be decoded."""
    chance = random.Random(seed)
    pool = list(SEEDS.values())
    opened = 0
    for _ in range(rounds):
        data = mutated(chance, pool)
        try:
            pixels = decode(data)
        except UnreadableError as error:
            one_line(error)
        else:
            opened += 1
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 3
    return opened


def test_mutated_pictures_briefly() -> None:
    opened = battery(1500, seed=7)
    assert 100 < opened < 1450


@pytest.mark.slow
def test_twenty_thousand_mutated_pictures() -> None:
    seed = int(os.environ.get("NEOCOG_FUZZ_SEED", "20240917"))
    print(f"seed {seed}")
    battery(200, seed=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    opened = battery(20_000, seed)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{opened} decoded, memory grew by {grown >> 10} MiB")
    assert opened > 1000
    assert grown < 512 << 10
