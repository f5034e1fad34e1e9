"""neocog: train convolutional networks on pictures, measure them, use them, and see inside.

The public names are the verbs, loaded when they are first used; importing neocog loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from neocog._version import __version__

if TYPE_CHECKING:
    from neocog.errors import NeocogError
    from neocog.model import Trained, open_trained
    from neocog.recipes.recipe import Recipe
    from neocog.runs.run import Run
    from neocog.studies.prove import prove
    from neocog.studies.reproduce import reproduce
    from neocog.studies.study import study
    from neocog.training.own import Own
    from neocog.verbs.compare import compare
    from neocog.verbs.doctor import doctor
    from neocog.verbs.evaluate import evaluate
    from neocog.verbs.explain import explain
    from neocog.verbs.features import features
    from neocog.verbs.look import look
    from neocog.verbs.predict import predict
    from neocog.verbs.restore import restore
    from neocog.verbs.stylize import stylize
    from neocog.verbs.summary import summary
    from neocog.verbs.train import forecast, resume, train
    from neocog.verbs.weights import weights

__all__ = [
    "NeocogError",
    "Own",
    "Recipe",
    "Run",
    "Trained",
    "__version__",
    "compare",
    "doctor",
    "evaluate",
    "explain",
    "features",
    "forecast",
    "look",
    "open_trained",
    "predict",
    "prove",
    "reproduce",
    "restore",
    "resume",
    "study",
    "stylize",
    "summary",
    "train",
    "weights",
]

_HOMES = {
    "NeocogError": "errors",
    "Own": "training.own",
    "Recipe": "recipes.recipe",
    "Run": "runs.run",
    "Trained": "model",
    "compare": "verbs.compare",
    "doctor": "verbs.doctor",
    "evaluate": "verbs.evaluate",
    "explain": "verbs.explain",
    "features": "verbs.features",
    "forecast": "verbs.train",
    "look": "verbs.look",
    "open_trained": "model",
    "predict": "verbs.predict",
    "prove": "studies.prove",
    "reproduce": "studies.reproduce",
    "restore": "verbs.restore",
    "resume": "verbs.train",
    "study": "studies.study",
    "stylize": "verbs.stylize",
    "summary": "verbs.summary",
    "train": "verbs.train",
    "weights": "verbs.weights",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"neocog.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'neocog' has no attribute '{name}'")
