"""Validation of an evaluation before TensorFlow is imported."""

from collections.abc import Sequence
from importlib.util import find_spec

from advcli import registry
from advcli.attacks import Universal
from advcli.corruptions import build_corruption
from advcli.datasets import find
from advcli.errors import UsageError, nearest
from advcli.files.paths import refuse_existing_file, refuse_unwritable
from advcli.model.black_box import Access
from advcli.options import changed_options, options_of
from advcli.search.refusals import refuse_blind, refuse_unsupported
from advcli.tasks.benchmark.evidence import refuse_other_files, refuse_within
from advcli.tasks.benchmark.export import ADVERSARIAL, refuse_existing
from advcli.tasks.benchmark.gates import Least, refuse_unmeasured
from advcli.tasks.benchmark.perturbations import Kind, noise_on_all
from advcli.tasks.benchmark.report import ReportFiles
from advcli.tasks.benchmark.request import Execution, Request
from advcli.tasks.benchmark.requirements import attacks_of, refuse_missing_worst
from advcli.tasks.benchmark.sweeps import read_sweep

_OF_ONE_CALL = frozenset({"json", "quiet", "offline", "max_pixels"})
_OF_RESULTS = frozenset(
    name for part in (Request, Execution) for name, each in options_of(part).items() if each.of_results
)
# The options allowed with --resume and --merge, which read the rest from their files.
WITH_RESUME = (
    _OF_RESULTS
    | _OF_ONE_CALL
    | {"resume", "requirements", "data", "given", "budget", "memory", "ray", "unsafe_load", "export"}
)
WITH_VERIFY = _OF_ONE_CALL | {"verify"}
WITH_MERGE = _OF_RESULTS | _OF_ONE_CALL | {"merge", "out", "unsafe_load"}


def check(request: Request) -> None:
    """Refuse invalid values.

    Raises:
        UsageError: a value is invalid.
    """
    for spec in request.attacks:
        registry.build("attacks", spec)
    for spec in request.noises:
        noise_on_all(spec)
    for name in request.corruptions:
        build_corruption(name)
    for text in request.sweeps:
        read_sweep(text)
    for text in request.hold:
        build_corruption(text)
    for text in request.fail_under:
        Least.read(text)
    if request.fail_worse is not None and request.baseline is None:
        raise UsageError("--fail-worse compares with a baseline", "give --baseline FILE, too")
    _ = request.smoothing


def check_files(request: Request, how: Execution) -> None:
    """Refuse output files that may not be written, and options that have no effect.

    Raises:
        UsageError: there is such a file or option.
    """
    if how.out is not None and how.resume is not None:
        raise UsageError("--resume continues its own file", "leave --out out")
    for file in (how.out, how.report, how.figure, how.junit):
        if file is not None:
            refuse_existing_file(file, how.overwrite)
            refuse_unwritable(file.parent)
    if how.evidence is not None:
        refuse_other_files(how.evidence, how.overwrite, how.resume)
        refuse_within(how.evidence, [how.report, how.figure, how.junit], how.out)
    ReportFiles(how.report, how.figure)
    with_file = ("--merge", WITH_MERGE) if how.merge else ("--resume", WITH_RESUME)
    if how.merge or (how.resume is not None and not request.models):
        for name in sorted(changed_options(request, how) - with_file[1]):
            raise UsageError(f"{name} has no effect here: {with_file[0]} reads it from the file", "leave it out")


def check_verify(request: Request, how: Execution) -> None:
    """Refuse other options beside ``--verify``.

    Raises:
        UsageError: there is one.
    """
    for name in sorted(changed_options(request, how) - WITH_VERIFY):
        raise UsageError(f"{name} has no effect here: --verify reads a folder", "leave it out")


def check_new(request: Request, how: Execution) -> None:
    """Refuse an evaluation without models or data.

    Raises:
        UsageError: there is no model, or no data.
    """
    if not request.models and how.export is None:
        raise UsageError("no model is given", "name run folders, model files or backbones; see advcli benchmark --help")
    for name, value in {"requirements": request.requirements, "junit": how.junit, "evidence": how.evidence}.items():
        if value is not None and not request.models:
            raise UsageError(f"--{name} has no effect without a model", "leave it out, or name a model")
    if not request.models and not request.data:
        raise UsageError("there is nothing to corrupt", "give the data with --data")
    if request.sweeps and not request.models:
        raise UsageError("--sweep has no effect without a model", "leave it out")
    if request.class_order is not None and not request.models:
        raise UsageError("--class-order has no effect without a model", "leave it out")
    if request.class_order is not None and request.classes:
        raise UsageError(
            "--class-order has no effect: --classes sets the order of the classes", "leave one of them out"
        )
    if len(set(request.models)) < len(request.models):
        raise UsageError("a model is given twice", "leave one out")
    _refuse_without_effect(request)


def _refuse_without_effect(request: Request) -> None:
    """Refuse options of attacks where nothing is attacked, and those of corruptions where nothing is corrupted.

    Raises:
        UsageError: there is one.
    """
    of_attacks = {
        "--eps": request.eps, "--norm": request.norms, "--surrogate": request.surrogate, "--transfer": request.transfer,
    }  # fmt: skip
    for name, value in of_attacks.items():
        if value and not request.attacks and request.requirements is None:
            raise UsageError(f"{name} has no effect without an attack", "give --attack, or leave it out")
    if request.severities != Request.severities and not request.corruptions:
        raise UsageError("--severity has no effect without corruptions", "give --corruptions, or leave it out")


