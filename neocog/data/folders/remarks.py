"""What a reader should know of decoded pictures: copies, leaks between splits, two labels for one picture,
pictures unlike the others, classes far from balanced.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from torch import Tensor

from neocog.data.folders.listing import Listing
from neocog.data.folders.picture_cache import Decoded
from neocog.data.names import shown, some
from neocog.data.targets import form_of

FEWER_COLOURS, ODD_SHARE = 20, 0.05
"""A picture is odd that has so many times fewer colours than is usual, where no more than this share has."""
IMBALANCE = 5
"""How many times as many pictures the largest class may have before a remark is made."""


def of_pictures(listing: Listing, pictures: Decoded, y: Tensor, rows: Mapping[str, Tensor]) -> list[str]:
    """The remarks on all pictures as they were divided: `y` are the targets of `pictures`, one a row, and
    `rows` the numbers in each split. Those on train come last.
    """
    train = y[rows["train"]]
    return [
        *_copies(listing, pictures),
        *_leaks(rows, listing, pictures),
        *_two_labels(y, pictures),
        *_odd_ones(listing, pictures),
        *_imbalance(train, listing.classes),
    ]


def _copies(listing: Listing, pictures: Decoded) -> list[str]:
    """How many pictures are copies, exact and near."""
    near = [family for family in pictures.families if len({pictures.rows[i].pixels for i in family}) > 1]
    if not pictures.families:
        return []
    extra = sum(len(family) - 1 for family in pictures.families)
    said = f"{extra} pictures are copies of others"
    if near:
        said += f", in {len(near)} groups nearly (such as {_pair(near[0][:2], listing, pictures)})"
    return [f"{said}; copies are held out together"]


def _leaks(rows: Mapping[str, Tensor], listing: Listing, pictures: Decoded) -> list[str]:
    """The same pixels, or nearly, in two splits."""
    inside = {i: name for name, numbers in rows.items() for i in numbers.tolist()}
    exact: Counter[tuple[str, str]] = Counter()
    near: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for family in pictures.families:
        for i in family:
            for kept in {inside.get(j) for j in family} - {inside.get(i), None}:
                assert kept is not None  # taken out just before
                pair = (kept, inside.get(i, ""))
                others = [j for j in family if inside.get(j) == kept]
                if any(pictures.rows[j].pixels == pictures.rows[i].pixels for j in others):
                    exact[pair] += 1
                else:
                    near.setdefault(pair, []).append((others[0], i))
    remarks = []
    for kept, other in (("train", "val"), ("train", "test"), ("val", "test")):
        if count := exact[kept, other]:
            remarks.append(
                f"{count} pictures of {other} are also in {kept}, pixel for pixel; "
                f"results on {other} will flatter"
            )
        if pairs := near.get((kept, other)):
            remarks.append(
                f"{len(pairs)} pictures of {other} are nearly the same as one of {kept} "
                f"(such as {_pair(pairs[0], listing, pictures)}); results on {other} will flatter"
            )
    return remarks


def _two_labels(y: Tensor, pictures: Decoded) -> list[str]:
    exact = near = 0
    for family in pictures.families:
        labels: dict[str, set[str]] = {}
        for i in family:
            labels.setdefault(pictures.rows[i].pixels, set()).add(str(y[i].tolist()))
        exact += sum(len(found) > 1 for found in labels.values())
        near += len(labels) > 1 and len(set().union(*labels.values())) > 1
    remarks = [f"{exact} pictures occur under more than one class, pixel for pixel"] if exact else []
    return remarks + ([f"{near} groups of near copies lie in more than one class"] if near else [])


def _odd_ones(listing: Listing, pictures: Decoded) -> list[str]:
    """Pictures of very few colours among photos: a drawing, or a placeholder that a site sent instead."""
    usual = statistics.median(row.colours for row in pictures.rows)
    odd = [listing.items[row.item].path for row in pictures.rows if row.colours * FEWER_COLOURS < usual]
    if not odd or len(odd) > ODD_SHARE * len(pictures.rows):
        return []
    return [f"far fewer colours than the others have: {some(odd, 5)}; look whether they are placeholders"]


def _pair(pair: Sequence[int], listing: Listing, pictures: Decoded) -> str:
    return " and ".join(shown(listing.items[pictures.rows[i].item].path) for i in pair)


def _imbalance(y: Tensor, classes: tuple[str, ...]) -> list[str]:
    found = form_of(y).counts(y, len(classes))
    counts = [(n, name) for n, name in zip(found, classes) if n]
    if not counts:
        return []
    (few, rare), (many, common) = min(counts), max(counts)
    if many <= IMBALANCE * few:
        return []
    return [
        f"classes are far from balanced: {many} training pictures of {shown(common)}, {few} of {shown(rare)}"
    ]
