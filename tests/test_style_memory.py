"""Style transfer's forecast of memory against what a process then takes, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PAINTED = """
import json, sys, torch
from pathlib import Path
from neocog.model import Trained
from neocog.pictures.decode import Preprocess
from neocog.style.backbone import Backbone
from neocog.style.forecast import forecast
from neocog.style.painting import Painting
from neocog.style.scene import Scene, Style
from neocog.style.settings import Settings
from neocog.world import find
from neocog.zoo import Model, build

def held(what):
    lines = open("/proc/self/status").read().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(what))

model, size, precision = Model.model_validate(json.loads(sys.argv[1])), int(sys.argv[2]), sys.argv[3]
torch.manual_seed(0)
network = build(model, shape=(3, 64, 64), classes=2).eval()
scaled = {"scale": "given", "mean": (0.5,), "std": (0.25,)}
preprocess = Preprocess.model_validate({"size": (64, 64), "channels": 3, **scaled})
trained = Trained(network=network, model=model, shape=(3, 64, 64), classes=("a", "b"), preprocess=preprocess)
picture = torch.randint(0, 256, (600, 800, 3), dtype=torch.uint8).numpy()
scene, settings = Scene(picture, (Style(picture),)), Settings(size=size, steps=2)
backbone = Backbone(trained, settings, find("cpu", precision))
before = held("VmRSS")
told = forecast(backbone, scene, settings, None)
for event in Painting(scene, backbone, settings, told.tile).events(Path, stop=lambda: False):
    pass
print(json.dumps([told.memory, held("VmHWM") - before]))
"""


def layers(*widths: int) -> list[dict[str, object]]:
    """VGG's beginning: convolutions by 3x3, a pool where a width is 0; then a head."""
    made: list[dict[str, object]] = [
        {"kind": "conv", "kernel": 3, "padding": "same", "activation": "relu", "filters": width}
        if width
        else {"kind": "maxpool", "size": 2}
        for width in widths
    ]
    return [*made, {"kind": "flatten"}, {"kind": "dense", "units": 2}]


VGG = {"layers": layers(64, 64, 0, 128, 128, 0, 256, 256)}


LIBRARIES = 32 * 2**20
"""Of what torch maps and sets up besides, which differs from one run to the next."""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc/self/status")
@pytest.mark.parametrize(
    ("model", "precision", "size"),
    [
        *((VGG, "bfloat16", size) for size in (256, 384, 512)),
        *(({"name": "mobilenet_v2"}, "float32", size) for size in (128, 192, 256)),
    ],
)
def test_memory_is_what_was_forecast(model: dict[str, object], precision: str, size: int) -> None:
    command = [sys.executable, "-c", PAINTED, json.dumps(model), str(size), precision]
    said, used = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(f"said {said / 1e6:.0f} MB, used {used / 1e6:.0f} MB: {used / said:.2f}")
    assert abs(used - said) < 0.2 * said + LIBRARIES
