"""What ``advcli benchmark`` is to do, made of its options, and what it refuses before TensorFlow is imported."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from advcli import registry
from advcli.attacks import Universal, refuse_unsupported
from advcli.class_order import ClassOrder
from advcli.cli.ranges import read_severities, read_threats
from advcli.cli.resolve import read_list, read_range
from advcli.corruptions import chosen
from advcli.datasets import find
from advcli.errors import UsageError, nearest
from advcli.records import Progress, Record
from advcli.tasks.benchmarking.export import export as write_corrupted
from advcli.tasks.benchmarking.export import refuse_existing
from advcli.tasks.benchmarking.gates import refuse_unmeasured
from advcli.tasks.benchmarking.merging import merge
from advcli.tasks.benchmarking.reading import read_protocol
from advcli.tasks.benchmarking.request import Request, Shard
from advcli.tasks.benchmarking.run import Run, run
from advcli.tasks.models import ModelChoice
from advcli.threat import Norm

_ATTACKS = ("fgsm", "pgd")


@dataclass(frozen=True)
class Summed:
    """The options that say what results are summed up to, which may be given anew of results in a file."""

    checks: bool
    per_class: bool
    relative_to: str | None
    fail_under: Sequence[str] | None
    baseline: Path | None

    def options(self) -> dict[str, Any]:
        """Return them as a request has them."""
        return {
            "checks": self.checks,
            "per_class": self.per_class,
            "relative_to": self.relative_to,
            "fail_under": tuple(self.fail_under or ()),
            "baseline": None if self.baseline is None else str(self.baseline),
        }

    def over(self, request: Request) -> Request:
        """Return a request with what was given here instead of what it says."""
        given = {name: value for name, value in self.options().items() if value not in (None, False, ())}
        return replace(request, **given | {"checks": request.checks and self.checks})


@dataclass(frozen=True)
class Asked:
    """The options that say what is measured, as they were typed."""

    models: tuple[str, ...]
    data: str | None
    weights: str
    labels: str | None
    input_range: str | None
    edge: int | None
    unsafe_load: bool
    classes: str | None
    class_order: ClassOrder | None
    limit: int | None
    first: int | None
    skip_bad: bool
    attacks: Sequence[str] | None
    noises: Sequence[str] | None
    corruptions: str | None
    severity: str
    norms: Sequence[Norm] | None
    radii: Sequence[str] | None
    transfer: bool
    certify: str | None
    batch: int
    seed: int
    summary: Summed

    @property
    def specs(self) -> tuple[str, ...]:
        """The attacks; ``none`` stands for no attack."""
        if self.attacks is None:
            return _ATTACKS
        return () if list(self.attacks) == ["none"] else tuple(dict.fromkeys(self.attacks))

    def request(self) -> Request:
        """Read the options.

        Raises:
            UsageError: one of them has no such value.
        """
        if len(set(self.models)) < len(self.models):
            raise UsageError("a model is given twice", "leave one out")
        for spec in self.specs:
            registry.build("attacks", spec)
        common = {
            "weights": self.weights,
            "labels": self.labels,
            "input_range": read_range(self.input_range),
            "edge": self.edge,
        }
        labels = None if self.labels is None else Path(self.labels)
        recipes = [
            ModelChoice(model, self.weights, labels, common["input_range"], self.edge, self.unsafe_load).recipe
            for model in self.models
        ]
        trained_on = recipes[0] if recipes else {}
        if self.data is None and "data" not in trained_on:
            raise UsageError(
                f"'{self.models[0]}' does not say what it was trained on", "say what to measure on with --data"
            )
        kept = trained_on.get("classes", ()) if self.data is None and self.classes is None else read_list(self.classes)
        return Request(
            models=self.models,
            data=self.data or trained_on["data"],
            **common,
            unsafe_load=self.unsafe_load,
            classes=tuple(kept),
            class_order=None if self.class_order is None else self.class_order.value,
            limit=self.limit,
            first=self.first,
            skip_bad=self.skip_bad,
            threats=tuple((str(threat.norm), threat.eps) for threat in read_threats(recipes, self.norms, self.radii)),
            attacks=self.specs,
            noises=tuple(dict.fromkeys(self.noises or ())),
            corruptions=() if self.corruptions is None else chosen(self.corruptions),
            severities=read_severities(self.severity),
            transfer=self.transfer,
            certify=self.certify,
            batch=self.batch,
            seed=self.seed,
            **self.summary.options(),
        )


def asked_for(asked: Asked, how: Run, *, export: Path | None, overwrite: bool) -> Iterator[Record | Progress]:
    """Return the evaluation that was asked for.

    Raises:
        UsageError: there is no such evaluation.
    """
    if not asked.models and export is None:
        raise UsageError("no model is given", "name run folders, model files or backbones; see advcli benchmark --help")
    if not asked.models and asked.data is None:
        raise UsageError("there is nothing to corrupt", "say what with --data")
    request = asked.request()
    find(request.data, request.order)
    if request.class_order is not None and not request.models:
        raise UsageError("--class-order has no effect without a model", "leave it out")
    if request.class_order is not None and request.classes:
        raise UsageError(
            "--class-order has no effect: --classes says the order of the classes", "leave one of them out"
        )
    _refuse(request, how)
    evaluation: Iterator[Record | Progress] = iter(())
    if export is not None:
        if not request.corruptions:
            raise UsageError("there is nothing to export", "say which corruptions with --corruptions all")
        refuse_existing(export, overwrite)
        evaluation = write_corrupted(request, export, how.shard)
    if request.models:
        evaluation = chain(evaluation, run(request, how))
    return evaluation


def resumed(file: Path, summary: Summed, how: Run) -> Iterator[Record | Progress]:
    """Return the evaluation that a file describes.

    Raises:
        UsageError: it describes none.
    """
    protocol = read_protocol(file)
    request = summary.over(Request.from_json(protocol.options))
    how = replace(how, shard=Shard() if protocol.shard is None else Shard.read(protocol.shard))
    _refuse(request, how)
    return run(request, how)


def merged(files: Sequence[Path], summary: Summed, how: Run) -> Iterator[Record | Progress]:
    """Return what the files of all shards come to.

    Raises:
        UsageError: they do not belong together, or one is missing.
    """
    if not files:
        raise UsageError("no file of results is given", "advcli benchmark --merge shards/*.jsonl")
    protocols = [read_protocol(file) for file in files]
    request = summary.over(Request.from_json(protocols[0].options))
    _refuse(request, how, loads=False)
    return merge(files, request, how)


def _refuse(request: Request, how: Run, *, loads: bool = True) -> None:
    """Refuse what cannot be measured, or means nothing.

    Raises:
        UsageError: there is something of that kind.
    """
    if loads:
        _ = request.choices
    _ = request.smoothing
    methods = {spec: registry.build("attacks", spec) for spec in request.attacks}
    for threat in request.balls:
        for search in methods.values():
            refuse_unsupported(search, threat)
    patterns = [spec for spec, search in methods.items() if isinstance(search, Universal)]
    apart = "--shard" if how.shard.of > 1 else "--ray" if how.ray else "--budget" if how.budget else None
    if patterns and apart:
        raise UsageError(
            f"'{patterns[0]}' is one pattern over all images, which {apart} does not see together", "leave it out"
        )
    if how.shard.of > 1 and (request.fail_under or request.baseline):
        raise UsageError("a part of the images does not decide", "give --fail-under and --baseline to --merge")
    if request.transfer and len(request.models) < 2:
        raise UsageError("--transfer needs two models or more", "name another model")
    if how.budget is not None and (how.ray or how.shard.of > 1):
        raise UsageError("--budget is for one process on all images", "leave it out, or take a smaller --limit")
    if how.ray is not None and find_spec("ray") is None:
        raise UsageError("ray is not installed", 'pip install "advcli[ray]"')
    if how.ray is not None and how.shard.of > 1:
        raise UsageError("--ray cuts the work into shards itself", "leave --shard out")
    names = [*dict.fromkeys(choice.name for choice in request.choices), *request.models] if loads else []
    relative_to = request.relative_to
    if relative_to is not None and names and relative_to not in names:
        raise UsageError(f"--relative-to names no model that is measured: '{relative_to}'", nearest(relative_to, names))
    refuse_unmeasured(request.summary.gates, request.perturbations)
