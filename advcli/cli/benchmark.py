"""``advcli benchmark``: options, task, output."""

from pathlib import Path

import typer

from advcli.cli import app as shared
from advcli.cli import benchmark_options as options
from advcli.cli.app import app, listing

# How results are measured and shown, which may be said anew of results that are in a file.
_ANEW = {
    "models", "overwrite", "json", "quiet", "offline", "report", "figure", "per_class", "relative_to", "fail_under",
    "baseline", "checks",
}  # fmt: skip
_WITH_RESUME = _ANEW | {"resume", "budget", "memory", "ray"}
_WITH_MERGE = _ANEW | {"merge", "out"}


@app.command(epilog=listing("attacks", "corruptions", "augmentations", "checks", "datasets"))
def benchmark(
    context: typer.Context,
    models: options.Models = None,
    data: options.Data = None,
    classes: shared.Classes = None,
    class_order: options.Order = None,
    limit: shared.Limit = None,
    first: shared.First = None,
    skip_bad: shared.SkipBad = False,
    weights: shared.ModelWeights = "imagenet",
    labels: shared.Labels = None,
    input_range: shared.InputRange = None,
    edge: shared.Edge = None,
    unsafe_load: shared.UnsafeLoad = False,
    attack: options.Attacks = None,
    noise: options.Noises = None,
    corruptions: options.Corruptions = None,
    severity: options.Severity = "1-5",
    norm: options.Norms = None,
    eps: options.Radii = None,
    transfer: options.Transfer = False,
    certify: options.Certify = None,
    per_class: options.PerClass = False,
    relative_to: options.RelativeTo = None,
    fail_under: options.FailUnder = None,
    baseline: options.Baseline = None,
    checks: options.Checks = True,
    out: options.Out = None,
    report: options.Report = None,
    figure: options.Figure = None,
    export: options.Export = None,
    resume: options.Resume = None,
    shard: options.ShardOption = None,
    merge: options.Merge = False,
    ray: options.Ray = None,
    budget: options.Budget = None,
    memory: options.Memory = None,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    batch: shared.Batch = 64,
    seed: shared.Seed = 0,
    offline: shared.Offline = False,
) -> int:
    """Measure accuracy, clean, corrupted and under attack: advcli benchmark RUN RUN --attack pgd --eps 8/255."""
    from advcli.cli import evaluations
    from advcli.cli.output import Output
    from advcli.cli.ranges import read_duration
    from advcli.cli.resolve import refuse_options
    from advcli.errors import Interrupted, UsageError
    from advcli.images import free
    from advcli.tasks.benchmarking.request import Shard
    from advcli.tasks.benchmarking.run import Pages, Run
    from advcli.tasks.training.plan import half_of_free_memory

    if out is not None and resume is not None:
        raise UsageError("--resume goes on with its own file", "leave --out out")
    for output_file in (out, report, figure):
        if output_file is not None:
            free(output_file, overwrite)
    how = Run(
        out=resume or out,
        resume=resume is not None,
        shard=Shard() if shard is None else Shard.read(shard),
        budget=None if budget is None else read_duration(budget),
        memory=half_of_free_memory() if memory is None else int(min(memory, 1e9) * 1e9),
        pages=Pages(report, figure),
        ray=ray,
    )
    summary = evaluations.Summed(checks, per_class, relative_to, fail_under, baseline)
    named = tuple(models or ())
    if merge:
        refuse_options(context, _WITH_MERGE, "--merge reads it from the files")
        events = evaluations.merged([Path(file) for file in named], summary, how)
    elif resume is not None and not named:
        refuse_options(context, _WITH_RESUME, "--resume reads it from the file")
        events = evaluations.resumed(resume, summary, how)
    else:
        asked = evaluations.Asked(
            models=named,
            data=data,
            weights=weights,
            labels=None if labels is None else str(labels),
            input_range=input_range,
            edge=edge,
            unsafe_load=unsafe_load,
            classes=classes,
            class_order=class_order,
            limit=limit,
            first=first,
            skip_bad=skip_bad,
            attacks=attack,
            noises=noise,
            corruptions=corruptions,
            severity=severity,
            norms=norm,
            radii=eps,
            transfer=transfer,
            certify=certify,
            batch=batch,
            seed=seed,
            summary=summary,
        )
        events = evaluations.asked_for(asked, how, export=export, overwrite=overwrite)
    with Output(json, quiet) as output:
        try:
            return output.show(events)
        except KeyboardInterrupt:
            if how.out is None or not how.out.is_file():
                raise
            message = f"interrupted; every finished batch is kept in '{how.out}'"
            raise Interrupted(message, f"go on with: advcli benchmark --resume {how.out}") from None
