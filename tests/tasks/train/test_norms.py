"""Training in several norms: which one a step takes, that it is the step of that norm alone, and what follows."""

import json
from collections import Counter
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from advcli import registry
from advcli.backend import keras, tf
from advcli.errors import AdvcliError, UsageError
from advcli.search.threat_defaults import read_threats, threat_for
from advcli.tasks.benchmark.perturbations import Kind, Perturbation
from advcli.tasks.benchmark.training_coverage import was_seen
from advcli.tasks.train.checkpoint import Checkpoint
from advcli.tasks.train.checkpoint_folder import read_checkpoint
from advcli.tasks.train.distribution import find_devices
from advcli.tasks.train.named_recipe import with_recipe
from advcli.tasks.train.norm_schedule import choose_norm
from advcli.tasks.train.recipe import Recipe, draft
from advcli.tasks.train.request import Request
from advcli.tasks.train.run import make_job
from advcli.tasks.train.run_folder import Run
from advcli.tasks.train.trainer import Trainer
from advcli.tasks.train.twin_comparison import radii_to_compare
from advcli.tasks.train.validation import Validator
from advcli.threat.threat import Norm, Threat
from conftest import Command
from tiny_runs import TINY, data_for, epoch_record, trainer_for

LINF, L1 = Threat(Norm.LINF, 0.1), Threat(Norm.L1, 2.0)
TWO = replace(TINY, objective="pgd-at", attack="pgd:steps=1", batch=17, robust_images=8, eps_warmup=1.0)
BOTH = TWO.with_balls([LINF, L1])


def chosen(counts: dict[str, tuple[int, int]], times: int = 2000) -> list[float]:
    """Return how often each of two norms is chosen."""
    found = Counter(choose_norm(("linf", "l1"), counts, (0, 1, 0, step)) for step in range(times))
    return [found[0] / times, found[1] / times]


def test_a_norm_is_chosen_in_proportion_to_its_robust_error() -> None:
    assert chosen({"linf": (1000, 200), "l1": (500, 300)}) == pytest.approx([0.25, 0.75], abs=0.03)
    # All norms count alike until the error of each is known.
    assert chosen({}) == pytest.approx([0.5, 0.5], abs=0.03)
    assert chosen({"linf": (1000, 900)}) == pytest.approx([0.5, 0.5], abs=0.03)
    # No norm is left for good.
    assert chosen({"linf": (32, 0), "l1": (32, 31)}) == pytest.approx([1 / 32, 31 / 32], abs=0.02)
    assert chosen({"linf": (32, 0), "l1": (32, 0)}) == pytest.approx([0.5, 0.5], abs=0.03)


@pytest.fixture(scope="module")
def both() -> tuple[Trainer, list[np.ndarray]]:
    """A trainer in two norms whose radii still grow, and its variables before the first step."""
    keras.utils.set_random_seed(3)
    trainer = trainer_for(BOTH)
    return trainer, values(trainer)


def values(trainer: Trainer) -> list[np.ndarray]:
    return [np.array(variable) for variable in trainer.variables]


def begin(trainer: Trainer, start: list[np.ndarray]) -> None:
    for variable, value in zip(trainer.variables, start, strict=True):
        variable.assign(value)


@pytest.mark.parametrize(("place", "ball"), [(0, LINF), (1, L1)])
def test_a_step_in_one_of_the_norms_is_that_of_a_run_in_it_alone(
    both: tuple[Trainer, list[np.ndarray]], place: int, ball: Threat
) -> None:
    trainer, start = both
    begin(trainer, start)
    after = next(trainer.epoch(Checkpoint(), place))
    alone = trainer_for(BOTH.with_balls([ball]))
    begin(alone, start)
    expected = next(alone.epoch(Checkpoint()))
    for one, two in zip(values(trainer), values(alone), strict=True):
        np.testing.assert_array_equal(one, two)
    assert after.loss == expected.loss
    assert list(after.norms) == [ball.norm]
    assert expected.norms == {}
    begin(trainer, start)
    assert next(trainer.epoch(Checkpoint(), 1 - place)).loss != after.loss


def test_the_steps_of_an_epoch_alternate(both: tuple[Trainer, list[np.ndarray]]) -> None:
    trainer, start = both
    begin(trainer, start)
    states = [Checkpoint(), *trainer.epoch(Checkpoint())]
    taken = [
        [norm for norm in after.norms if after.norms[norm] != before.norms.get(norm)]
        for before, after in pairwise(states)
    ]
    assert [len(norms) for norms in taken] == [1] * 6
    assert {norm for norms in taken for norm in norms} == {"linf", "l1"}
    assert [taken[i][0] for i in range(6)] == [BOTH.balls[trainer.choose_ball(states[i])].norm for i in range(6)]


