"""Train a classifier as a request says, and its twin, and compare them."""

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from advcli import registry
from advcli.data.dataset import Dataset
from advcli.datasets import open_dataset
from advcli.options import changed_options
from advcli.plugins import refuse_recorded_permission
from advcli.records import Progress, Record
from advcli.tasks.request import bytes_of
from advcli.tasks.train.cost_estimate import plan
from advcli.tasks.train.distribution import Devices, find_devices
from advcli.tasks.train.named_recipe import with_recipe
from advcli.tasks.train.recipe import Recipe, TrainingData, prepare, resolve
from advcli.tasks.train.request import Execution, Request
from advcli.tasks.train.run_folder import Run
from advcli.tasks.train.start import load_start
from advcli.tasks.train.start_choice import (
    choose_start,
    classes_of,
    data_of,
    digest_of,
    name_of_run,
    refuse_other_start,
    refuse_overwriting,
)
from advcli.tasks.train.training_run import Events, TrainingRun
from advcli.tasks.train.twin_comparison import compare, radii_to_compare, refuse_incomparable
from advcli.tasks.train.validate import check_execution
from advcli.tasks.train.workers import find_workers


@dataclass(frozen=True)
class Job:
    """A validated request.

    Args:
        recipe: the recipe.
        dataset: the data set.
        run: the run folder.
        how: the options of the execution.
        unfreeze_chosen: whether the user chose the layers that learn.
        guard_chosen: whether the user chose what an alarm does.
        alternatives: the other recipes, whose cost is estimated too.
    """

    recipe: Recipe
    dataset: Dataset
    run: Run
    how: Execution
    unfreeze_chosen: bool = True
    guard_chosen: bool = True
    alternatives: tuple[Recipe, ...] = ()

    def events(self) -> Iterator[Record | Progress]:
        """Train, or only estimate the cost."""
        recipe, dataset, start = self.recipe, self.dataset, None
        if recipe.classes:
            dataset = dataset.restrict(recipe.classes)
        if recipe.model is not None:
            yield Progress("reading the model", 0, 0)
            devices = find_devices("one" if self.how.plan else recipe.strategy)
            start = load_start(recipe, dataset, devices)
            recipe = start.complete(recipe, self.unfreeze_chosen, self.guard_chosen)
        yield Progress("reading the images", 0, 0)
        data = prepare(recipe, dataset, bytes_of(self.how.memory), start)
        if self.how.plan:
            yield from plan(recipe, data, self.run.name)
            for other in self.alternatives:
                other = other if start is None else start.complete(other, self.unfreeze_chosen, self.guard_chosen)
                yield from plan(other, data, f"{self.run.name.removesuffix(recipe.recipe or '')}{other.recipe}")
            return
        yield from train_model(
            recipe, data, self.run, resume=self.how.resume is not None, tensorboard=self.how.tensorboard
        )


def make_job(request: Request, how: Execution | None = None, asked: Collection[str] | None = None) -> Job:
    """Validate a request before images are read, and fill in its defaults.

    Args:
        request: what to do.
        how: how to do it.
        asked: the options that the user gave; None means those that differ from their default.

    Raises:
        UsageError: the request is invalid, or the run folder exists.
    """
    how = how or Execution()
    asked = changed_options(request, how) if asked is None and how.resume is None else asked
    wanted = request
    if how.resume is None:
        request = with_recipe(request, asked or ())
    check_execution(request, how, asked)
    if how.resume is not None:
        run = Run(how.resume)
        content = run.description.read_recipe()
        refuse_recorded_permission(content, request.unsafe_load, run.description.path)
        recipe = Recipe.from_json(content, f"'{run.description.path}'")
        given = changed_options(request) if asked is None else asked
        recipe = replace(
            recipe, **{name: getattr(request, name) for name in ("epochs", "strategy", "data") if name in given}
        )
        recipe = run.description.with_paths_found(recipe)
        refuse_other_start(recipe, recipe.model_sha256, run.folder)
        return Job(recipe, open_dataset(recipe.data), run, how)
    request = replace(request, data=data_of(request), classes=classes_of(request))
    start = choose_start(request)
    dataset = open_dataset(request.data)
    objective = registry.canonical(request.objective)
    way = objective if request.recipe is None or "objective" in (asked or ()) else request.recipe
    if start is None:
        name = f"{dataset.name}-{registry.canonical(request.backbone)}-{way}"
    else:
        name = name_of_run(start, dataset.name, way)
    run = Run(how.out or Path("runs") / name)
    if start is not None:
        refuse_overwriting(start, run.folder)
        refuse_overwriting(start, run.twin.folder)
    if find_workers(request.strategy).writes and not how.overwrite and not how.plan:
        run.refuse_existing()
        if request.twin:
            run.twin.refuse_existing()
    recipe = resolve(request, dataset)
    others = ()
    if how.plan and request.recipe is not None and wanted.recipe is None:
        named = (replace(wanted, recipe=name) for name in registry.names("recipes") if name != request.recipe)
        filled = (replace(with_recipe(each, asked or ()), data=request.data, classes=request.classes) for each in named)
        others = tuple(resolve(each, dataset) for each in filled)
    if start is not None:
        recipe, *others = (replace(each, model_sha256=digest_of(start)) for each in (recipe, *others))
    chosen = (request.unfreeze is not None, request.guard is not None)
    return Job(recipe, dataset, run, how, *chosen, tuple(others))


def train_model(
    recipe: Recipe, data: TrainingData, run: Run, *, resume: bool = False, tensorboard: bool = False
) -> Events:
    """Train, and after each epoch write history, curves, checkpoint and the best models into the run folder.

    With a twin, a clean run is then trained in its own folder; with a twin or another run to compare with, both
    are scored on test images.

    Args:
        recipe: what to do.
        data: the images.
        run: the folder.
        resume: go on from the folder's checkpoint.
        tensorboard: write event files into the folder, too.

    Raises:
        UsageError: the run to compare with has other classes.
        AdvcliError: the loss is not a number and the guard does not roll back.
    """
    if recipe.against is not None:
        refuse_incomparable(Path(recipe.against), data.dataset)
    devices = find_devices(recipe.strategy)
    with devices.watched(f"start all workers again, with --resume {run.folder}"):
        found = _runs(recipe, data, run, devices, resume, tensorboard)
        if devices.workers.writes:
            yield from found
        else:
            deque(found, maxlen=0)
        # A worker that has finished looks like a lost one.
        devices.meet()


def _runs(recipe: Recipe, data: TrainingData, run: Run, devices: Devices, resume: bool, tensorboard: bool) -> Events:
    """Train, train the twin, and let the chief compare."""
    yield from TrainingRun(recipe, data, run, devices, tensorboard).events(resume)
    base = Path(recipe.against) if recipe.against else None
    if recipe.twin:
        base = run.twin.folder
        twin = TrainingRun(recipe.twin_recipe, data, run.twin, devices, tensorboard)
        yield from twin.events(resume and run.twin.checkpoints.exist)
    if base is not None and devices.workers.writes:
        own = registry.build("objectives", recipe.objective).own_threat()
        threats = radii_to_compare(recipe.balls, own)
        yield from compare([base, run.folder], data.dataset, threats, recipe.seed, unsafe=recipe.unsafe_load)
