"""Three photos, carried inside the package, so that a network can be tried on something at once.

From scikit-image's data (https://scikit-image.org), there `astronaut`, `chelsea` and `coffee`. Changed: saved
as JPEG. Who took them and under which terms stands in `PHOTOS` and in docs/data.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from neocog.errors import unknown

PHOTOS: Mapping[str, str] = {
    "astronaut": "Eileen Collins; NASA, Great Images in NASA; public domain",
    "cat": "Chelsea the cat; Stefan van der Walt; CC0",
    "coffee": "a cup of coffee; Rachel Michetti, courtesy of Pikolo Espresso Bar; CC0",
}
"""What is on each photo, by whom, under which terms."""


def photo(name: str) -> Path:
    """The JPEG file called `name`: astronaut (512x512 pixels), cat (451x300) or coffee (600x400).

    `UsageError` for any other name.
    """
    if name not in PHOTOS:
        raise unknown("photo", name, PHOTOS)
    return Path(str(resources.files("neocog.data.sources"))) / "photos" / f"{name}.jpg"
