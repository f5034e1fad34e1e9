"""Weights from the Hugging Face hub: the safetensors file of a repository, its configuration beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from neocog.errors import NetworkNeeded, UsageError, optional
from neocog.files import cache_dir

FILE = "model.safetensors"


def fetch(repository: str, *, announce: Callable[[str], None]) -> Path:
    """`model.safetensors` of `repository` (OWNER/NAME), and timm's `config.json` where there is one.

    The hub's client checks what it downloads; only safetensors are asked for. `announce` hears the licence
    first.
    Raises `NetworkNeeded` where the hub cannot be reached, and says what to put where.
    """
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repository):
        raise UsageError(
            f"'{repository}' is no repository; write hub:OWNER/NAME, for example hub:timm/resnet18.tv_in1k"
        )
    target = cache_dir() / "weights" / repository.replace("/", "--") / FILE
    if target.is_file():
        return target
    cure = f"put {FILE} of https://huggingface.co/{repository} in {target.parent}, or give it: --weights FILE"
    if os.environ.get("NEOCOG_OFFLINE", "0") not in ("", "0"):
        raise NetworkNeeded(f"no network (NEOCOG_OFFLINE is set); {cure}")
    client = optional("huggingface_hub", extra="hub")
    try:
        card = client.model_info(repository).card_data
        licence = getattr(card, "license", None) or "none stated"
        announce(f"{repository}: https://huggingface.co/{repository}; licence: {licence}")
        if client.file_exists(repository, "config.json"):
            client.hf_hub_download(repository, "config.json", local_dir=target.parent)
        client.hf_hub_download(repository, FILE, local_dir=target.parent)
    except (OSError, ValueError) as error:  # the hub's own errors are OSErrors, wrong names ValueErrors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise NetworkNeeded(f"cannot download {repository}: {reason[:200]}; {cure}") from error
    return target
