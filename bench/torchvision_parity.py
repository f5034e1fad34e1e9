"""Same weights, same logits: state dicts that torchvision and timm write, random weights, read by neocog.

    python bench/torchvision_parity.py --peer PYTHON [--only NAME ...]

PYTHON is an environment with torch, torchvision and timm. For each network it draws lively weights (random
statistics in every batch normalisation too), saves the state dict as `.pth` (torchvision) or safetensors
(timm) and its logits for two random inputs; neocog loads the file and the largest difference is written, as
a share of the largest |logit|, to results/torchvision_parity.json. Exits with 4 above the tolerance.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

TOLERANCE = 1e-4
"""Of the largest |logit|."""
NETWORKS = {  # our name: (library, theirs)
    **{
        name: ("torchvision", name.replace("-", "_").replace("alexnet_owt", "alexnet"))
        for name in (
            "alexnet-owt", "vgg11", "vgg13", "vgg16", "vgg19", "vgg16-bn", "vgg19-bn", "inception_v3",
            "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "densenet121", "densenet161",
            "densenet169",
            "densenet201", "mobilenet_v2",
        )
    },
    "timm: vgg16": ("timm", "vgg16"),
    "timm: resnet50": ("timm", "resnet50"),
    "timm: inception_v3": ("timm", "inception_v3"),
    "timm: densenet121": ("timm", "densenet121"),
    "timm: mobilenet_v2": ("timm", "mobilenetv2_100"),
}  # fmt: skip
RESULTS = Path(__file__).parent.parent / "results" / "torchvision_parity.json"


def draw(library: str, theirs: str, folder: Path) -> None:
    """In the peer's environment: write weights, input and logits of one network to `folder`."""
    import torch
    from safetensors.torch import save_file

    # torchvision beside a CPU build of torch has no compiled operators; their names must exist to import it
    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import timm
    import torchvision

    torch.manual_seed(0)
    if library == "timm":
        network = timm.create_model(theirs, pretrained=False)
    else:
        # as with pretrained weights, Inception V3 is given what it expects after its own rescaling
        network = getattr(torchvision.models, theirs)(weights=None)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
            elif isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                torch.nn.init.kaiming_normal_(module.weight, mode="fan_in")
                if module.bias is not None:
                    module.bias.normal_(0, 0.2)
    side = 299 if theirs == "inception_v3" else 224
    x = torch.randn(2, 3, side, side)
    with torch.inference_mode():
        logits = network.eval()(x)
    save_file({"x": x, "logits": logits.contiguous()}, folder / "answer.safetensors")
    if library == "timm":
        save_file(network.state_dict(), folder / "weights.safetensors")
    else:
        torch.save(network.state_dict(), folder / "weights.pth")
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__, "timm": timm.__version__}
    (folder / "versions.json").write_text(json.dumps(versions))


def measure(name: str, library: str, theirs: str, peer: str) -> tuple[dict[str, object], dict[str, str]]:
    """The largest difference for one network, and the peer's versions."""
    import torch
    from safetensors.torch import load_file

    from neocog.pretrained import weights

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        subprocess.run([peer, __file__, "--draw", library, theirs, place], check=True)
        file = next(folder.glob("weights.*"))
        row = name.removeprefix("timm: ")
        found = weights.identify(file)
        published = weights.load(row, file)
        answer = load_file(folder / "answer.safetensors")
        with torch.inference_mode():
            logits = published.network(answer["x"])
        largest = float(answer["logits"].abs().max())
        difference = float((logits - answer["logits"]).abs().max()) / largest
        versions = json.loads((folder / "versions.json").read_text())
    return {
        "network": row, "library": library, "theirs": theirs, "identified_as": found,
        "largest_logit": round(largest, 4), "difference": float(f"{difference:.3g}"),
        "same": difference <= TOLERANCE and found == row,
    }, versions  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", default=sys.executable)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--draw", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.draw:
        draw(options.draw[0], options.draw[1], Path(options.draw[2]))
        return 0
    import torch

    from neocog._version import __version__
    from neocog.files import write_json

    rows, versions = [], {}
    for name, (library, theirs) in NETWORKS.items():
        if options.only and name not in options.only:
            continue
        row, versions = measure(name, library, theirs, options.peer)
        rows.append(row)
        print(json.dumps(row), flush=True)
    if not options.only:
        ours = {"neocog": __version__, "torch": torch.__version__}
        write_json(RESULTS, {"tolerance": TOLERANCE, "peer": versions, "ours": ours, "networks": rows})
    return 0 if all(row["same"] for row in rows) else 4


if __name__ == "__main__":
    sys.exit(main())