def check_export(request: Request, how: Execution) -> None:
    """Refuse an export of nothing, of what a cluster attacks, or into a folder that is not empty.

    Raises:
        UsageError: the export is invalid.
    """
    if how.export is None:
        return
    attacked = bool(request.models) and any(each.kind is Kind.ATTACK for each in request.perturbations)
    if not request.corruptions and not attacked:
        raise UsageError(
            "there is nothing to export", "select corruptions with --corruptions all, or name a model and --attack"
        )
    if attacked and how.ray is not None:
        raise UsageError(
            "--export needs the images that are attacked, and --ray attacks them elsewhere", "leave one of them out"
        )
    # What an interrupted call has exported is checked against its verdicts.
    if how.resume is None or not (how.export / ADVERSARIAL).is_dir():
        refuse_existing(how.export, how.overwrite)


def refuse_blind_attacks(request: Request, models: Sequence[tuple[Access, str]]) -> None:
    """Refuse attacks that must see more of a model than it shows.

    Args:
        request: the resolved options.
        models: what each model shows of itself, and its name.

    Raises:
        UsageError: there is one.
    """
    for access, name in models:
        for spec in request.attacks:
            refuse_blind(registry.build("attacks", spec), spec, access, name, request.balls[0])
        for spec, search, threat in attacks_of(request.required):
            refuse_blind(search, spec, access, name, threat)


def check_whole(request: Request, how: Execution, recorded: Sequence[str] | None = None) -> None:
    """Refuse what cannot be measured, once the models are known.

    Args:
        request: the resolved options.
        how: the options of the run.
        recorded: the names of the models if their results are only read; the models may be elsewhere then.

    Raises:
        UsageError: the request is invalid.
    """
    gives = bool(request.given)
    loads = recorded is None
    if loads:
        gives |= hasattr(find(request.data, request.class_order), "gives_perturbations")
        if request.choose_surrogate() is None:
            refuse_blind_attacks(request, [(choice.access, choice.name) for choice in request.choices])
    methods = {spec: registry.build("attacks", spec) for spec in request.attacks}
    for threat in request.balls:
        for search in methods.values():
            refuse_unsupported(search, threat)
    patterns = [spec for spec, search in methods.items() if isinstance(search, Universal)]
    patterns += [spec for spec, search, _ in attacks_of(request.required) if isinstance(search, Universal)]
    apart = "--shard" if how.shard.of > 1 else "--ray" if how.ray else "--budget" if how.budget else None
    if patterns and apart:
        raise UsageError(
            f"'{patterns[0]}' is one perturbation for all images, but {apart} processes them in parts", "leave it out"
        )
    if how.shard.of > 1 and (request.fail_under or request.baseline):
        raise UsageError("--fail-under and --baseline need all images", "give --fail-under and --baseline to --merge")
    if how.shard.of > 1 and (how.junit or how.evidence):
        raise UsageError("--junit and --evidence need all images", "give --junit and --evidence to --merge")
    checked = loads and request.checks and request.has_clean
    gates = request.fail_under or request.requirements_file or request.fail_worse is not None
    if how.junit and not (checked or gates):
        raise UsageError("--junit has nothing to report", "give --fail-under or --requirements")
    _ = request.ranges
    if how.shard.of > 1 and request.require is not None:
        raise UsageError(
            "a tolerance is searched on all images, not on a part of them",
            "merge the shards without --require into --out FILE, then: --resume FILE --require 0.9",
        )
    if request.transfer and len(request.models) < 2:
        raise UsageError("--transfer needs two models or more", "name another model")
    if request.surrogate is not None and request.transfer:
        raise UsageError("--transfer crafts on each model, --surrogate on one other", "leave one of them out")
    if how.budget is not None and (how.ray or how.shard.of > 1):
        raise UsageError("--budget is for one process on all images", "leave it out, or take a smaller --limit")
    if how.ray is not None and find_spec("ray") is None:
        raise UsageError("ray is not installed", 'pip install "advcli[ray]"')
    if how.ray is not None and how.shard.of > 1:
        raise UsageError("--ray divides the work into shards itself", "leave --shard out")
    names = list(recorded or dict.fromkeys(choice.name for choice in request.choices))
    known = [*names, *request.models]
    relative_to = request.relative_to
    if relative_to is not None and relative_to not in known:
        raise UsageError(f"--relative-to names no model that is measured: '{relative_to}'", nearest(relative_to, known))
    if relative_to is not None and loads and not (request.corruptions or gives):
        raise UsageError("--relative-to has no effect without corruptions", "give --corruptions, or leave it out")
    # Which perturbations are given is known when the data are read.
    if request.requirements_file is not None and how.budget is not None:
        raise UsageError(
            "--requirements are about all images, and --budget leaves some of them unattacked", "leave one of them out"
        )
    if request.has_clean:
        refuse_missing_worst(request.requirements_file, request.perturbations)
    if not gives or not loads:
        refuse_unmeasured(request.summary.gates, request.perturbations, request.by, names)