def test_a_run_that_was_stopped_goes_on_to_the_bit(both: tuple[Trainer, list[np.ndarray]], tmp_path: Path) -> None:
    trainer, start = both
    begin(trainer, start)
    steps, run = trainer.epoch(Checkpoint()), Run(tmp_path)
    *_, middle = islice(steps, 2)
    run.checkpoints.save(Checkpoint(), trainer.variables)
    run.checkpoints.save(middle, trainer.variables)
    *_, whole = steps
    expected = values(trainer)
    begin(trainer, start)
    stored = run.checkpoints.restore(trainer.variables)
    assert stored == middle
    assert stored.norms
    *_, resumed = trainer.epoch(stored)
    assert resumed == whole
    for one, two in zip(values(trainer), expected, strict=True):
        np.testing.assert_array_equal(one, two)
    # The next epoch goes on counting.
    assert whole.extended(epoch_record(1)).norms == whole.norms


def test_a_checkpoint_with_impossible_counts_is_damaged(tmp_path: Path) -> None:
    Run(tmp_path).checkpoints.save(Checkpoint(norms={"linf": (3, 4)}), [])
    with pytest.raises(AdvcliError, match="numbers of attacked and fooled images are impossible"):
        read_checkpoint(tmp_path / "checkpoint" / "state.npz")


def test_each_step_counts_what_its_norm_fooled() -> None:
    # Nothing moves and no pixel changes, so every wrong image of the epoch is counted once, in either norm.
    still = replace(BOTH, learning_rate=1e-12, eps_warmup=0.0, batchnorm="inference")
    still = still.with_balls([Threat(eps=0.0), Threat(Norm.L2, 0.0)])
    trainer = trainer_for(still)
    *_, last = trainer.epoch(Checkpoint())
    images, labels = data_for(still).train.at(slice(None))
    assert len(images) == 6 * 17
    wrong = int((trainer.classifier.training_copy.predict(images).argmax(axis=1) != labels).sum())
    assert [sum(counts) for counts in zip(*last.norms.values(), strict=True)] == [102, wrong]


def test_clean_epochs_have_no_norm_to_choose() -> None:
    trainer = trainer_for(replace(BOTH, adv_start_epoch=2))
    assert [trainer.alternates(epoch) for epoch in (1, 2)] == [False, True]
    assert not trainer_for(BOTH.twin_recipe).alternates(1)


