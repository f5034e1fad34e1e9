"""Damage that a decoder does not see: pictures cut off or with holes of 512 zeros, and how many are refused.

    python bench/holes.py

Seven made photos of 320x240 in every kind of file, nine places each, drawn by a seed. A JPEG is cut there,
with a new end marker behind the cut, and gets a hole there; other kinds get the hole. What is not refused is
compared with the sound picture: `wrong` is the largest share of pixels that are off by more than 8 levels.
Takes some seconds; prints a line for each kind and writes results/holes.json, which docs/data.md quotes.
"""

from __future__ import annotations

import io
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from neocog.errors import UnreadableError
from neocog.pictures.decode import decode

RESULTS = Path(__file__).parent.parent / "results" / "holes.json"
PHOTOS, PLACES, HOLE = 7, 9, 512

Settings = dict[str, Any]
KINDS: dict[str, tuple[str, Settings]] = {
    "JPEG, baseline": ("JPEG", {"quality": 88}),
    "JPEG, progressive": ("JPEG", {"quality": 88, "progressive": True}),
    "JPEG, restarts": ("JPEG", {"quality": 88, "restart_marker_blocks": 8}),
    "PNG": ("PNG", {}),
    "TIFF, LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "TIFF, LZMA": ("TIFF", {"compression": "lzma"}),
    "TIFF, JPEG": ("TIFF", {"compression": "jpeg"}),
    "TIFF, deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "TIFF, PackBits": ("TIFF", {"compression": "packbits"}),
    "TIFF, fax of group 4": ("TIFF", {"compression": "group4"}),
    "TIFF, fax of group 3": ("TIFF", {"compression": "group3"}),
    "TIFF, Zstandard": ("TIFF", {"compression": "zstd"}),
}


def photo(seed: int) -> Image.Image:
    """Something like a photo: smooth, with edges and noise."""
    draws = np.random.default_rng(seed)
    y, x = np.mgrid[0:240, 0:320] / 40
    waves = [np.sin(x * a + y * b + c) for a, b, c in draws.uniform(-2, 2, (3, 3))]
    levels = np.stack([128 + 80 * w + 60 * (waves[0] > 0.5) for w in waves], 2)
    return Image.fromarray(np.clip(levels + draws.normal(0, 6, levels.shape), 0, 255).astype(np.uint8))


def saved(picture: Image.Image, kind: str) -> bytes:
    form, settings = KINDS[kind]
    data = io.BytesIO()
    (picture.convert("1") if "fax" in kind else picture).save(data, form, **settings)
    return data.getvalue()


def wrong(damaged: bytes, sound: np.ndarray) -> float | None:
    """The share of pixels that are off by more than 8 levels, or None for a file that is refused."""
    try:
        found = decode(damaged)
    except UnreadableError:
        return None
    return float((np.abs(found.astype(int) - sound).max(2) > 8).mean())


def tried(kind: str) -> dict[str, Any]:
    """Cuts (of JPEGs) and holes of one kind of file: how many, how many passed, and the worst that did."""
    draws = random.Random(5)
    cuts: list[float | None] = []
    holes: list[float | None] = []
    for seed in range(PHOTOS):
        data = saved(photo(seed), kind)
        sound = decode(data).astype(int)
        first = data.index(b"\xff\xda") + 20 if kind.startswith("JPEG") else 100
        for _ in range(PLACES):
            at = draws.randrange(first, len(data) - HOLE - 100)
            holes.append(wrong(data[:at] + bytes(HOLE) + data[at + HOLE :], sound))
            if kind.startswith("JPEG"):
                cuts.append(wrong(data[:at] + b"\xff\xd9", sound))
    passed = [share for share in holes if share is not None]
    return {
        "kind": kind,
        "cuts": len(cuts),
        "cuts passed": sum(share is not None for share in cuts),
        "holes": len(holes),
        "holes passed": len(passed),
        "wrong": round(max(passed, default=0.0), 4),
    }


def main() -> int:
    rows = [tried(kind) for kind in KINDS]
    for row in rows:
        said = f"{row['holes passed']} of {row['holes']} holes passed, at most {row['wrong']:.1%} wrong"
        print(
            f"{row['kind']:22}{said}", f"; {row['cuts passed']} of {row['cuts']} cuts" if row["cuts"] else ""
        )
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
