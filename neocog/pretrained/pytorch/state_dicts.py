"""torchvision's and timm's state dicts, as `.pth` or safetensors -> what they say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from neocog.errors import UnreadableError
from neocog.pretrained import releases as published
from neocog.pretrained.fitting import Found, bare, ignored
from neocog.pretrained.pytorch import names as torch_names
from neocog.pretrained.pytorch import tensor_file
from neocog.pretrained.releases import Source
from neocog.zoo import ZOO, Architecture
from neocog.zoo.habits import Manner


def found_in(row: Architecture, path: Path) -> Found:
    """What the state dict in `path` says of the row's network. `UnreadableError` where it is of another."""
    held = tensor_file.read(path)
    _check_architecture(row.name, held.metadata.get("architecture"), path)
    theirs = {torch_names.tidied(key): tensor for key, tensor in held.tensors.items()}
    theirs = {key: tensor for key, tensor in theirs.items() if not ignored(key)}
    source, names = _torch_table(row.name, theirs, path)
    head = list(names)[-1]
    classes = theirs[f"{head}.weight"].shape[0] if f"{head}.weight" in theirs else 1
    tensors, unexpected = {}, []
    skeleton = dict(bare(row.name, classes).state_dict())
    for key, tensor in theirs.items():
        prefix, _, suffix = key.rpartition(".")
        if prefix not in names:
            unexpected.append(key)
            continue
        ours = f"{names[prefix]}.{suffix}"
        wanted = skeleton.get(ours)
        # timm's VGG keeps the dense layers as convolutions, 7x7 and 1x1: the same numbers in the same order
        flat = (
            wanted is not None and wanted.ndim == 2 and tensor.ndim == 4 and tensor.numel() == wanted.numel()
        )
        tensors[ours] = tensor.flatten(1) if flat else tensor
    _fold_biases(tensors, skeleton)
    manner = published.TORCHVISION_MANNERS.get(row.name, Manner())
    if source == "pytorch_resnet_cifar10":
        manner = Manner(zeros="around")
    if "padding" in held.metadata:
        manner = manner.model_copy(update={"padding": _padding(held.metadata["padding"], path)})
    partial = "part" in held.metadata
    return Found(
        tensors=tensors, unexpected=tuple(unexpected), classes=classes, source=source, manner=manner,
        partial=partial, metadata=held.metadata,
    )  # fmt: skip


def _fold_biases(tensors: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """torchvision's VGGs add a bias before a normalisation, which takes it away with the mean: so can we."""
    for key in [key for key in tensors if key.endswith(".conv.bias") and key not in wanted]:
        mean = key.replace(".conv.bias", ".norm.running_mean")
        if mean in tensors:
            tensors[mean] = tensors[mean].float() - tensors.pop(key).float()


def _torch_table(name: str, theirs: Mapping[str, Tensor], path: Path) -> tuple[Source, dict[str, str]]:
    """The table of names, by whose library, that knows most of the file's tensors."""
    network = bare(name)
    tables: dict[Source, dict[str, str]] = {
        "torchvision": torch_names.torchvision(name, network),
        "timm": torch_names.timm(name, network),
        "efficientnet_pytorch": torch_names.efficientnet_pytorch(name, network),
        "pytorch_resnet_cifar10": torch_names.resnet_cifar10(name, network),
    }
    known = {source: sum(k.rpartition(".")[0] in table for k in theirs) for source, table in tables.items()}
    best = max(tables, key=known.__getitem__)  # torchvision where they know alike
    if not any(tables.values()):
        accepted = ", ".join(n for n in ZOO if torch_names.known(n))
        raise UnreadableError(
            f"no published state dict is known for {name}, so {path} cannot be read (known: {accepted})"
        )
    if not known[best]:
        sample = ", ".join(sorted(theirs)[:3])
        raise UnreadableError(
            f"{path} holds no weights of {name}: its tensors are called {sample}; check the name"
        )
    return best, tables[best]


def _padding(word: str, path: Path) -> str:
    meanings = {"tensorflow": "same", "same": "same", "torch": "half", "symmetric": "half", "half": "half"}
    if word not in meanings:
        raise UnreadableError(
            f"{path}: its metadata name a padding '{word}' (accepted: {', '.join(meanings)})"
        )
    return meanings[word]


def fits(name: str, theirs: set[str]) -> bool:
    """Whether tensors called `theirs` are those of the row `name`, neither more nor less."""
    if not torch_names.may_be(name, theirs):
        return False
    theirs = {key for key in theirs if not ignored(key)}
    network = bare(name)
    ours = {key for key in network.state_dict() if not ignored(key) and not key.startswith("aux.")}
    for names in (
        torch_names.torchvision,
        torch_names.timm,
        torch_names.efficientnet_pytorch,
        torch_names.resnet_cifar10,
    ):
        table = names(name, network)
        back = {mine: their for their, mine in table.items()}
        expected = {f"{back[k.rpartition('.')[0]]}.{k.rpartition('.')[2]}" for k in ours} if table else {""}
        biases = {f"{their}.bias" for their in table}  # some are folded
        if expected <= theirs and theirs - expected <= biases:
            return True
    return False


def misfits(name: str, theirs: Mapping[str, Tensor]) -> int:
    """How many tensors of a file whose names `fits` the row `name` have another size than its network's; the
    classifier's do not count, which may have other classes.
    """
    network = bare(name)
    _, names = _torch_table(name, theirs, Path(name))
    *body, _ = names
    sizes = {key: tensor.numel() for key, tensor in network.state_dict().items()}
    return sum(
        theirs[f"{layer}.weight"].numel() != sizes[f"{names[layer]}.weight"]
        for layer in body
        if f"{layer}.weight" in theirs
    )


def _check_architecture(name: str, found: str | None, path: Path) -> None:
    if found is not None and found != name:
        raise UnreadableError(f"{path} holds weights of {found}, not of {name}")
