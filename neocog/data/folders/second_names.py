"""Second names: files that stand in a folder several times, through links or hard links.

A picture belongs to every class folder that holds a name of it, and counts once in each. A folder whose
pictures are handed out to class folders by names is a pool and no class.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from neocog.data.names import SplitName, natural, shown, some
from neocog.pictures.walk import Skipped, Walked


class Held(NamedTuple):
    """A file with the names of its split folder and class folder."""

    path: str
    stamp: str
    split: SplitName
    folder: str


@dataclass(frozen=True, slots=True)
class Settled:
    """The files that count, those that do not, and the `pools`, each with its remark."""

    files: list[Held]
    loose: list[Skipped]
    pools: dict[str, str]


def settled(files: list[Held], found: Walked) -> Settled:
    """Each file once in every class folder that holds it, without pools.

    A pool is larger than the two or more class folders of its split in which its pictures stand too: half of
    its own or more by links, or all of them by hard links.
    """
    if not found.names:
        return Settled(files, [], {})
    place = {file.path: (file.split, file.folder) for file in files}
    second: set[str] = set()
    names = []
    for group in found.names:
        first: dict[tuple[SplitName, str], str] = {}
        for path in group:
            if path in place and first.setdefault(place[path], path) != path:
                second.add(path)
        names.append(first)
    kept = [file for file in files if file.path not in second]
    loose = [Skipped(path, "the same file as another one, under a second name") for path in sorted(second)]
    pools = _pools(kept, names, found.links)
    loose += [
        Skipped(file.path, "lies in a pool, out of which class folders are filled")
        for file in kept
        if file.folder in pools
    ]
    return Settled([file for file in kept if file.folder not in pools], loose, pools)


def _pools(
    files: list[Held], names: list[dict[tuple[SplitName, str], str]], links: set[str]
) -> dict[str, str]:
    size = Counter((file.split, file.folder) for file in files)
    own = Counter((file.split, file.folder) for file in files if file.path not in links)
    linked: Counter[tuple[SplitName, str]] = Counter()
    covered: Counter[tuple[SplitName, str]] = Counter()
    takers: dict[tuple[SplitName, str], set[str]] = defaultdict(set)
    for group in names:
        for of, path in group.items():
            others = [
                (other[1], name)
                for other, name in group.items()
                if other[0] == of[0] and size[other] < size[of]
            ]
            if path not in links and others:
                covered[of] += 1
                linked[of] += any(name in links for _, name in others)
                takers[of].update(folder for folder, _ in others)
    return {
        of[1]: f"{shown(of[1])}/ is a pool and no class: {covered[of]} of its {size[of]} pictures stand in "
        f"{some(sorted(takers[of], key=natural), 5)} too"
        for of in size
        if len(takers[of]) > 1 and (2 * linked[of] >= own[of] or covered[of] == own[of])
    }
