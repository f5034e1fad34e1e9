"""The whole way on the handwritten digits inside the package: look, train, evaluate, predict; then a photo of
a cat, named by a network that has seen ImageNet. `make demo` runs it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from neocog.data.sources.example_photos import photo

SHOWN = Path("runs/demo")


def neocog(*argv: str) -> None:
    """One command of the command line, printed as one would type it."""
    print(f"\n$ neocog {' '.join(argv)}", flush=True)
    subprocess.run([sys.executable, "-m", "neocog", *argv], check=True)


def main() -> None:
    run = SHOWN
    if run.exists():
        run = Path(tempfile.mkdtemp(prefix="demo-", dir=SHOWN.parent)) / "run"
    neocog("look", "digits")
    neocog("train", "digits", "--out", str(run))
    neocog("evaluate", str(run))
    neocog("predict", str(run), "--split", "test", "--index", "0,17,33", "--top", "3")
    neocog("predict", "efficientnet_lite1", os.path.relpath(photo("cat")), "--top", "3")
    print(f"\nPictures and figures: {run}/report.html, {run}/curves.png, {run}/first_batch.png")


if __name__ == "__main__":
    main()
