"""The one decoder: a path or bytes -> RGB pixels, safely. (`Preprocess` comes along: pictures enter through
this module.)

Nothing else in the package opens pictures, so training, prediction and serving see the same pixels and refuse
the same files.

A picture file is a stranger's program for a decoder. `decode` therefore goes by content and not by name,
knows nine formats and no others, checks sizes before it allocates, wants the whole picture or none of it,
and has one way to fail.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from neocog.errors import UnreadableError
from neocog.pictures import header, heif, jpeg, kinds, samples, strips, tiff
from neocog.pictures.pixels import Pixels
from neocog.pictures.preprocess import MAX_PIXELS, Preprocess
from neocog.pictures.quiet import QUIET
from neocog.pictures.samples import Layout, Used
from neocog.pictures.seen import Seen, has_vanished

__all__ = ["MAX_FILE_BYTES", "MAX_PIXELS", "PICTURE_SUFFIXES", "Pixels", "Preprocess", "decode", "see"]

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".mpo", ".avif", ".heic", ".heif", ".hif"}
)
"""Lower-case endings under which a folder scan expects pictures. What a file is, `decode` finds from its
content."""

MAX_JPEG_PIXELS = 256_000_000
"""Of a JPEG in its file, of which fewer are decoded: phones make up to 200 million."""
MAX_FILE_BYTES = 256 << 20
AS_IT_IS = Preprocess()
MAX_SCAN_PIXELS = 1_000_000_000
"""Scans times pixels of a JPEG. An ordinary progressive file has ten scans; a hostile one has thousands,
nearly empty."""
MAX_SLOW_PIXELS = 8_000_000
"""Ceiling for the three decoders that Pillow has in Python: plain PNM, PNM with an odd maximum, run-length
BMP."""
_SLOW_DECODERS = frozenset({"ppm_plain", "ppm", "bmp_rle"})


def decode(source: Path | bytes, *, max_pixels: int | None = None, wanted: Preprocess = AS_IT_IS) -> Pixels:
    """The picture in a file, or in bytes, as RGB: uint8 (H, W, 3), upright, its own and writable.

    JPEG (also MPO), PNG, GIF, BMP, WebP, TIFF, PNM, AVIF and HEIC, found by content. Of animations
    the first frame. The EXIF orientation is applied, an invalid one ignored; colour profiles are ignored.
    What is transparent is laid on the ground that is `wanted`, white by default. 16-bit samples
    keep their high byte (as PNG's specification allows; grey and colour alike); 32-bit integers and floats
    are stretched from their minimum..maximum to 0..255; unless `wanted` says which samples are black and
    white. CMYK becomes (1 - c)(1 - k). A picture that is cut off or damaged where the decoder can see it is
    refused, never half grey.

    `wanted` also says how many pixels there may be, and whether a JPEG may be read at a half, a quarter or an
    eighth of its sides where that is enough for what is made of it. A JPEG of more pixels than there may be
    (up to MAX_JPEG_PIXELS) is read that way in any case; every other picture of more is refused.

    Raises `UnreadableError`, and nothing else, with '<path>: <what is wrong>; <cure>'. `max_pixels`, which
    takes the place of those in `wanted`, is compared with the header, before anything is decoded.
    """
    return see(source, max_pixels=max_pixels, wanted=wanted).pixels


def see(source: Path | bytes, *, max_pixels: int | None = None, wanted: Preprocess = AS_IT_IS) -> Seen:
    """As `decode`, with what of the picture is hard to see as it is `wanted`."""
    max_pixels = wanted.max_pixels if max_pixels is None else max_pixels
    if isinstance(source, bytes):
        name, data = "<bytes>", source
    else:
        name = str(source)
        data = _file_bytes(source)
    try:
        with QUIET:
            return _decoded(data, max_pixels, wanted)
    except header.Flood as error:
        raise UnreadableError(f"{name}: has {error}, as no program writes it; save it anew") from error
    except (jpeg.Damaged, strips.Damaged, header.Wrong) as error:
        raise UnreadableError(
            f"{name}: is damaged or cut off ({error}); copy it again from its source"
        ) from error
    except _Refusal as refusal:
        raise UnreadableError(f"{name}: {refusal}") from refusal.__cause__
    except heif.Missing as error:
        raise UnreadableError(f"{name}: {error}; or convert it: magick photo.heic photo.jpg") from error
    except MemoryError as error:
        raise UnreadableError(f"{name}: does not fit into memory; make it smaller") from error
    except Exception as error:  # Pillow's contract: any plain exception is a normal answer to a bad file
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        if words := tiff.unsupported(data):
            raise UnreadableError(
                f"{name}: is a TIFF of {words}, which is not read; save it as 8-bit grey or RGB"
            ) from error
        if isinstance(error, UnidentifiedImageError):
            reason = "its header makes no sense"
        raise UnreadableError(
            f"{name}: is damaged or cut off ({reason}); copy it again from its source or save it anew"
        ) from error


class _Refusal(Exception):
    """'what is wrong; cure', before the name of the picture is put in front."""


def _file_bytes(path: Path) -> bytes:
    """The content of a regular file. A pipe or device is refused before it is opened and never waited for."""
    try:
        _want_regular(path, os.stat(path).st_mode)
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(handle, "rb") as file:
            _want_regular(path, os.fstat(handle).st_mode)  # it may have been exchanged since
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise UnreadableError(f"{path}: does not exist; check the name") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadableError(
            f"{path}: cannot be read ({reason}); check the name and its permissions"
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise UnreadableError(f"{path}: has more than {MAX_FILE_BYTES >> 20} MiB; save it smaller")
    return data


def _want_regular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise UnreadableError(f"{path}: is a folder; name a picture in it")
    if not stat.S_ISREG(mode):
        raise UnreadableError(f"{path}: is a pipe, socket or device, not a file; name a picture file")


def _decoded(data: bytes, max_pixels: int, wanted: Preprocess) -> Seen:
    kind = _kind(data)
    header.require_lean(kind, data)
    if kind == "HEIF":
        return _heif(data, max_pixels, wanted)
    _register(kind)
    with Image.open(io.BytesIO(data), formats=(kind,)) as picture:
        if kind == "JPEG" and (found := _jpeg(picture, data, max_pixels, wanted)) is not None:
            return Seen(found)
        _check_size(picture, data, max_pixels)
        lying = samples.layout(picture)
        with tiff.strict(picture, data) if kind == "TIFF" else contextlib.nullcontext():
            frame = picture.tile[0][1] if picture.tile else None
            picture.load()
        seen = _seen(picture, lying, data, wanted)
        if kind == "GIF" and frame is not None:
            _clear_around(seen.pixels, frame, wanted.ground)
        return replace(seen, pixels=_upright(seen.pixels, _orientation(picture)))


def _heif(data: bytes, max_pixels: int, wanted: Preprocess) -> Seen:
    with heif.opened(data) as found:
        _check_size(found, data, max_pixels)
        return _seen(heif.picture(found), Layout(), data, wanted)


def _jpeg(picture: Image.Image, data: bytes, max_pixels: int, wanted: Preprocess) -> Pixels | None:
    """The picture in a JPEG, upright; None for one that Pillow has to read, which may be whole even so."""
    orientation = _orientation(picture)
    divided = _divided(picture, max_pixels, wanted, turned=orientation >= 5)
    _check_size(picture, data, max_pixels, divided)
    found = jpeg.pixels(data, picture.mode, divided)
    if found is None or picture.mode == "CMYK":
        return None
    return _upright(np.repeat(found, 3, axis=2) if found.shape[2] == 1 else found, orientation)


def _divided(picture: Image.Image, max_pixels: int, wanted: Preprocess, *, turned: bool) -> int:
    """By what the sides of a JPEG are divided while it is decoded."""
    width, height = picture.size
    if width * height > MAX_JPEG_PIXELS:
        return 1
    upright = (width, height) if turned else (height, width)
    least = wanted.fewest(*upright)
    if least is not None and turned:
        least = least[::-1]
    return jpeg.denominator_for((height, width), least, max_pixels)


def _kind(data: bytes) -> str:
    """Pillow's name of the format that the content has; a refusal that says what it is instead."""
    if not data:
        raise _Refusal("is empty; copy it again from its source")
    kind = kinds.of(data)
    if kind is None:
        what = kinds.stranger(data)
        says = f"is {what}, not a picture" if what else "is not a picture in a known format"
        raise _Refusal(f"{says}; accepted are JPEG, PNG, GIF, BMP, WebP, TIFF, PNM, AVIF and HEIC")
    return kind


def _register(kind: str) -> None:
    """Import the one plug-in needed; left to itself, Pillow would import all of them, that for EPS too."""
    if kind == "WEBP":
        from PIL import WebPImagePlugin  # noqa: F401
    elif kind == "AVIF":
        heif.require_avif()
        from PIL import AvifImagePlugin  # noqa: F401
    elif kind == "TIFF":
        from PIL import TiffImagePlugin  # noqa: F401

        tiff.listen()
    else:
        Image.preinit()


def _check_size(picture: Any, data: bytes, max_pixels: int, divided: int = 1) -> None:
    """Refuse what would take too much memory or time, from the header alone."""
    width, height = picture.size
    pixels = width * height
    if pixels < 1:
        raise _Refusal(f"has no pixels ({width}x{height}); save it anew")
    if -(-width // divided) * -(-height // divided) > max_pixels:
        raise _Refusal(
            f"has {width}x{height} pixels, more than {max_pixels:,}; make it smaller, "
            "or raise preprocess.max_pixels"
        )
    if data.startswith(b"\xff\xd8") and jpeg.scans(data, MAX_SCAN_PIXELS) * pixels > MAX_SCAN_PIXELS:
        raise _Refusal("is a JPEG with too many scans for its size; save it anew")
    slow = any(tile[0] in _SLOW_DECODERS for tile in getattr(picture, "tile", ()))
    if slow and (pixels > MAX_SLOW_PIXELS or len(data) > 16 * pixels + (1 << 20)):
        raise _Refusal(f"has {width}x{height} pixels in a slow kind of {picture.format}; save it as PNG")


def _seen(picture: Image.Image, lying: Layout, data: bytes, wanted: Preprocess) -> Seen:
    """A loaded picture of any mode."""
    mode, levels = picture.mode, wanted.levels
    again = functools.partial(Image.open, io.BytesIO(data), formats=(picture.format or "",))
    values = samples.numbers(picture, lying, data, again, every=levels is not None)
    if mode.startswith(("I", "F")):
        assert values is not None  # these modes are those of deep samples
        return _grey(picture, values, lying, wanted)
    used = samples.used(values, lying.most) if values is not None else None
    fine = samples.levelled(values, levels) if values is not None and levels is not None else None
    if mode in ("LA", "La", "RGBA", "RGBa", "PA") or (mode == "P" and picture.has_transparency_data):
        straight = picture if mode in ("RGBA", "LA") else picture.convert("LA" if mode == "La" else "RGBA")
        colours = straight.convert("RGB") if fine is None else Image.fromarray(fine)
        alpha = straight.getchannel("A")
        ground = Image.new("RGB", picture.size, (wanted.ground,) * 3)
        ground.paste(colours, mask=alpha)
        return _laid(np.array(ground), np.asarray(alpha), used)
    rgb = np.array(picture.convert("RGB") if mode != "RGB" else picture) if fine is None else fine
    key = picture.info.get("transparency")
    if key is None or mode not in ("1", "L", "RGB"):
        return Seen(rgb, used)
    sixteen = ";16" in lying.raw_mode  # one colour of the picture stands for 'transparent'
    step = _STEP.get(lying.raw_mode, 1)
    if sixteen and fine is not None and values is not None:
        clear = (values == np.atleast_1d(key)).all(axis=2)
    else:
        clear = (rgb == [v >> 8 if sixteen else v * step for v in np.atleast_1d(key).tolist()]).all(axis=2)
    rgb[clear] = wanted.ground
    return _laid(rgb, np.where(clear, np.uint8(0), np.uint8(255)), used)


def _clear_around(pixels: Pixels, frame: tuple[int, int, int, int], ground: int) -> None:
    """Lay what the first frame of a GIF leaves open on the ground, in place: it is transparent."""
    left, top, right, bottom = frame
    pixels[:top] = pixels[bottom:] = ground
    pixels[:, :left] = pixels[:, right:] = ground


def _laid(pixels: Pixels, alpha: Pixels, used: Used | None) -> Seen:
    return Seen(pixels, used, transparent=bool(alpha.min() < 255), vanished=has_vanished(pixels, alpha))


# Levels 0..255 per step of a sample; a transparent colour is stored in the file's own steps.
_STEP = {"1": 255, "L;1": 255, "L;2": 85, "L;4": 17}


def _grey(picture: Image.Image, values: samples.Numbers, lying: Layout, wanted: Preprocess) -> Seen:
    """Grey of more than 8 bits: 12 and 16 bits by depth, 32 bits from minimum to maximum, or as `wanted`."""
    if not np.isfinite(values).all():
        raise _Refusal("has pixels that are not finite numbers; replace them and save it anew")
    whole = picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format in ("PNG", "PPM"))
    if wanted.levels is not None:
        grey = samples.levelled(values, wanted.levels)
    elif picture.format == "PPM" and whole:  # Pillow scales what says its own maximum to 16 bits
        grey = samples.by_depth(np.asarray(picture), 65535)
    else:
        grey = samples.by_depth(values, lying.most) if whole else samples.stretched(values)
    if whole and getattr(picture, "tag_v2", {}).get(samples.PHOTOMETRIC) == samples.WHITE_IS_ZERO:
        grey = 255 - grey
    used = samples.used(values, lying.most) if whole else None
    key = picture.info.get("transparency")
    if not whole or not isinstance(key, int):
        return Seen(np.repeat(grey[:, :, None], 3, axis=2), used)
    grey = np.where(values == key, np.uint8(wanted.ground), grey)
    alpha = np.where(values == key, np.uint8(0), np.uint8(255))
    return _laid(np.repeat(grey[:, :, None], 3, axis=2), alpha, used)


def _orientation(picture: Image.Image) -> int:
    """EXIF's orientation 1..8, or 1 where it makes no sense. (Pillow turns TIFF itself and drops the tag.)"""
    with contextlib.suppress(Exception):  # EXIF is a TIFF file in miniature and fails in as many ways
        value = picture.getexif().get(0x0112)
        if isinstance(value, int) and 1 <= value <= 8:
            return value
    return 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo EXIF orientation: 5..8 are stored with rows and columns exchanged, the others are flips."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
