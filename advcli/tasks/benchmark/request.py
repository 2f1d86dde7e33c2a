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
from advcli.parsing import read_accuracy, read_duration, read_list, read_severities
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
    from advcli.tasks.benchmark.requirements import RequirementsFile
    from advcli.tasks.benchmark.summary import Summary
    from advcli.tasks.benchmark.sweeps import Sweep


def _read_corruptions(text: str) -> tuple[str, ...]:
    from advcli.corruptions import chosen

    return chosen(text)


# Replaced where a model has no gradients; equal attacks that the user chooses are other objects, and are not.
_DEFAULT = ("fgsm", DEFAULT_ATTACKS["gradient"])


def _read_attacks(specs: Sequence[str]) -> tuple[str, ...]:
    return () if list(specs) == ["none"] else tuple(dict.fromkeys(specs))


def _read_specs(specs: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(specs))


def _read_tolerated(text: str) -> float:
    return read_accuracy(text, "--fail-worse")


def _read_required(text: str) -> float:
    return read_accuracy(text, "--require")


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
        models: run folders, model files, endpoints or backbones, each with its own options after a colon if needed:
            a.keras:range=-1,1,size=64 (also labels=, output=, name=); with --merge, files of results.
        class_order: how names of class folders number the outputs of a model without class names: 1, 10, 2 or 1, 2, 10.
        attacks: an attack and its options; may be given several times; none for no attack.
        noises: random noise and its options, such as gaussian:std=0.2; may be given several times.
        corruptions: all 15 of ImageNet-C, unseen (bar, the ten of ImageNet-C-bar), the groups noise, blur, weather,
            digital, extra, of physical parameters optics, sensor, scene, codec, or some by name. A value of the
            parameter replaces the severity: defocus:radius=2.5; a plus sign puts one after another: motion+low_light.
        severities: of corruptions: 3, 1,3,5 or 1-5.
        sweeps: accuracy over the physical parameter of a corruption: defocus:radius=0..6/7 at 7 values from 0 to 6;
            low_light:photons=1000..10/7,log; may be given several times.
        norms: the norm perturbations are measured in; may be given several times.
        eps: the radius of a perturbation: 8/255, or several for a curve: 0,2/255,4/255; of one norm: l2=0.5,1.
        threats: norm and radius of each ball; None means that the options above and the models determine them.
        classes_only: only the data's classes count: the model's other outputs are left out of every decision.
        given: corrupted versions of the data's images: CORRUPTION/SEVERITY/CLASS folders, or CIFAR-10-C's .npy files.
        given_sets: name and severity of the given perturbations; the data determine them.
        has_clean: whether there are clean images; the data determine it.
        repeats: predictions for each image, for a randomised model: it counts as correct if all of them are.
        transfer: craft on each model, score on all: the transfer matrix.
        certify: certify l2 radii by randomized smoothing: sigma=0.25,n=1000; also n0=100 and alpha=0.001.
        per_class: accuracy of each class, and the most frequent confusions.
        by: accuracy of each value of a column of the data's manifest; the lowest is tested against the others.
        relative_to: the reference model of the relative corruption errors.
        requirements: a TOML file of requirements, which also determines what is measured; exit with 3 if one is
            not met.
        requirements_text: the content of this file.
        fail_under: exit with 3 if an accuracy is lower: clean=0.9, pgd=0.40, worst=0.3; for each value of a column of
            --by: clean@light=0.8; may be given several times.
        require: find the strongest value of each sweep at which the lower bound of the accuracy is at least this.
        hold: exit with 3 if the tolerance does not reach this value of a sweep: defocus:radius=2; may be given several
            times.
        baseline: earlier results: report regressions.
        fail_worse: exit with 3 if an accuracy is lower than that of --baseline by more than this: 0.02.
        checks: check the evaluation for known evaluation errors.
    """

    models: tuple[str, ...] = option((), metavar="MODEL...", argument=True, completes="models", of_results=True)
    data: str = data_option("", shown="what the first model was trained on")
    classes_only: bool = option(False, panel=WHAT)
    class_order: ClassOrder | None = option(None, panel=WHAT, shown="alphabetical, as Keras sorts folders")
    attacks: tuple[str, ...] = attack_option(
        _DEFAULT, "fgsm and pgd; without gradients square", parse=_read_attacks, several=True
    )
    noises: tuple[str, ...] = option(
        (), "--noise", panel=THREAT, metavar="SPEC", family="augmentations", parse=_read_specs, several=True
    )
    corruptions: tuple[str, ...] = option(
        (), panel=THREAT, metavar="SPEC,...", family="corruptions", parse=_read_corruptions, shown=False
    )
    severities: tuple[int, ...] = option(
        (1, 2, 3, 4, 5), "--severity", panel=THREAT, metavar="1-5", parse=read_severities, shown="1-5"
    )
    sweeps: tuple[str, ...] = option(
        (), "--sweep", panel=THREAT, metavar="SPEC", family="corruptions", parse=_read_specs, several=True
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
    repeats: int = option(1, panel=THREAT, metavar="N", min=1, max=1000)
    transfer: bool = option(False, panel=THREAT)
    certify: str | None = option(None, panel=THREAT, metavar="SPEC")
    batch: int = batch_option(64)
    checks: bool = option(True, "--checks/--no-checks", panel=SUMMARY, of_results=True)
    per_class: bool = option(False, panel=SUMMARY, of_results=True)
    by: tuple[str, ...] = option((), panel=SUMMARY, metavar="COLUMN,...", parse=read_list, of_results=True)
    relative_to: str | None = option(
        None, panel=SUMMARY, metavar="MODEL", of_results=True, shown="the first model, if there are several"
    )
    requirements: Path | None = option(None, panel=SUMMARY, metavar="FILE")
    requirements_text: str = ""
    fail_under: tuple[str, ...] = option((), panel=SUMMARY, metavar="GATE", of_results=True)
    require: float | None = option(None, panel=SUMMARY, metavar="NUMBER", parse=_read_required, of_results=True)
    hold: tuple[str, ...] = option((), panel=SUMMARY, metavar="SPEC", of_results=True)
    baseline: Path | None = option(None, panel=SUMMARY, metavar="FILE", of_results=True)
    fail_worse: float | None = option(None, panel=SUMMARY, metavar="NUMBER", parse=_read_tolerated, of_results=True)

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

    def with_requirements(self) -> "Request":
        """Read the file of requirements, and take the data and the seed that it names.

        Raises:
            UsageError: it cannot be read, is invalid, or names other data or another seed than the options.
        """
        from advcli.tasks.benchmark.requirements import refuse_other_seed

        if self.requirements_file is None:
            return self
        data, seed = self.requirements_file.data, self.requirements_file.seed
        if data and self.data not in ("", data):
            raise UsageError(f"'{self.requirements}' is for '{data}', not '{self.data}'", "leave --data out")
        # Zero is what no --seed is, too: the command line refuses it if it was given.
        refuse_other_seed(self.requirements_file, self.seed or seed)
        return replace(
            self,
            data=data or self.data,
            seed=self.seed if seed is None else seed,
            requirements_text=self.requirements_file.text,
        )

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
            hint = "give the data with --data"
            raise UsageError(f"'{self.models[0]}' does not record its training data", hint)
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
            for name in ("attacks", "noises", "corruptions", "sweeps", "transfer", "certify"):
                if getattr(request, name):
                    raise UsageError(
                        f"there are no clean images in '{self.data}' for {name_of(name, options_of(self)[name])}",
                        f"give the clean ones with --data, and these with --given {self.data}",
                    )
            for each in self.requirements_file.requirements if self.requirements_file else ():
                if (each.spec, each.severity) not in sets:
                    raise UsageError(f"there are no clean images in '{self.data}' for requirement '{each.id}'")
        made = [each.spec for each in self.required if (each.spec, each.severity) not in sets]
        twice = {name for name, _ in sets} & {*self.corruptions, *made}
        if twice:
            raise UsageError(f"'{min(twice)}' is both given and computed", "leave it out of --corruptions")
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
        swept = (sweep.perturbation(value) for sweep in self.ranges for value in sweep.values)
        asked = (
            *((CLEAN,) if self.has_clean else ()),
            *given_perturbations(self.given_sets),
            *perturbations.noises_of(self.noises),
            *dict.fromkeys((*perturbations.corruptions_of(self.corruptions, self.severities), *swept)),
            *perturbations.attacks_under(methods, self.balls, self.surrogate, self.repeats),
            *(perturbations.transfers_under(methods, self.balls) if self.transfer else ()),
        )
        return perturbations.with_required(asked, self.required)

    @cached_property
    def requirements_file(self) -> "RequirementsFile | None":
        """The requirements, if there is a file of them.

        Raises:
            UsageError: it cannot be read, or is invalid.
        """
        from advcli.tasks.benchmark.requirements_file import parse_requirements, read_requirements

        if self.requirements is None:
            return None
        text = self.requirements_text or read_requirements(self.requirements)
        return parse_requirements(text, str(self.requirements), transferred=self.surrogate is not None)

    @cached_property
    def required(self) -> tuple["Perturbation", ...]:
        """The perturbations of the requirements, except clean images and the worst case."""
        if self.requirements_file is None:
            return ()
        return self.requirements_file.perturbations(self.balls[0], self.surrogate, self.repeats)

    @cached_property
    def ranges(self) -> tuple["Sweep", ...]:
        """The sweeps, with the values that their tolerances must reach.

        Raises:
            UsageError: a sweep is invalid, or there is none to require something of.
        """
        from advcli.tasks.benchmark.sweeps import read_sweep, with_holds

        if self.require is not None and not self.sweeps:
            raise UsageError("--require is about a sweep", "give --sweep, too; --fail-under is about accuracies")
        if self.hold and self.require is None:
            raise UsageError("--hold needs the accuracy that must be met", "give --require 0.9, too")
        return with_holds([read_sweep(text) for text in self.sweeps], self.hold)

    @cached_property
    def summary(self) -> "Summary":
        """The options of the summary.

        Raises:
            UsageError: there is no such accuracy or baseline.
        """
        from advcli.tasks.benchmark.earlier_results import read_baseline
        from advcli.tasks.benchmark.gates import Least
        from advcli.tasks.benchmark.summary import Summary

        return Summary(
            self.per_class,
            self.relative_to,
            tuple(Least.read(text) for text in self.fail_under),
            None if self.baseline is None else read_baseline(self.baseline),
            self.by,
            self.requirements_file,
            self.fail_worse,
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
        junit: write gates, requirements and checks as JUnit XML for CI systems; a SUSPECT check is a failure there.
        evidence: write plan, results, report, environment and a SHA-256 manifest into this folder.
        verify: verify a folder of --evidence; exit with 1 if it is damaged, with 3 if a requirement was not met.
        figure: draw accuracy over eps, and over the parameters of sweeps, as a .png or .svg.
        export: write the corrupted images as folders, corruption/severity/class/image.png, and the adversarial images
            as adversarial/MODEL/ATTACK/: exact float32 in .npz files, and 8-bit PNGs with their records.
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
    junit: Path | None = option(None, panel=OUTPUT, metavar="FILE.xml", of_results=True)
    evidence: Path | None = option(None, panel=OUTPUT, metavar="DIR", of_results=True)
    verify: Path | None = option(None, metavar="DIR")
    export: Path | None = option(None, panel=OUTPUT, metavar="DIR")
    resume: Path | None = option(None, metavar="FILE")
    shard: Shard = option(Shard(), metavar="K/N", parse=Shard.read, shown=False)
    merge: bool = option(False)
    ray: str | None = option(None, metavar="ADDRESS")
    budget: float | None = option(None, metavar="TIME", parse=read_duration)
    memory: float | None = memory_option()
    overwrite: bool = option(False, panel=OUTPUT, of_results=True)

    @property
    def results_file(self) -> Path | None:
        """The file to which finished batches are appended; None if they are not kept."""
        from advcli.tasks.benchmark.evidence import RESULTS

        return self.resume or self.out or (self.evidence / RESULTS if self.evidence else None)


def _thawed(value: object) -> Json:
    if isinstance(value, Path):
        return str(value)
    return [_thawed(item) for item in value] if isinstance(value, (list, tuple)) else value
