"""The options of ``advcli benchmark``: what an evaluation measures, and how it runs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from advcli.data.class_order import ClassOrder
from advcli.errors import AdvcliError, UsageError
from advcli.options import OUTPUT, SUMMARY, THREAT, WHAT, changed_options, name_of, option, options_of
from advcli.parsing import read_duration, read_list, read_severities
from advcli.records.base import Json
from advcli.records.read_back import read_back
from advcli.tasks.request import (
    DEFAULT_ATTACKS,
    DataOptions,
    ModelOptions,
    SurrogateOptions,
    Validated,
    WorkOptions,
    attack_option,
    batch_option,
    data_option,
    memory_option,
    out_option,
)
from advcli.threat.threat import Norm, Threat

if TYPE_CHECKING:
    import numpy as np

    from advcli.data.dataset import Dataset
    from advcli.model.black_box import Access
    from advcli.model.model_choice import ModelChoice
    from advcli.tasks.benchmark.perturbations import Perturbation
    from advcli.tasks.benchmark.randomized_smoothing import Smoothing
    from advcli.tasks.benchmark.summary import Summary


def _read_corruptions(text: str) -> tuple[str, ...]:
    from advcli.corruptions import chosen

    return chosen(text)


# Replaced where a model has no gradients; equal attacks that the user chooses are other objects, and are not.
_DEFAULT = ("fgsm", DEFAULT_ATTACKS["gradient"])


def _read_attacks(specs: Sequence[str]) -> tuple[str, ...]:
    return () if list(specs) == ["none"] else tuple(dict.fromkeys(specs))


def _read_noises(specs: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(specs))


@dataclass(frozen=True)
class Shard:
    """One of ``of`` parts of the images: every ``of``-th image, from the ``number``-th on."""

    number: int = 1
    of: int = 1

    @classmethod
    def read(cls, text: str) -> "Shard":
        """Read ``2/8``.

        Raises:
            UsageError: the text is no shard.
        """
        number, _, of = text.partition("/")
        if not (re.fullmatch("[0-9]{1,9}/[0-9]{1,9}", text) and 1 <= int(number) <= int(of)):
            raise UsageError(f"--shard is not a part of a whole: '{text}'", "write 1/8 for the first of eight")
        return cls(int(number), int(of))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def rows(self, images: int) -> "np.ndarray":
        """Return the indices of its images: -> (n,)."""
        import numpy as np

        return np.arange(self.number - 1, images, self.of)


@dataclass(frozen=True, kw_only=True)
class Request(DataOptions, ModelOptions, SurrogateOptions, WorkOptions):
    """The options that determine the results of an evaluation.

    Args:
        models: run folders, model files, endpoints or backbones, each with its own options after a colon if need be:
            a.keras:range=-1,1,size=64 (also labels=, output=, name=); with --merge, files of results.
        class_order: how names of class folders number the outputs of a model without class names: 1, 10, 2 or 1, 2, 10.
        attacks: an attack and its options; may be given several times; none for no attack.
        noises: random noise and its options, such as gaussian:std=0.2; may be given several times.
        corruptions: all 15 of ImageNet-C, unseen (bar, the ten of ImageNet-C-bar), the groups noise, blur, weather,
            digital, extra, or some by name.
        severities: of corruptions: 3, 1,3,5 or 1-5.
        norms: the norm perturbations are measured in; may be given several times.
        eps: the radius of a perturbation: 8/255, or several for a curve: 0,2/255,4/255; of one norm: l2=0.5,1.
        threats: norm and radius of each ball; None means that the options above and the models determine them.
        classes_only: only the data's classes count: the model's other outputs are left out of every decision.
        given: the data's images, corrupted before: CORRUPTION/SEVERITY/CLASS folders, or CIFAR-10-C's .npy files.
        given_sets: name and severity of the given perturbations; the data determine them.
        has_clean: whether there are clean images; the data determine it.
        transfer: craft on each model, score on all: the transfer matrix.
        certify: certify l2 radii by randomized smoothing: sigma=0.25,n=1000; also n0=100 and alpha=0.001.
        per_class: accuracy of each class, and the most frequent confusions.
        by: accuracy of each value of a column of the data's manifest; the lowest is tested against the others.
        relative_to: the reference model of the relative corruption errors.
        fail_under: exit with 3 if an accuracy is lower: clean=0.9, pgd=0.40, worst=0.3; for each value of a column of
            --by: clean@light=0.8; may be given several times.
        baseline: earlier results: report regressions (the exit code stays 0).
        checks: check the evaluation for known evaluation errors.
    """

    models: tuple[str, ...] = option((), metavar="MODEL...", argument=True, of_results=True)
    data: str = data_option("", shown="what the first model was trained on")
    classes_only: bool = option(False, panel=WHAT)
    class_order: ClassOrder | None = option(None, panel=WHAT, shown="alphabetical, as Keras sorts folders")
    attacks: tuple[str, ...] = attack_option(
        _DEFAULT, "fgsm and pgd; without gradients square", parse=_read_attacks, several=True
    )
    noises: tuple[str, ...] = option(
        (), "--noise", panel=THREAT, metavar="SPEC", family="augmentations", parse=_read_noises, several=True
    )
    corruptions: tuple[str, ...] = option(
        (), panel=THREAT, metavar="NAME,...", family="corruptions", parse=_read_corruptions, shown=False
    )
    severities: tuple[int, ...] = option(
        (1, 2, 3, 4, 5), "--severity", panel=THREAT, metavar="1-5", parse=read_severities, shown="1-5"
    )
    given: str = option("", panel=THREAT, metavar="PATH")
    given_sets: tuple[tuple[str, int], ...] = ()
    has_clean: bool = True
    norms: tuple[Norm, ...] = option((), "--norm", panel=THREAT, shown="what the models were trained for, or linf")
    eps: tuple[str, ...] = option(
        (),
        panel=THREAT,
        metavar="RADIUS,...",
        shown="what the models were trained for; 8/255, in l2 0.5, in l1 12, in l0 10",
    )
    threats: tuple[tuple[str, float], ...] | None = None
    transfer: bool = option(False, panel=THREAT)
    certify: str | None = option(None, panel=THREAT, metavar="SPEC")
    batch: int = batch_option(64)
    checks: bool = option(True, "--checks/--no-checks", panel=SUMMARY, of_results=True)
    per_class: bool = option(False, panel=SUMMARY, of_results=True)
    by: tuple[str, ...] = option((), panel=SUMMARY, metavar="COLUMN,...", parse=read_list, of_results=True)
    relative_to: str | None = option(
        None, panel=SUMMARY, metavar="MODEL", of_results=True, shown="the first model, if there are several"
    )
    fail_under: tuple[str, ...] = option((), panel=SUMMARY, metavar="GATE", of_results=True)
    baseline: Path | None = option(None, panel=SUMMARY, metavar="FILE", of_results=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        from advcli.tasks.benchmark.validate import check

        check(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Json], source: str = "the protocol") -> "Request":
        """Read the options of an earlier evaluation.

        Args:
            content: the options.
            source: where they stand, in messages.

        Raises:
            UsageError: another version wrote them.
            AdvcliError: they are damaged.
        """
        known = {each.name for each in fields(cls)}
        if not set(content) <= known:
            raise UsageError(f"the results have options unknown here: {', '.join(sorted(set(content) - known))}")
        request = read_back(cls, dict(content), source, within="options")
        for number, (norm, _) in enumerate(request.threats or ()):
            if norm not in list(Norm):
                raise AdvcliError(f"{source} is damaged: field 'options.threats[{number}][0]' is no norm")
        return request

    def to_json(self) -> dict[str, Json]:
        """Return the options as ``from_json`` reads them, with the resolved balls."""
        values = asdict(self) | {"threats": [(str(ball.norm), ball.eps) for ball in self.balls]}
        return {key: _thawed(value) for key, value in values.items() if key not in ("norms", "eps")}

    def summed_up_as(self, other: "Request") -> "Request":
        """Return this request with the summary options of another one."""
        given = changed_options(other)
        anew = {name for name, each in options_of(self).items() if each.of_results and name in given}
        return replace(self, **{name: getattr(other, name) for name in anew - {"models"}})

    def resolved(self) -> "Request":
        """Fill in the data, its classes and the balls from the models.

        Raises:
            UsageError: a model does not record its training data.
        """
        recipes = [choice.recipe for choice in self.choices]
        attacks = self.attacks
        if attacks is _DEFAULT and self.access != "gradient":
            attacks = (DEFAULT_ATTACKS[self.access],)
        trained_on = recipes[0] if recipes else {}
        if not self.data and "data" not in trained_on:
            hint = "say what to measure on with --data"
            raise UsageError(f"'{self.models[0]}' does not say what it was trained on", hint)
        classes = trained_on.get("classes", ()) if not self.data and not self.classes else self.classes
        balls = tuple((str(ball.norm), ball.eps) for ball in self.balls)
        return replace(
            self, data=self.data or trained_on["data"], classes=tuple(classes), threats=balls, attacks=attacks
        )

    def with_given(self, dataset: "Dataset") -> "Request":
        """Return the request with the perturbations that the data give.

        Raises:
            UsageError: something needs clean images and there are none, or a corruption is measured twice.
        """
        sets = tuple((each.corruption, each.severity) for each in dataset.given)
        request = replace(self, given_sets=sets, has_clean=dataset.has_clean)
        if not dataset.has_clean:
            if self.attacks is _DEFAULT or not self.attacks:
                request = replace(request, attacks=())
            for name in ("attacks", "noises", "corruptions", "transfer", "certify"):
                if getattr(request, name):
                    raise UsageError(
                        f"there are no clean images in '{self.data}' for {name_of(name, options_of(self)[name])}",
                        f"give the clean ones with --data, and these with --given {self.data}",
                    )
        twice = {name for name, _ in sets} & set(self.corruptions)
        if twice:
            raise UsageError(f"'{min(twice)}' is given and made as well", "leave it out of --corruptions")
        return request

    @cached_property
    def choices(self) -> list["ModelChoice"]:
        """The models to load.

        Raises:
            UsageError: there is no such model.
        """
        return [self.choose(model) for model in self.models]

    @property
    def note(self) -> str:
        """What the resolved options differ in from the usual ones; empty if they do not."""
        if self.attacks is not _DEFAULT or self.access == "gradient":
            return ""
        return f"not all models have gradients: they are attacked with {DEFAULT_ATTACKS[self.access]}"

    @property
    def access(self) -> "Access":
        """What all attacked models, or the surrogate, show of themselves."""
        from advcli.model.black_box import ACCESS_LEVELS

        if self.surrogate is not None:
            return "gradient"
        seen = {choice.access for choice in self.choices}
        least: Access = "gradient"
        for each in ACCESS_LEVELS:
            least = each if each in seen else least
        return least

    @cached_property
    def balls(self) -> tuple[Threat, ...]:
        """The balls of the attacks.

        Raises:
            UsageError: a radius is invalid, or the models were trained for different ones.
        """
        if self.threats is not None:
            return tuple(Threat(Norm(norm), eps) for norm, eps in self.threats)
        from advcli.search.threat_defaults import read_threats

        return read_threats([choice.recipe for choice in self.choices], self.norms, self.eps)

    @cached_property
    def perturbations(self) -> tuple["Perturbation", ...]:
        """All perturbations of the evaluation, clean images first."""
        from advcli import registry
        from advcli.tasks.benchmark import perturbations
        from advcli.tasks.benchmark.given import given_perturbations
        from advcli.tasks.benchmark.plan import CLEAN

        methods = {spec: registry.build("attacks", spec) for spec in self.attacks}
        return (
            *((CLEAN,) if self.has_clean else ()),
            *given_perturbations(self.given_sets),
            *perturbations.noises_of(self.noises),
            *perturbations.corruptions_of(self.corruptions, self.severities),
            *perturbations.attacks_under(methods, self.balls, self.surrogate),
            *(perturbations.transfers_under(methods, self.balls) if self.transfer else ()),
        )

    @cached_property
    def summary(self) -> "Summary":
        """The options of the summary.

        Raises:
            UsageError: there is no such accuracy or baseline.
        """
        from advcli.tasks.benchmark.gates import Least
        from advcli.tasks.benchmark.read_results import read_scores
        from advcli.tasks.benchmark.summary import Summary

        return Summary(
            self.per_class,
            self.relative_to,
            tuple(Least.read(text) for text in self.fail_under),
            () if self.baseline is None else tuple(read_scores(self.baseline)),
            self.by,
        )

    @cached_property
    def smoothing(self) -> "Smoothing | None":
        """The options of randomized smoothing, if certificates are requested."""
        from advcli.tasks.benchmark.randomized_smoothing import read_smoothing

        return None if self.certify is None else read_smoothing(self.certify)


@dataclass(frozen=True, kw_only=True)
class Execution(Validated):
    """The options that do not change the results of an evaluation.

    Args:
        out: save every finished batch and the results in this file (JSON Lines).
        report: write a self-contained HTML report.
        figure: draw accuracy over eps as a .png or .svg.
        export: write the corrupted images as folders: corruption/severity/class/image.png.
        resume: continue the evaluation of a results file; its options are read from the file.
        shard: only the K-th of N parts of the images.
        merge: merge the results files of all shards.
        ray: run shards on a Ray cluster (needs advcli[ray]); auto: a running cluster, or this machine.
        budget: time for all attacks, spent where most images are fooled: 90s, 10m, 1h30m. Accuracies are upper bounds.
        memory: decoded images that take more are kept on disk.
        overwrite: replace existing outputs.
    """

    out: Path | None = out_option(None, metavar="FILE")
    report: Path | None = option(None, panel=OUTPUT, metavar="FILE", of_results=True)
    figure: Path | None = option(None, panel=OUTPUT, metavar="FILE", of_results=True)
    export: Path | None = option(None, panel=OUTPUT, metavar="DIR")
    resume: Path | None = option(None, metavar="FILE")
    shard: Shard = option(Shard(), metavar="K/N", parse=Shard.read, shown=False)
    merge: bool = option(False)
    ray: str | None = option(None, metavar="ADDRESS")
    budget: float | None = option(None, metavar="TIME", parse=read_duration)
    memory: float | None = memory_option()
    overwrite: bool = option(False, panel=OUTPUT, of_results=True)


def _thawed(value: object) -> Json:
    if isinstance(value, Path):
        return str(value)
    return [_thawed(item) for item in value] if isinstance(value, (list, tuple)) else value
