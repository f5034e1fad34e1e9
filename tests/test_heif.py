"""HEIC and AVIF: the photos of phones and of web pages."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from neocog.errors import UnreadableError
from neocog.pictures.decode import Preprocess, decode, see
from neocog.pictures.walk import walk

TURNED = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ADRpbG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAAHQAAgAAAAACYAABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAA"
    "AAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAA"
    "kAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq"
    "5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xh"
    "cAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBpeGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEA"
    "AQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAKBtZGF0AAAAcCgBr1jyTMH9Qr99gUP3t20P+7huy1uNSchpsUx9"
    "ca+WyDkwZNMQoQnIFnm8uCMiG78VwDmYPI+79Dfd/2vFInoGh8TF/A6Gode6SZbcbet3omCyHHcMkUk4eI423D533CtKnhLoAucV"
    "NyH/Fy9tf8AAAAAGRXhpZgAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAA="
)
"""64x48 pixels, a gradient (4x, 5y, 2(x + y)) with a red corner of 12x16, turned a quarter as phones do."""
heic = pytest.mark.skipif(find_spec("pi_heif") is None, reason="the extra heic is not installed")
avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def gradient() -> np.ndarray:
    y, x = np.mgrid[0:48, 0:64]
    pixels = np.dstack([4 * x, 5 * y, 2 * (x + y)]).clip(0, 255).astype(np.uint8)
    pixels[:12, :16] = (255, 0, 0)
    return pixels


def saved(pixels: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "AVIF", **options)
    return out.getvalue()


@heic
def test_heic_stands_upright() -> None:
    pixels = decode(TURNED)
    assert pixels.shape == (64, 48, 3)
    assert np.abs(pixels.astype(int) - np.rot90(gradient(), -1)).mean() < 8


@heic
def test_a_heic_that_is_cut_off_or_too_large_is_refused() -> None:
    for size in range(100, len(TURNED), 7):
        with pytest.raises(UnreadableError, match="damaged"):
            decode(TURNED[:size])
    with pytest.raises(UnreadableError, match="more than 99"):
        decode(TURNED, max_pixels=99)


@heic
def test_nothing_is_registered_with_pillow() -> None:
    code = (
        "import sys; from PIL import Image; from neocog.pictures.decode import decode\n"
        "decode(sys.stdin.buffer.read()); assert not [n for n in Image.OPEN if 'HEI' in n], Image.OPEN"
    )
    subprocess.run([sys.executable, "-c", code], input=TURNED, check=True, timeout=60)


def test_without_the_extra_it_is_said_how_to_get_or_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(UnreadableError, match=r"HEIC and needs pip install \"neocog\[heic\]\"; .*magick"):
        decode(TURNED)
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(UnreadableError, match=r"AVIF and needs Pillow 11.3 .*magick"):
        decode(b"\0\0\0\x1cftypavif\0\0\0\0")


@avif
def test_avif_is_read_whole_upright_or_not_at_all() -> None:
    pixels = gradient()
    flat = saved(pixels, quality=95, subsampling="4:4:4")
    assert np.abs(decode(flat).astype(int) - pixels).mean() < 3
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode(saved(pixels, quality=95, subsampling="4:4:4", exif=exif.tobytes()))
    assert np.abs(turned.astype(int) - np.rot90(pixels, -1)).mean() < 3
    for size in range(12, len(flat), 11):
        with pytest.raises(UnreadableError):
            decode(flat[:size])
    with pytest.raises(UnreadableError, match="more than 99"):
        decode(flat, max_pixels=99)
    brand = flat[:8] + b"mif1" + flat[12:]  # as some programs write it, with avif among the other brands
    np.testing.assert_array_equal(decode(brand), decode(flat))


@avif
def test_avif_on_transparency() -> None:
    alpha = np.zeros((48, 64, 1), np.uint8)
    alpha[10:30, 20:24] = 255
    white = saved(np.concatenate([np.full((48, 64, 3), 255, np.uint8), alpha], axis=2), quality=95)
    assert see(white).vanished
    assert decode(white, wanted=Preprocess(ground=0))[20, 22].min() > 240


def test_folders_list_them(tmp_path: Path) -> None:
    for name in ("a.HEIC", "b.heif", "c.avif", "d.hif"):
        (tmp_path / name).write_bytes(TURNED)
    assert len(walk(tmp_path).files) == 4
