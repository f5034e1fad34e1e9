"""JPEG, whole or not at all: never half grey, sound pictures as ever, large ones reduced."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neocog.data.folders.listing import Item, Listing
from neocog.data.folders.picture_cache import _key
from neocog.errors import UnreadableError
from neocog.pictures import jpeg
from neocog.pictures.decode import Preprocess, decode

SAVED = {"baseline": {}, "progressive": {"progressive": True}, "restarts": {"restart_marker_blocks": 8}}


def photo(seed: int, size: tuple[int, int] = (240, 320)) -> Image.Image:
    """Something like a photo: smooth, with edges and noise."""
    draws = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / 40
    waves = [np.sin(x * a + y * b + c) for a, b, c in draws.uniform(-2, 2, (3, 3))]
    levels = np.stack([128 + 80 * w + 60 * (waves[0] > 0.5) for w in waves], 2)
    return Image.fromarray(np.clip(levels + draws.normal(0, 6, levels.shape), 0, 255).astype(np.uint8))


def saved(picture: Image.Image, **fields: object) -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", **{"quality": 88, **fields})
    return data.getvalue()


def by_pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def refused(data: bytes) -> str:
    try:
        decode(data)
    except UnreadableError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "fields",
    [
        *({"subsampling": s} for s in ("4:4:4", "4:2:2", "4:2:0", "4:1:1")),
        *({"quality": q} for q in (1, 50, 100)),
        *SAVED.values(),
        *({"keep_rgb": True}, {"optimize": True}, {"restart_marker_rows": 1, "progressive": True}),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (33, 50), (64, 64)])
def test_sound_pictures_are_as_from_pillow(fields: dict[str, object], size: tuple[int, int]) -> None:
    for mode in ("RGB", "L", "CMYK") if "keep_rgb" not in fields else ("RGB",):
        data = saved(photo(3, size).convert(mode), **fields)
        if mode == "CMYK":
            assert decode(data).shape == (*size, 3)
        else:
            np.testing.assert_array_equal(decode(data), by_pillow(data))


def test_photos_are_as_from_pillow(real_data: Path) -> None:
    photos = sorted((real_data / "photos").rglob("*.jpg"))
    assert len(photos) > 300
    for path in photos:
        data = path.read_bytes()
        found = jpeg.pixels(data, Image.open(io.BytesIO(data)).mode)
        assert found is not None, f"{path}: read by Pillow"
        pillow = np.asarray(Image.open(io.BytesIO(data)))
        np.testing.assert_array_equal(found.reshape(pillow.shape), pillow, str(path))


@pytest.mark.parametrize("kind", SAVED)
def test_cuts_and_holes_are_refused(kind: str) -> None:
    """21 cuts with an end marker and 21 holes of 512 bytes, of which no decoder sees every one."""
    draws, unseen = random.Random(5), 0
    for seed in range(7):
        whole = saved(photo(seed), **SAVED[kind])
        assert not refused(whole)
        begin = whole.index(b"\xff\xda") + 20
        for _ in range(3):
            at = draws.randrange(begin, len(whole) - 600)
            for bad in (whole[:at] + b"\xff\xd9", whole[:at]):
                assert "damaged or cut off" in refused(bad)
            hole = whole[:at] + bytes(512) + whole[at + 512 :]
            if not refused(hole):
                unseen += 1
                wrong = np.abs(decode(hole).astype(int) - by_pillow(whole)).max(2) > 8
                assert wrong.mean() < 0.1
    assert unseen <= (6 if kind == "progressive" else 0)


def test_a_picture_of_cmyk_is_whole_too() -> None:
    whole = saved(photo(1).convert("CMYK"))
    assert "premature end" in refused(whole[: len(whole) // 2] + b"\xff\xd9")


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_inside_tiff_is_whole(mode: str) -> None:
    data = io.BytesIO()
    photo(2).convert(mode).save(data, "TIFF", compression="jpeg")
    whole = data.getvalue()
    assert not refused(whole)
    for at in range(1000, len(whole) - 2000, len(whole) // 7):
        assert "damaged" in refused(whole[:at] + bytes(300) + whole[at + 300 :])


def test_harmless_warnings_refuse_no_photo() -> None:
    whole = saved(photo(4))
    head, scan = whole.index(b"\xff\xc0"), whole.index(b"\xff\xda")
    version = whole.index(b"JFIF") + 5
    for harmless in (
        whole[:head] + b"\0\0stray" + whole[head:],
        whole[:-2] + bytes(9) + whole[-2:],
        whole[:version] + b"\x09\x09" + whole[version + 2 :],
        whole[: scan + 11] + b"\0\x05" + whole[scan + 13 :],
        whole + b"whatever a phone appends",
        whole[:head] + b"\xff" * 40 + whole[head:],
    ):
        np.testing.assert_array_equal(decode(harmless), decode(whole))
        cut = harmless[: len(harmless) // 2] + b"\xff\xd9"
        assert "damaged" in refused(cut), "what comes after a harmless warning is heard"


def test_a_phone_s_48_megapixels_pass_and_a_field_raises_the_ceiling() -> None:
    large = Image.new("RGB", (8064, 6048), (90, 140, 30))
    data = saved(large, quality=40)
    found = decode(data)
    assert found.shape == (3024, 4032, 3)
    assert abs(found.astype(int) - [90, 140, 30]).max() <= 3
    assert decode(data, wanted=Preprocess(max_pixels=50_000_000)).shape == (6048, 8064, 3)
    small = saved(photo(1, (60, 80)))
    assert decode(small, max_pixels=2000).shape == (30, 40, 3)
    assert decode(small, max_pixels=1000).shape == (15, 20, 3)
    with pytest.raises(UnreadableError, match=r"80x60 pixels, more than 50; .*max_pixels"):
        decode(small, max_pixels=50)


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [(24, 24), (40, 60)])
def test_reduced_reading_is_hardly_different(fit: str, size: tuple[int, int]) -> None:
    whole = Preprocess(size=size, fit=fit)
    reduced = whole.model_copy(update={"reading": "reduced"})
    for seed in range(6):
        data = saved(photo(seed))
        small = decode(data, wanted=reduced)
        assert small.shape[0] in (30, 60, 120)
        apart = np.abs(whole.place(decode(data)).astype(int) - reduced.place(small))
        assert apart.mean() <= 1.5
        assert apart.max() <= 24
    odd = saved(photo(1, (241, 320)))
    assert decode(odd, wanted=reduced).shape == (241, 320, 3), "no fraction of a pixel"


def test_reduced_reading_minds_the_orientation() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(photo(2, (160, 480)), exif=exif)
    tall = Preprocess(size=(120, 40), fit="stretch", reading="reduced")
    assert decode(data, wanted=tall).shape == (240, 80, 3)


def test_what_was_cached_by_a_milder_decoder_is_read_again() -> None:
    def key(name: str, **fields: object) -> str:
        items = (Item(name, (0,), "train", "1 2 3"),)
        listing = Listing(Path("/x"), "n", "l", ("a", "b"), (), items, (), (), 1)
        return _key(listing, Preprocess(size=(8, 8), **fields))

    assert len({key("a/1.jpg"), key("a/1.jpg", reading="reduced"), key("a/1.jpg", max_pixels=9)}) == 3


# --- kinds that are not read, named for what they are ---


def tiff_of(bands: int, bits: int, form: int, order: str) -> bytes:
    """The smallest TIFF of such samples, 2x2."""
    tags = {256: 2, 257: 2, 258: bits, 259: 1, 262: 2, 273: 8, 277: bands, 278: 2, 279: 4, 339: form}
    directory = b"".join(struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    size = 4 * bands * bits // 8
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + size)
    return head + bytes(size) + struct.pack(f"{order}H", len(tags)) + directory + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("bands", "bits", "form", "words"),
    [
        (2, 16, 1, "2 bands of 16-bit whole numbers"),
        (5, 16, 1, "5 bands of 16-bit whole numbers"),
        (1, 64, 3, "1 band of 64-bit floats"),
        (3, 32, 3, "3 bands of 32-bit floats"),
    ],
)
def test_kinds_of_tiff_are_named(order: str, bands: int, bits: int, form: int, words: str) -> None:
    assert refused(tiff_of(bands, bits, form, order)) == (
        f"<bytes>: is a TIFF of {words}, which is not read; save it as 8-bit grey or RGB"
    )


def test_messages_hold_no_address() -> None:
    assert "0x" not in refused(b"II*\0" + bytes(40)) + refused(b"\x89PNG\r\n\x1a\n" + bytes(40))