def test_the_radius_grows_in_proportion_in_every_norm(both: tuple[Trainer, list[np.ndarray]]) -> None:
    trainer, _ = both
    assert [trainer.eps(2, ball) for ball in (0, 1)] == pytest.approx([0.05, 1.0])
    assert [trainer.eps(6, ball) for ball in (0, 1)] == [0.1, 2.0]


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"eps": 0.03}, "--eps 0.03 is no radius for both linf and l1", "write --eps linf=0.03 --eps l1=12"),
        ({"eps": ("l2=1",)}, "--eps has radii in l2, which --norm leaves out", "add --norm l2"),
        ({"eps": ("l1=1,2",)}, "--eps has several radii in l1: 1 and 2", "one radius a norm"),
        ({"eps": ("linf=8",)}, "covers the whole pixel range", "8/255"),
        ({"objective": "nsl"}, "'nsl' does not train in the ball of --norm", "pgd-at"),
        ({"objective": "clean"}, "'clean' does not train in the ball of --norm", "pgd-at"),
        ({"objective": "free"}, "'free' keeps its perturbation for the next step", "one --norm"),
        ({"objective": "trades"}, "'trades' does not train in l1 balls", "linf, l2"),
        ({"modifier": ("gradalign",)}, "'gradalign' does not train in l1 balls", "linf"),
        ({"attack": "bim"}, "'bim' does not search l1 balls", ""),
        (
            {"attack": "pgd:steps=7,step=0.02"},
            "step 0.02 of 'pgd' is a length in one norm, not in linf and l1",
            "leave",
        ),
    ],
)
def test_what_cannot_alternate_is_refused(changes: dict, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        Request(**{"objective": "pgd-at", "norm": (Norm.LINF, Norm.L1), **changes})
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_the_norms_and_radii_of_a_request_are_those_of_its_recipe() -> None:
    def balls(**options: object) -> tuple[Threat, ...]:
        return draft(Request(objective="pgd-at", **options)).balls  # pyright: ignore[reportArgumentType]  options of several types

    assert balls(eps=("l1=3", "linf=4/255")) == (Threat(Norm.L1, 3.0), Threat(Norm.LINF, 4 / 255))
    assert balls(norm=(Norm.L1, Norm.L2), eps=("l2=1",)) == (Threat(Norm.L1, 12.0), Threat(Norm.L2, 1.0))
    assert balls(norm=Norm.L2, eps=0.7) == balls(eps=("l2=0.7",)) == (Threat(Norm.L2, 0.7),)
    one = draft(Request(objective="pgd-at", norm=Norm.L2))
    assert (one.norm, one.threats) == (Norm.L2, ())
    both = make_job(Request(data="digits", objective="pgd-at", norm=(Norm.LINF, Norm.L1))).recipe
    assert both.balls == (Threat(Norm.LINF, 0.1), Threat(Norm.L1, 12.0))
    assert both.twin_recipe.balls == both.balls
    # The recipe for pretrained weights was measured in linf only.
    pretrained = Request(weights="imagenet", norm=(Norm.LINF, Norm.L1), objective="pgd-at")
    assert with_recipe(pretrained, ()).recipe is None


def test_recipes_of_one_norm_read_as_before_and_damaged_ones_are_refused() -> None:
    content = json.loads(json.dumps(BOTH.to_json()))
    assert Recipe.from_json(content) == BOTH
    old = {name: value for name, value in content.items() if name != "threats"}
    assert Recipe.from_json(old).balls == (LINF,)
    for threats in ([["l1", 2.0], ["linf", 0.1]], [["linf", 0.1], ["linf", 0.2]], [["linf", 0.1], ["l7", 1.0]], 3):
        with pytest.raises(AdvcliError, match="is damaged"):
            Recipe.from_json(content | {"threats": threats})


def test_the_other_commands_know_every_trained_norm() -> None:
    recipe = json.loads(json.dumps(BOTH.to_json()))
    single = json.loads(json.dumps(BOTH.with_balls([LINF]).to_json()))
    assert threat_for(recipe, None, None) == LINF
    assert threat_for(recipe, Norm.L1, None) == L1
    assert threat_for(single, Norm.L1, None) == Threat(Norm.L1, 12.0)
    assert read_threats([recipe, recipe], None, None) == (LINF, L1)
    with pytest.raises(UsageError, match=r"different threats: linf 0\.1 and linf 0\.1, l1 2"):
        read_threats([recipe, single], None, None)
    pgd = registry.build("attacks", "pgd")
    for ball, seen in ((LINF, True), (L1, True), (Threat(Norm.L1, 2.1), False), (Threat(Norm.L2, 0.1), False)):
        assert was_seen(recipe, Perturbation("pgd", Kind.ATTACK, pgd, ball)) is seen
    assert was_seen(single, Perturbation("pgd", Kind.ATTACK, pgd, L1)) is False
    assert radii_to_compare((LINF, L1), None) == [L1, LINF]


def test_an_image_is_robust_if_no_norm_fools_it(both: tuple[Trainer, list[np.ndarray]]) -> None:
    classifier, data = both[0].classifier.training_copy, data_for(BOTH)

    def measured(*threats: Threat) -> tuple[float, float]:
        found = Validator(classifier, data.train, len(data.train), threats, 0, find_devices("one"))()
        return found.robust, found.single_step

    weak, none = Threat(Norm.L2, 0.2), Threat(Norm.LINF, 0.0)
    alone = measured(weak)
    images, labels = data.train.at(slice(None))
    assert alone[0] < (classifier.predict(images).argmax(axis=1) == labels).mean()
    assert measured(weak, none) == measured(none, weak) == alone


def test_the_adversarial_part_of_three_versions_is_the_first() -> None:
    objective = registry.build("objectives", "augmix-at")
    versions = tf.random.stateless_uniform((2, 3, 4, 4, 1), (0, 0))
    np.testing.assert_array_equal(objective.adversarial(versions), versions[:, 0])


@pytest.mark.slow
def test_two_norms_together_withstand_what_either_alone_does_not(advcli: Command, tmp_path: Path) -> None:
    options = (
        *("--data", "digits", "--backbone", "small", "--edge", 8, "--objective", "pgd-at", "--attack", "pgd:steps=7"),
        *("--augment", "none", "--epochs", 8, "--learning-rate", 0.05, "--robust-images", 64, "--quiet"),
    )
    radii = ("linf=0.15", "l1=2")
    for name, chosen_radii in (("linf", radii[:1]), ("l1", radii[1:]), ("both", radii)):
        result = advcli("train", *options, *(word for eps in chosen_radii for word in ("--eps", eps)), "--out", name)
        assert result.returncode == 0, result.stderr
    again = advcli("train", "--config", "both/run.json", "--epochs", 1, "--plan", "--json")
    assert again.returncode == 0, again.stderr
    given = [word for eps in radii for word in ("--eps", eps)]
    result = advcli("benchmark", "linf", "l1", "both", *given, "--attack", "pgd", "--limit", 300, "--json")
    assert result.returncode == 0, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    scores = {(each["model"], each["perturbation"], each["norm"]): each for each in records if each["type"] == "score"}
    print({key: round(score["accuracy"], 3) for key, score in scores.items()})
    worst = {name: scores[name, "any", None]["accuracy"] for name in ("linf", "l1", "both")}
    assert worst["both"] > max(worst["linf"], worst["l1"]) + 0.05
    # Without any option the threats are those of the run.
    result = advcli("benchmark", "both", "--attack", "pgd", "--limit", 50, "--json")
    assert '"perturbation": "any"' in result.stdout
