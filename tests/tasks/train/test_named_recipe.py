"""Recipes: what they set, what stays the user's, and how they are recorded and compared."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_from_a_model import data, request_for

from advcli import registry
from advcli.errors import UsageError
from advcli.records import Planned
from advcli.tasks.train.cost_estimate import expected_accuracies
from advcli.tasks.train.named_recipe import with_recipe
from advcli.tasks.train.recipe import draft
from advcli.tasks.train.request import Execution, Request
from advcli.tasks.train.run import make_job
from test_matrix import make

NAMES = registry.names("recipes")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("epochs", [1, 2, 8, 30])
def test_every_recipe_is_a_valid_request_of_any_length(name: str, epochs: int) -> None:
    filled = with_recipe(Request(recipe=name, epochs=epochs), {"epochs"})
    assert filled.epochs == epochs
    assert filled != Request(epochs=epochs, recipe=name)
    # At its full radius a short run trains for half of its epochs at least.
    assert filled.eps_warmup <= epochs / 2
    assert not filled.eps_warmup or filled.eps_warmup == min(2, epochs / 2)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_user_gave_stays(name: str) -> None:
    given: dict[str, Any] = {"augment": ("flip",), "learning_rate": 0.5, "epochs": 3, "ema": 0.5}
    filled = with_recipe(Request(recipe=name, **given), set(given))
    assert {key: getattr(filled, key) for key in given} == given


@pytest.mark.parametrize("name", NAMES)
def test_another_objective_takes_nothing_of_the_recipes_own(name: str) -> None:
    filled = with_recipe(Request(recipe=name, objective="clean"), {"objective"})
    usual = Request()
    assert filled.objective == "clean"
    assert (filled.modifier, filled.eps_warmup, filled.adv_start_epoch) == (
        usual.modifier, usual.eps_warmup, usual.adv_start_epoch
    )  # fmt: skip


def test_pretrained_weights_without_an_objective_take_the_default_recipe(tmp_path: Path) -> None:
    weights = tmp_path / "weights.h5"
    weights.write_bytes(b"\x89HDF\r\n\x1a\n")
    (usual,) = (name for name in NAMES if registry.component("recipes", name).default)
    assert with_recipe(Request(weights=str(weights)), {"weights"}).recipe == usual
    assert with_recipe(Request(weights=str(weights)), {"weights", "objective"}).recipe is None
    assert with_recipe(Request(), ()).recipe is None


@pytest.mark.parametrize("name", NAMES)
def test_the_rate_of_a_recipe_is_for_its_own_optimizer(name: str, tmp_path: Path) -> None:
    weights = tmp_path / "weights.h5"
    weights.write_bytes(b"\x89HDF\r\n\x1a\n")
    rate = registry.build("recipes", name)(None).get("learning_rate")
    pretrained = Request(recipe=name, weights=str(weights))
    assert with_recipe(pretrained, {"recipe", "weights"}).learning_rate == rate
    other = replace(pretrained, optimizer="adamw")
    assert with_recipe(other, {"recipe", "weights", "optimizer"}).learning_rate is None
    assert with_recipe(Request(recipe=name), {"recipe"}).learning_rate is None
    given = replace(other, learning_rate=0.3)
    assert with_recipe(given, {"recipe", "weights", "optimizer", "learning_rate"}).learning_rate == 0.3


@pytest.mark.parametrize("name", NAMES)
def test_accuracies_are_expected_only_of_the_recipe_as_it_was_measured(name: str, tmp_path: Path) -> None:
    weights = tmp_path / "weights.h5"
    weights.write_bytes(b"\x89HDF\r\n\x1a\n")
    filled = draft(with_recipe(Request(recipe=name, weights=str(weights)), {"recipe", "weights"}))
    assert expected_accuracies(filled) == dict(registry.component("recipes", name).measured)
    for change in ({"objective": "trades"}, {"augment": ("flip",)}, {"epochs": 1}, {"ema": 0.5}, {"recipe": None}):
        assert expected_accuracies(replace(filled, **change)) is None


def test_the_folder_of_a_run_is_named_after_what_it_trains_with(tmp_path: Path) -> None:
    usual = {"data": "digits", "recipe": "robust", "epochs": 2}
    assert make_job(Request(**usual), asked=set(usual)).run.folder.name == "digits-mobilenetv2-robust"
    given = {**usual, "objective": "clean"}
    assert make_job(Request(**given), asked=set(given)).run.folder.name == "digits-mobilenetv2-clean"


def test_an_unknown_recipe_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="robus"):
        Request(recipe="robus")


@pytest.mark.parametrize("name", NAMES)
def test_an_option_is_compared_with_the_objective_of_the_recipe(name: str, tmp_path: Path) -> None:
    make("tutorial", tmp_path)
    objective = registry.build("recipes", name)(None)["objective"]
    request = request_for(tmp_path / "model.keras", data(tmp_path), recipe=name, eps_warmup=0.25)
    asked = {"model", "data", "recipe", "epochs", "eps", "eps_warmup"}
    if "eps" in registry.build("objectives", objective).uses:
        recipe = make_job(request, Execution(out=tmp_path / "run"), asked).recipe
        assert (recipe.objective, recipe.recipe, recipe.eps_warmup) == (objective, name, 0.25)
    else:
        with pytest.raises(UsageError, match=objective.partition(":")[0]):
            make_job(request, Execution(out=tmp_path / "run"), asked)


def test_a_run_records_every_option_of_its_recipe(tmp_path: Path) -> None:
    make("tutorial", tmp_path)
    request = request_for(tmp_path / "model.keras", data(tmp_path), recipe="robust")
    list(
        make_job(request, Execution(out=tmp_path / "run"), asked={"model", "data", "recipe", "epochs", "eps"}).events()
    )
    written = json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]
    expected = registry.build("recipes", "robust")(1)
    assert written["recipe"] == "robust"
    assert {key: written[key] for key in expected if key != "augment"} == {
        key: value for key, value in expected.items() if key != "augment"
    }
    assert ",".join(written["augment"]) == expected["augment"]


def test_a_plan_compares_the_recipes(tmp_path: Path) -> None:
    make("tutorial", tmp_path)
    request = request_for(tmp_path / "model.keras", data(tmp_path))
    asked = {"model", "data", "eps"}
    planned = [
        record for record in make_job(request, Execution(plan=True, out=tmp_path / "run"), asked).events()
        if isinstance(record, Planned)
    ]  # fmt: skip
    assert sorted(str(record.recipe) for record in planned) == sorted(NAMES)
    assert all(record.seconds > 0 and record.epochs > 1 for record in planned)
    # Tracing is not counted for every step, even where an epoch has one step only.
    assert all(record.seconds_a_step < record.seconds_to_begin for record in planned)
