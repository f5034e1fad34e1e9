"""Asked: what the WHAT of a training means: a recipe, a data set that has one, or a user's own pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neocog.data import DATASETS, Data
from neocog.data.choice import OWN
from neocog.data.folders.extent import Extent
from neocog.data.own import OwnData, find_own
from neocog.errors import UnreadableError, UsageError, unknown
from neocog.files import named_as_path, read_json, require_named
from neocog.pretrained.network_files import layers_of
from neocog.recipes import chapters
from neocog.recipes.recipe import Recipe, from_json, unpublished
from neocog.zoo import ZOO, Model, architecture


@dataclass(frozen=True, slots=True)
class Asked:
    """What WHAT turned out to mean; `opened` and its `extent` where it was a user's own data."""

    recipe: Recipe
    name: str
    where: Path | None = None
    reasons: tuple[str, ...] = ()
    opened: OwnData | None = None
    extent: Extent | None = None


def asked(what: str | Path | Recipe, data: str | Path | None) -> Asked:
    """What `what` names (a recipe, its name, its JSON file, a data set, pictures), on `data` where given."""
    require_named(what, data)
    found = Asked(what, "run") if isinstance(what, Recipe) else _named(str(what), Path(what), data)
    if data is not None and found.where is not None:
        raise UsageError(
            f"{what} are pictures already, and --data names others; give one of them, "
            "or a recipe or recipe.json in place of the first"
        )
    if data is None:
        if found.recipe.data.name in OWN and found.where is None:
            raise UsageError(f"'{found.name}' was trained on a folder of pictures; say which: --data FOLDER")
        return found
    place = Path(data)
    if str(data) in DATASETS and not place.exists():
        other = found.recipe.data.model_copy(update={"name": str(data), "task": None})
        recipe = unpublished(found.recipe.model_copy(update={"data": other}), found.recipe)
        return Asked(recipe, f"{found.name}-{data}")
    if not place.exists() and named_as_path(str(data)):
        raise UnreadableError(
            f"there is no file or folder at {data}; give a data set or a folder of pictures"
        )
    if not place.exists():
        raise unknown("data set or folder", str(data), DATASETS)
    built_in = (
        found.recipe.data
        if found.recipe.data.name in OWN
        else Data(name="folder", held_out=found.recipe.data.held_out)
    )
    recipe = unpublished(found.recipe.model_copy(update={"data": built_in}), found.recipe)
    return Asked(recipe, found.name, place)


def _named(what: str, path: Path, data: str | Path | None) -> Asked:
    if (path / "recipe.json").exists():
        raise UsageError(f"{path} is a run; to go on with it: neocog train --resume {path}")
    opened = find_own(path)
    if opened is not None:
        extent = opened.extent()
        recipe, reasons = chapters.for_folder(extent)
        name = path.name.split(".")[0] if path.is_file() else path.resolve().name
        return Asked(recipe, name or "photos", path, reasons, opened, extent)
    if path.is_file():
        try:
            return Asked(from_json(read_json(path), within=str(path)), path.stem)
        except (UnreadableError, UsageError) as error:
            if what not in chapters.RECIPES and what not in chapters.FOR_DATA:
                raise
            raise type(error)(
                f"{error}\n({what} is a file that lies here under that name, not what is built in; to have "
                "that, rename the file or work elsewhere)"
            ) from error
    what = what if named_as_path(what) else what.lower()  # M9 and MNIST are m9 and mnist
    if what in chapters.RECIPES:
        return Asked(chapters.RECIPES[what], what)
    if what in chapters.FOR_DATA:
        recipe = chapters.for_data(what)
        return Asked(recipe, what, reasons=(f"{what}: recipe '{chapters.FOR_DATA[what]}', {recipe.title}",))
    if named_as_path(what):
        raise UnreadableError(
            f"there is no file or folder at {what}; "
            "give a recipe, a recipe.json, a data set or a folder of pictures"
        )
    if what in ZOO:
        raise UsageError(f"'{what}' is a network; say what it learns: neocog train DATA --model {what}")
    raise unknown("recipe, data set or folder", what, [*chapters.RECIPES, *chapters.FOR_DATA])


def model_of(model: str | Path) -> Model:
    """A network of the zoo by its name, or the layer list in a JSON file."""
    if Path(model).suffix == ".json":
        return Model(layers=layers_of(read_json(Path(model))))
    if str(model) not in ZOO and named_as_path(str(model)):
        raise UnreadableError(f"there is no layer list at {model}; give a network's name or a .json file")
    return Model(name=architecture(str(model)).name)
