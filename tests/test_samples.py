"""Pictures of more than 8 bits a sample, and pictures on transparency: the same in every container, and
noticed where little or nothing of them is seen.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import neocog
from neocog.errors import UsageError
from neocog.pictures.decode import Preprocess, decode, see
from neocog.pictures.samples import Used
from neocog.pictures.seen import Odds, remarks

RNG = np.random.default_rng(7)


def png(values: np.ndarray, colour: int) -> bytes:
    """A PNG of 16 bits a sample, (H, W, C), of PNG's kind of `colour`."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def tiff(values: np.ndarray, order: str, *, deflated: bool = False, extra: int | None = None) -> bytes:
    """A TIFF of 16 bits a sample, (H, W, C), byte order '<' or '>'."""
    height, width, bands = values.shape
    body = values.astype(f"{order}u2").tobytes()
    if deflated:
        body = zlib.compress(body)
    bits = struct.pack(f"{order}{bands}H", *[16] * bands)
    bits_at = 8 + len(body)
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, bands, bits_at), (259, 3, 1, 8 if deflated else 1),
        (262, 3, 1, 2 if bands >= 3 else 1), (273, 4, 1, 8), (277, 3, 1, bands), (278, 4, 1, height),
        (279, 4, 1, len(body)),
    ]  # fmt: skip
    if extra is not None:
        tags.append((338, 3, 1, extra))
    entries = b""
    for tag, kind, count, value in tags:
        short = kind == 3 and count == 1
        field = struct.pack(f"{order}HH", value, 0) if short else struct.pack(f"{order}I", value)
        if tag == 258 and bands <= 2:
            field = bits.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, kind, count) + field
    mark = b"II*\0" if order == "<" else b"MM\0*"
    at = bits_at + len(bits)
    directory = struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0)
    return mark + struct.pack(f"{order}I", at) + body + bits + directory


def pnm(values: np.ndarray) -> bytes:
    height, width, bands = values.shape
    return f"P{5 if bands == 1 else 6}\n{width} {height}\n65535\n".encode() + values.astype(">u2").tobytes()


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def opaque(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, np.full_like(values[..., :1], 65535)], axis=2)


GREY = RNG.integers(0, 256, (9, 7, 1))
COLOUR = RNG.integers(0, 256, (9, 7, 3))
CONTAINERS = {
    "png grey": lambda grey, colour: (png(grey, 0), grey),
    "png grey alpha": lambda grey, colour: (png(opaque(grey), 4), grey),
    "png colour": lambda grey, colour: (png(colour, 2), colour),
    "png colour alpha": lambda grey, colour: (png(opaque(colour), 6), colour),
    "tiff little": lambda grey, colour: (tiff(grey, "<"), grey),
    "tiff big": lambda grey, colour: (tiff(grey, ">"), grey),
    "tiff deflated": lambda grey, colour: (tiff(grey, "<", deflated=True), grey),
    "tiff colour little": lambda grey, colour: (tiff(colour, "<"), colour),
    "tiff colour big": lambda grey, colour: (tiff(colour, ">"), colour),
    "tiff colour deflated": lambda grey, colour: (tiff(colour, ">", deflated=True), colour),
    "tiff colour alpha": lambda grey, colour: (tiff(opaque(colour), "<", extra=2), colour),
    "pgm": lambda grey, colour: (pnm(grey), grey),
    "ppm": lambda grey, colour: (pnm(colour), colour),
    "tiff 32 bits": lambda grey, colour: (
        saved(Image.fromarray(grey[..., 0].astype(np.int32)), "TIFF"),
        grey,
    ),
    "tiff floats": lambda grey, colour: (
        saved(Image.fromarray(grey[..., 0].astype(np.float32)), "TIFF"),
        grey,
    ),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_samples_are_the_same_in_every_container(name: str) -> None:
    """8 bits in 16 come back as they were, 12 bits and a narrow band as the definition says."""
    for low, high in ((0, 255), (0, 4095), (30_000, 30_510)):
        scale = (high - low) / 255
        data, values = CONTAINERS[name](*(np.rint(v * scale).astype(np.int64) + low for v in (GREY, COLOUR)))
        expected = np.rint((values - low) * 255 / (high - low))
        found = decode(data, wanted=Preprocess(levels=(low, high)))
        np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))
        narrower = Preprocess(levels=(low + (high - low) / 4, high - (high - low) / 4))
        found = decode(data, wanted=narrower)
        assert found.min() == 0
        assert found.max() == 255


