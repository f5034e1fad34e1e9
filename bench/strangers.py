"""Networks of torchvision, walked: outputs, parameters and multiply-accumulates against the published ones.

    python bench/strangers.py --peer FOLDER [--only NAME ...]

FOLDER holds torchvision (`pip install --no-deps --target FOLDER torchvision`), imported beside this
environment's CPU build of torch. Every classifier of `torchvision.models` with published operations in its
weights' meta is walked for one picture of their size; its output, parameters and giga-multiply-accumulates
are written beside the published ones to results/strangers.json. Exits with 4 where an output or a parameter
count differs, or a count of operations by more than TOLERANCE.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from neocog.arithmetic import walk
from neocog.errors import ShapeError

TOLERANCE = 0.03
"""Of the published operations. torchvision counts with fvcore, which leaves some small ones out."""
RESULTS = Path(__file__).parent.parent / "results" / "strangers.json"


def measured(name: str, models: Any) -> dict[str, Any]:
    """What the walk says of one network, and what torchvision publishes of its first weights."""
    weights = next(iter(models.get_model_weights(name)))
    meta, side = weights.meta, weights.transforms().crop_size[0]
    row: dict[str, Any] = {"published parameters": meta["num_params"], "published GMACs": meta["_ops"]}
    begun = time.perf_counter()
    plain = {"init_weights": False} if name in {"googlenet", "inception_v3"} else {}
    plain |= {"aux_logits": False} if name == "googlenet" else {}  # as the published count has it
    plain |= {"image_size": side} if name.startswith("vit") else {}
    network = models.get_model(name, weights=None, **plain)
    try:
        found = walk(network.eval(), (3, side, side))
    except ShapeError as error:
        return row | {"refused": str(error).splitlines()[0]}
    row |= {"output": list(found.output), "parameters": found.parameters + found.non_trainable}
    row |= {"trainable": found.trainable, "GMACs": round(found.macs / 1e9, 3)}
    return row | {"remarks": list(found.remarks), "seconds": round(time.perf_counter() - begun, 2)}


def agrees(row: dict[str, Any]) -> bool:
    """Whether the walk's figures are the published ones."""
    near = abs(row.get("GMACs", 0) - row["published GMACs"]) <= TOLERANCE * row["published GMACs"] + 0.001
    return row.get("output") == [1000] and row["trainable"] == row["published parameters"] and near


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", type=Path, required=True)
    parser.add_argument("--only", nargs="*")
    asked = parser.parse_args()
    sys.path.append(str(asked.peer))
    # torchvision beside a CPU build of torch has no compiled operators; their names must exist to import it
    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchvision import models

    names = asked.only or [
        name
        for name in models.list_models(module=models)
        if hasattr(models.get_model_weights(name), "__members__")
    ]
    rows = {}
    for name in names:
        rows[name] = measured(name, models)
        print(f"{name:<22}", "agrees" if agrees(rows[name]) else json.dumps(rows[name]), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if all(map(agrees, rows.values())) else 4


if __name__ == "__main__":
    sys.exit(main())
