"""Figures that the documents print are those of the results/*.json that they come from: written anew from the
numbers there, each sentence must stand in its page."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def result(name: str) -> Any:
    return json.loads((ROOT / "results" / f"{name}.json").read_text())


def row(name: str, what: str) -> dict[str, Any]:
    """The row `what` of an experiment, with its measurement under 'detail'."""
    return next(each for each in result(name)["rows"] if each["what"] == what)


def reached(name: str, what: str, digits: int = 1) -> str:
    return f"{100 * row(name, what)['detail']['accuracy']:.{digits}f} %"


CONV, DENSE = "the convolutional network", "the dense network on grey pixels"


def of_recipes() -> Iterator[tuple[str, str]]:
    yield "README.md", f"(10 epochs, 76 s) | {reached('M9', '10 epochs', 2)} |"
    yield "README.md", f"(shapes drawn by the program) | {reached('G2', CONV)} |"
    yield "README.md", f"(colours and shapes) | {reached('G3', CONV)} |"
    for name, what, said in (
        ("E1", "three convolutions on Fashion-MNIST", "train e1` (Fashion-MNIST)"),
        ("C1", "one convolution, dense 512", "train c1` (CIFAR-10, pictures that went through JPEG)"),
        ("C2", "three blocks of two convolutions", "train c2` (CIFAR-10, 50 epochs)"),
    ):
        yield "README.md", f"| `neocog {said} | {reached(name, what, 2)} |"
    g2, g3, g1 = (reached(name, DENSE) for name in ("G2", "G3", "G1"))
    yield (
        "docs/experiments.md",
        f"`neocog train g2 --model g-dense --epochs 100` reaches {g2}, `g3` with it {g3}",
    )
    yield "docs/experiments.md", f"(`preprocess.scale=unit optim.clip=0`, seed 1), {g1}."
    seeds = row("G1", "under eight seeds")["detail"]
    shares = [run["right"] / seeds["n"] for run in seeds["runs"]]
    low, high, mean = (f"{100 * n:.1f} %" for n in (min(shares), max(shares), sum(shares) / len(shares)))
    enough = {7: "seven"}[sum(share >= seeds["published"] for share in shares)]
    said = (
        f"By torch it is {mean} in the mean of eight seeds, from {low} to {high}, {enough} at 96.3 % or more"
    )
    yield "docs/experiments.md", said


def of_keras() -> Iterator[tuple[str, str]]:
    """Of the recipes whose figure is below the published one."""
    found = result("keras_chapters")["recipes"]
    rows = {
        each["detail"]["recipe"]: each["detail"]
        for name in ("M2", "M3", "M4", "E2", "E3", "E7", "C0", "C4", "C7")
        for each in result(name)["rows"]
        if each["detail"].get("published") is not None
    }
    assert rows.keys() == found.keys()
    more = {}
    for name, detail in rows.items():
        assert detail["accuracy"] < detail["published"]
        theirs = statistics.fmean(found[name]["printed" if detail["split"] == "printed" else "test"])
        assert theirs < detail["published"]
        more[name] = theirs - detail["accuracy"]
    better = {name: 100 * gain for name, gain in more.items() if gain > 0}
    assert better.keys() == {"c4", "c7"}
    spread = [run["right"] / rows["c7"]["n"] for run in rows["c7"]["runs"]]
    assert len(spread) == 3
    assert more["c7"] < max(spread) - min(spread)
    norms = result("norm_statistics")["accuracy"]
    trained, moved, plain = (
        100 * norms[way] for way in ("as trained", "of augmented pictures", "of pictures as they are")
    )
    ended = 100 * row("C3", "C2 with augmentation")["detail"]["accuracy"]
    assert ended == pytest.approx(trained)
    yield "docs/experiments.md", f"C3 ends at {ended:.1f} % of the test pictures"
    yield "docs/experiments.md", f"it is {plain:.1f} %; from augmented ones {moved:.1f} % (`bench/norm"
    first = result("keras_chapters")["begun"]["c3"]
    here, there = (
        f"{', '.join(shares[:-1])} and {shares[-1]} %"
        for shares in ([f"{100 * share:.1f}" for share in first[side]] for side in ("neocog", "keras"))
    )
    yield "docs/experiments.md", f"Its first four epochs end at {here} here, in Keras at {there}."
    mended = row("C3", "the rate falls to nothing, and statistics are taken anew")
    assert mended["detail"]["changes"][:2] == ["optim.schedule=cosine", "statistics=retaken"]
    reached = 100 * mended["detail"]["accuracy"]
    assert mended["verdict"] == "worse"
    said = "c3 --set optim.schedule=cosine --set statistics=retaken` ends at"
    yield "docs/experiments.md", f"{said} {reached:.1f} %, {reached - ended:.1f} points more"
    c4, c7 = (f"{better[name]:.1f}" for name in ("c4", "c7"))
    said = f"in C4 (by {c4} points) and C7 (by {c7}, within what three seeds differ by)"
    yield "docs/experiments.md", said
    yield "docs/experiments.md", f"in the other { {7: 'seven'}[len(rows) - len(better)] }."


def of_exercises() -> Iterator[tuple[str, str]]:
    rows = {each["what"].removesuffix(" beats E1"): each for each in result("E8")["rows"]}
    share = {name: each["detail"]["right"][0] / 100 for name, each in rows.items()}  # of 10,000
    deeper = rows["C2's network, 10 epochs"]
    assert [name for name, each in rows.items() if each["verdict"] == "holds"] == ["C2's network, 10 epochs"]
    assert all(
        each["verdict"] == "cannot be told apart"
        for each in rows.values()
        if each not in (deeper, rows["E1"])
    )
    gain = share["C2's network, 10 epochs"] - share["E1"]
    ours, theirs = deeper["detail"]["cost"]
    yield (
        "docs/experiments.md",
        f"the deeper network gains {gain:.1f} points at {ours / theirs:.1f} times the multiply-accumulates",
    )
    longer, soon = (f"{share[f'dropout, {n} epochs']:.1f} %" for n in (30, 10))
    yield "docs/experiments.md", f"({longer}, after 10 it is {soon})"


def of_restoring() -> Iterator[tuple[str, str]]:
    loss = row("M12", "training loss after 10 epochs")["ours"]
    yield "docs/restore.md", f"`m12` ends with a training loss of {loss} (0.0777 was published)"
    for each in result("M12")["rows"]:
        if each["what"].endswith("PSNR and SSIM"):
            said = each["ours"].replace(",", "").split()
            restored, damaged = (float(said[said.index(word) + 1]) for word in ("restored", "damaged"))
            assert restored > damaged + 3, each
    words = row("M12", "test digits, PSNR and SSIM")["ours"].replace(",", "").split()
    (after, better), (before, worse), (median, flat) = (
        (words[n], words[n + 3]) for n in (words.index(w) + 1 for w in ("restored", "damaged", "filter"))
    )
    yield "docs/restore.md", f"from {before} to {after} dB and from an SSIM of {worse} to {better}"
    yield "docs/restore.md", f"a median filter has {median} dB and {flat}."


def figure(n: float) -> str:
    """Of pictures per second: three digits or more."""
    return f"{n:,.0f}" if n >= 100 else f"{n:.1f}" if n >= 10 else f"{n:.2f}"


NETWORKS = {"lenet": "LeNet", "c2": "C2's network", "resnet18": "ResNet18", "vgg16": "VGG16"}


def of_training_speed() -> Iterator[tuple[str, str]]:
    limits = {(r["network"], r["precision"]): r for r in result("steps")["rows"]}
    ratio = {}
    for r in result("throughput")["rows"]:
        case = r["network"], r["precision"]
        ratio[case] = f"{r['neocog'] / r['keras']:.1f}"
        sides = (figure(r[k]) if k in r else "" for k in ("neocog", "plain", "keras", "keras_jax"))
        limit = limits.get(case)
        shares = (
            [f"{100 * limit[k]:.0f} %" for k in ("of_own_shapes", "of_large_product")] if limit else ["", ""]
        )
        cells = [f"{NETWORKS[r['network']]}, batch {r['batch']}", r["precision"], *sides, *shares]
        yield "docs/speed.md", "| " + " | ".join(cells) + " |"
    share = {case: {k: f"{100 * r[k]:.0f} %" for k in r if k.startswith("of_")} for case, r in limits.items()}
    large = [share["c2", p]["of_large_product"] for p in ("float32", "bfloat16")]
    yield "docs/speed.md", f"C2's network reaches both here ({large[0]} and {large[1]})"
    own = [share["lenet", p]["of_own_shapes"] for p in ("float32", "bfloat16")]
    yield "docs/speed.md", f"LeNet its 75 % in float32 ({own[0]}; in one"
    yield "docs/speed.md", f"**not in bfloat16 ({own[1]})**"
    made = {case: f"{r['compiled_speed']:.2f}" for case, r in limits.items()}
    yield (
        "docs/speed.md",
        f"has {made['c2', 'float32']} of the speed for C2's network in float32, {made['c2', 'bfloat16']} in "
        f"bfloat16, and {made['lenet', 'float32']} and {made['lenet', 'bfloat16']} for LeNet",
    )
    c2, lenet = ([ratio[name, p] for p in ("float32", "bfloat16")] for name in ("c2", "lenet"))
    yield "README.md", f"C2's network trains at {c2[0]} (float32) and {c2[1]} (bfloat16) times"
    yield "README.md", f"LeNet at {lenet[0]} and {lenet[1]}: medians of rounds in turn"


def of_answers() -> Iterator[tuple[str, str]]:
    names = {**NETWORKS, "efficientnet_lite0": "EfficientNet-Lite0"}
    for r in result("inference")["rows"]:
        sides = (
            figure(r[k]) if k in r else "" for k in ("plain", "folded", "bfloat16", "onnxruntime", "keras")
        )
        yield "docs/speed.md", "| " + " | ".join([names[r["network"]], str(r["batch"]), *sides]) + " |"


def of_reading_and_neighbours() -> Iterator[tuple[str, str]]:
    sides = {r["side"]: r["ratio"] for r in result("ingest")["rows"] if "side" in r}
    times = {4: "four", 5: "five"}[round(sides["reduced"] / sides["all cores"])]
    yield "docs/data.md", f"photos of 12 megapixels about {times} times as fast (`results/ingest.json`)"
    one, every, reduced = (f"{sides[side]:.1f}" for side in ("one core", "all cores", "reduced"))
    yield (
        "docs/speed.md",
        f"{one} times as fast on one core, {every} times on two, with `preprocess.reading` reduced "
        f"{reduced} times",
    )
    for r in result("neighbour")["rows"]:
        cells = [r["side"], r["precision"], f"{r['alone']:,.0f}", f"{r['beside']:,.0f}"]
        yield "docs/speed.md", "| " + " | ".join([*cells, f"{r['beside'] / r['alone']:.2f}"]) + " |"


def of_the_doctors() -> Iterator[tuple[str, str]]:
    doctor, healthy, asked = result("doctor"), result("healthy"), result("questions")
    rows = doctor["rows"]
    found, named = (sum(r[key] for r in rows) for key in ("found", "named right"))
    mended = sum(bool((r["mended"] or {}).get("reached")) for r in rows)
    assert not doctor["false alarms"]
    assert healthy["false alarms"] == 0
    yield (
        "docs/training.md",
        f"of {len(rows)} faults planted there {found} are found, {named} named right and {mended} mended by "
        f"what is proposed, with no false alarm in {doctor['healthy']} healthy trainings, nor in "
        f"{healthy['healthy']} of the recipes",
    )
    threads, among = sum(bool(q["seen"]) for q in asked), sum(q["among"] for q in asked)
    yield "docs/networks.md", f"asks {len(asked)} questions"
    yield "docs/networks.md", f"({threads} with their thread, {len(asked) - threads} kinds without one)"
    yield "docs/networks.md", f"among the cures: {among} of {len(asked)}."


def of_maps() -> Iterator[tuple[str, str]]:
    differences = result("captum_parity")["differences"]
    summed = ("integrated", "occlusion")
    apart = [
        max(v for net in differences.values() for how, v in net.items() if (how in summed) is yes)
        for yes in (False, True)
    ]
    exact, float32 = (f"{n:.0e}".replace("e-0", "e-") for n in apart)
    count = {7: "seven"}[len(differences)]
    yield "docs/inside.md", f"on {count} networks of the zoo: apart by {exact} of the largest value at most"
    # the summed ones are said rounded up
    assert float(float32) <= 5e-8
    yield "docs/inside.md", "by 5e-8 for `integrated`"
    every = next(r for r in result("verdict")["rows"] if r["how"] == "all")
    assert every["use_but_less"] == 0
    use, ignore, there = every["words"]["use"], every["words"]["ignore"], every["on_the_square"]
    yield (
        "docs/inside.md",
        f"Of {every['maps']:,} maps of sixteen networks that played no part in that, {there} have that much, "
        f"and the {use} called `use` are all among them; {ignore} were called `ignore`",
    )


def of_holes() -> Iterator[tuple[str, str]]:
    rows = {r["kind"]: r for r in result("holes")}
    jpeg = [r for kind, r in rows.items() if kind.startswith("JPEG")]
    cuts, holes = (sum(r[key] for r in jpeg) for key in ("cuts", "holes"))
    assert sum(r["cuts passed"] for r in jpeg) == 0
    passed = rows["JPEG, progressive"]
    assert sum(r["holes passed"] for r in jpeg) == passed["holes passed"]
    yield "docs/data.md", f"Of {cuts} JPEGs cut off behind a new end marker, all were refused"
    yield (
        "docs/data.md",
        f"of {holes} with a hole of 512 zeros all but {passed['holes passed']}, which were progressive "
        f"and had at most {passed['wrong']:.1%} of".replace("%", " %"),
    )
    lzw, zstandard = rows["TIFF, LZW"], rows["TIFF, Zstandard"]
    others = [r for r in rows.values() if r not in (*jpeg, lzw, zstandard)]
    assert [r["holes passed"] for r in others] == [0] * 7
    yield (
        "docs/data.md",
        f"with LZW {lzw['holes passed']} passed, with {100 * lzw['wrong']:.1f} % of the pixels wrong, with "
        f"Zstandard {zstandard['holes passed']}, with at most {100 * zstandard['wrong']:.1f} %",
    )


def of_borrowing() -> Iterator[tuple[str, str]]:
    rows: dict[tuple[str, str], dict[int, list[dict[str, Any]]]] = {}
    for r in result("borrowing")["rows"]:
        rows.setdefault((r["set"], r["start"]), {}).setdefault(r["size"], []).append(r)
    sizes = (1, 5, 10, 20, 50, 100, 200, 500)
    for (name, start), by_size in rows.items():
        shares = [
            f"{100 * sum(r['right'] for r in some) / sum(r['n'] for r in some):.1f} %" if some else ""
            for some in (by_size.get(size, []) for size in sizes)
        ]
        kind = "from nothing" if start == "nothing" else "borrowed eyes"
        n = next(iter(by_size.values()))[0]["n"]
        yield "docs/transfer.md", "| " + " | ".join([name, str(n), kind, *shares]) + " |"


def of_exchanged_labels() -> Iterator[tuple[str, str]]:
    names: dict[str, list[str]] = {}
    for r in result("labels")["rows"]:
        mean = sum(right / n for right, n in r["draws"]) / len(r["draws"])
        names.setdefault(f"{r['set']}, {r['pictures']:,}", []).append(f"{100 * mean:.0f} %")
    for name, shares in names.items():
        yield "docs/transfer.md", "| " + " | ".join([name, *shares]) + " |"


SOURCES: tuple[Callable[[], Iterator[tuple[str, str]]], ...] = (
    of_recipes, of_exercises, of_keras, of_restoring, of_training_speed, of_answers,
    of_reading_and_neighbours, of_the_doctors, of_maps, of_holes, of_borrowing, of_exchanged_labels,
)  # fmt: skip


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_documents_say_what_the_results_say(source: Callable[[], Iterator[tuple[str, str]]]) -> None:
    for page, sentence in source():
        text = " ".join((ROOT / page).read_text().split())
        assert " ".join(sentence.split()) in text, f"{page} should say: {sentence}"