@pytest.mark.parametrize("name", [name for name in CONTAINERS if name not in ("tiff 32 bits", "tiff floats")])
def test_the_range_that_is_used_is_found(name: str) -> None:
    for low, high, suited in ((0, 255, (0, 255)), (0, 4095, (0, 4095)), (30_000, 30_510, None)):
        grey, colour = ((v * ((high - low) // 255) + low) for v in (GREY, COLOUR))
        data, values = CONTAINERS[name](grey, colour)
        used = see(data).used
        inner = values[(values > 0) & (values < 65535)]
        assert used == Used(int(inner.min()), int(inner.max()), 65535)
        assert used.suited == (suited or (inner.min(), inner.max()))
    wide = see(CONTAINERS[name](GREY * 257, COLOUR * 257)[0])
    assert wide.used is None or wide.used.suited is None
    assert not wide.note(Preprocess())


def test_without_levels_16_bits_keep_their_high_byte() -> None:
    """As they always did, so that recipes and model files of before read pictures as before."""
    values = RNG.integers(0, 65536, (9, 7, 3))
    for data in (png(values, 2), tiff(values, "<"), tiff(values, ">")):
        np.testing.assert_array_equal(decode(data), values >> 8)
    for data in (png(values[..., :1], 0), tiff(values[..., :1], "<"), pnm(values[..., :1])):
        np.testing.assert_array_equal(decode(data)[..., :1], values[..., :1] >> 8)
    assert np.abs(decode(pnm(values)) - values / 257).max() <= 0.5


def test_the_suited_range() -> None:
    assert Used(1, 20, 65535).suited == (0, 255)  # the same as in a file of 8 bits
    assert Used(40, 900, 65535).suited == (0, 1023)
    assert Used(7000, 8000, 65535).suited == (7000, 8000)
    assert Used(20, 16_000, 65535).suited == (0, 16_383)
    assert Used(0, 20_000, 65535).suited is None
    assert Used(100, 3000, 4095).suited is None  # 12 bits in a file of 12
    assert Used(20, 90, 4095).suited == (0, 255)
    assert Used(300, 300, 65535).suited is None
    assert Used(0, 0, 65535).suited is None


def test_white_is_zero_and_transparent_samples_with_levels() -> None:
    values = np.array([[[0], [100], [4095]]])
    data = tiff(values, "<").replace(
        struct.pack("<HHIHH", 262, 3, 1, 1, 0), struct.pack("<HHIHH", 262, 3, 1, 0, 0)
    )
    np.testing.assert_array_equal(
        decode(data, wanted=Preprocess(levels=(0, 4095)))[0, :, 0], [255, 255 - 6, 0]
    )
    clear = Image.fromarray(np.array([[0, 256, 4095]], np.uint16))
    keyed = saved(clear, "PNG", transparency=256)
    wanted = Preprocess(levels=(0, 4095), ground=7)
    np.testing.assert_array_equal(decode(keyed, wanted=wanted)[0, :, 0], [0, 7, 255])


@pytest.mark.parametrize("levels", [[4095, 0], [1, 1], [0], "wide", [0, float("nan")]])
def test_levels_that_are_none(levels: object) -> None:
    with pytest.raises((UsageError, ValueError), match="levels"):
        Preprocess.model_validate({"levels": levels})


def strokes(shade: int) -> dict[str, bytes]:
    """A stroke of one grey on transparency, in the ways there are."""
    alpha = np.zeros((20, 20), np.uint8)
    alpha[3:17, 8:11] = 255
    four = np.dstack([np.full((20, 20, 3), shade, np.uint8), alpha])
    palette = Image.fromarray((alpha > 0).astype(np.uint8), "P")
    palette.putpalette([shade] * 768)
    other = Image.fromarray(np.where(alpha > 0, shade, 90).astype(np.uint8))
    return {
        "rgba": saved(Image.fromarray(four), "PNG"),
        "la": saved(Image.fromarray(four[..., 2:], "LA"), "PNG"),
        "webp": saved(Image.fromarray(four), "WEBP", lossless=True, exact=True),
        "palette": saved(palette, "GIF", transparency=0),
        "key": saved(other, "PNG", transparency=90),
        "16 bits": png(four.astype(np.int64) * 257, 6),
    }


@pytest.mark.parametrize("name", strokes(255))
def test_strokes_as_light_as_the_ground_are_noticed(name: str) -> None:
    white, black = Preprocess(), Preprocess(ground=0)
    light, dark = strokes(255)[name], strokes(0)[name]
    for data, lost, kept, level in ((light, white, black, 255), (dark, black, white, 0)):
        seen = see(data, wanted=lost)
        assert seen.vanished
        assert f"preprocess.ground={255 - lost.ground}" in seen.note(lost)
        assert (seen.pixels == lost.ground).all()
        seen = see(data, wanted=kept)
        assert not seen.vanished
        assert not seen.note(kept)
        assert (seen.pixels[5, 9] == level).all()
        assert (seen.pixels[0, 0] == kept.ground).all()


def test_an_ordinary_picture_has_no_note() -> None:
    photo = Image.fromarray(RNG.integers(0, 256, (20, 20, 4)).astype(np.uint8))
    for data in (saved(photo, "PNG"), saved(photo.convert("RGB"), "JPEG"), saved(photo.convert("L"), "GIF")):
        assert not see(data).note(Preprocess())
    page = Image.new("RGB", (20, 20), "white")
    assert not see(saved(page, "PNG")).note(Preprocess())


def test_remarks_count_and_name_the_setting() -> None:
    narrow = [Odds(Used(10, 4000, 65535))] * 3 + [Odds()] * 2
    (said,) = remarks(narrow, Preprocess())
    assert "3 pictures of 5" in said
    assert "preprocess.levels=[0,4095]" in said
    assert remarks(narrow, Preprocess(levels=(0, 4095))) == ()
    (said,) = remarks([Odds(Used(10, 60_000, 65535))], Preprocess(levels=(0, 4095)))
    assert "beyond" in said
    (said,) = remarks([Odds(vanished=True)] * 2, Preprocess(ground=0))
    assert "ground=255" in said


def detector(root: Path, low: int, scale: int) -> Path:
    """Discs and bars whose 8 bits are kept in 16, times `scale` and from `low` on."""
    for name in ("bar", "disc"):
        (root / name).mkdir(parents=True)
        for i in range(6):
            y, x = np.mgrid[0:24, 0:24]
            mark = (x - 9 - i) ** 2 + (y - 12) ** 2 < 30 if name == "disc" else abs(y - 9 - i) < 2
            values = np.where(mark, 255, 0 + i) * scale + low
            Image.fromarray(values.astype(np.uint16)).save(root / name / f"{i}.png")
    return root


@pytest.mark.parametrize(
    ("low", "scale", "levels"), [(0, 1, "0 to 255"), (0, 16, "0 to 4,095"), (30_000, 2, None)]
)
def test_a_folder_of_16_bits_is_looked_at_by_what_it_uses(
    tmp_path: Path, low: int, scale: int, levels: str | None
) -> None:
    plain = neocog.look(detector(tmp_path / "eight", 0, 1), changes=["preprocess.levels=[0,255]"])
    found = neocog.look(detector(tmp_path / "deep", low, scale))
    assert abs(found.mean - plain.mean) < 1
    assert abs(found.spread - plain.spread) < 1
    assert any((levels or "30,") in remark for remark in found.remarks)
    asked = neocog.look(tmp_path / "deep", changes=["preprocess.levels=[0,65535]"])
    assert asked.spread < plain.spread / 4


def test_training_and_prediction_read_16_bits_alike(tmp_path: Path) -> None:
    folder = detector(tmp_path / "pets", 0, 16)
    run = neocog.train(str(folder), start="nothing", out=tmp_path / "run", changes=["epochs=1"])
    assert run.recipe().preprocess.levels == (0, 4095)
    deep = folder / "disc" / "0.png"
    values = np.asarray(Image.open(deep))
    same = tmp_path / "same.tif"
    same.write_bytes(tiff(values[..., None], ">"))
    beyond = tmp_path / "beyond.png"
    Image.fromarray(values * 15).save(beyond)
    first, second, third = neocog.predict(run, [deep, same, beyond]).items
    assert first.top == second.top
    assert not first.note
    assert "beyond" in third.note
    changes = ["epochs=1", "preprocess.levels=null"]
    plain = neocog.train(str(folder), start="nothing", out=tmp_path / "plain", changes=changes)
    noted, settled = (
        neocog.predict(plain, [deep], changes=changes).items[0] for changes in ((), ["levels=[0,4095]"])
    )
    assert "levels=[0,4095]" in noted.note
    assert not settled.note
    assert any("levels=[0,4095]" in remark for remark in neocog.evaluate(plain, data=folder).remarks)
    with pytest.raises(UsageError, match="levels"):
        neocog.predict(plain, [deep], changes=["level=[0,4095]"])


def test_a_folder_of_white_strokes_is_laid_on_black(tmp_path: Path) -> None:
    for name, kind in (("a", "rgba"), ("b", "la")):
        (tmp_path / "ink" / name).mkdir(parents=True)
        for i in range(4):
            (tmp_path / "ink" / name / f"{i}.png").write_bytes(strokes(255 - i)[kind])
    found = neocog.look(tmp_path / "ink")
    assert found.spread > 20
    assert any("laid on black" in remark for remark in found.remarks)
    white = neocog.look(tmp_path / "ink", changes=["preprocess.ground=255"])
    assert white.spread < 2
    assert any("8 pictures of 8" in remark and "ground=0" in remark for remark in white.remarks)
