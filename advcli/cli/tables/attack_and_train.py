"""Records as rich tables."""

from collections.abc import Iterator, Sequence
from statistics import median

from rich.table import Table
from rich.text import Text

from advcli.cli.tables.benchmark import benchmark_tables
from advcli.cli.tables.explain import explain_tables
from advcli.cli.tables.style import new_table
from advcli.records import Attacked, Averaged, Crafted, Epoch, Mixed, Planned, Prediction, Record, Temperature, Trained
from advcli.threat.spelling import spell_norm, spell_spec, spell_threat

_FEW = 4


def tables(records: Sequence[Record]) -> Iterator[Table | Text]:
    """Yield the tables that show all records, and commands to be copied."""
    if crafted := [record for record in records if isinstance(record, Crafted)]:
        yield _crafted(crafted[-1])
    if attacked := [record for record in records if isinstance(record, Attacked)]:
        yield _attacked(attacked)
        if any(record.ensemble for record in attacked):
            yield _ensemble(attacked)
    if planned := [record for record in records if isinstance(record, Planned)]:
        yield _planned(planned[0])
        if len(planned) > 1:
            yield _recipes(planned)
    epochs = [record for record in records if isinstance(record, Epoch)]
    for model in dict.fromkeys(record.model for record in epochs):
        yield _epochs([record for record in epochs if record.model == model])
    for record in records:
        if isinstance(record, Trained):
            yield _trained(record)
            if record.measure:
                yield Text(f"on test images: {record.measure}")
        if isinstance(record, Averaged):
            yield _averaged(record, [mix for mix in records if isinstance(mix, Mixed)])
    yield from benchmark_tables(records)
    yield from explain_tables(records)


def epoch_line(record: Epoch) -> Text:
    """Return the line of one epoch, shown during training."""
    stage = f"  stage {record.stage}/{record.stages}" if record.stages > 1 else ""
    averaged = "" if record.ema_robust is None else f"  ema {record.ema_clean:.1%}/{record.ema_robust:.1%}"
    return Text.assemble(
        f"epoch {record.epoch:>3}/{record.of}{stage}  loss {loss(record.loss)}  train {record.train_accuracy:.1%}  "
        f"clean {record.clean:.1%}  robust {record.robust:.1%}{averaged}  {record.seconds:.1f} s",
        ("  " + ", ".join(record.guard) if record.guard else "", "yellow"),
    )


def loss(value: float) -> str:
    """Format a loss, also a very large one."""
    return f"{value:.4f}" if value < 1000 else f"{value:.3g}"


def _attacked(records: Sequence[Attacked]) -> Table:
    first = records[0]
    fooled = sum(record.fooled for record in records)
    threat = "" if first.minimal else spell_threat(first.norm, first.eps)
    caption = f"{fooled} of {len(records)} fooled; measured on the written pixels"
    if first.minimal and fooled:
        middle = median(record.eps for record in records if record.fooled and record.eps is not None)
        caption += f"; median of their smallest radii: {spell_threat(first.norm, middle)}"
    if first.mask is not None:
        caption += f"; only white pixels of '{first.mask}' could change: {_shares(records)} of an image"
    times = sorted({record.difference_times for record in records if record.difference_times})
    if times:
        shown = f"{times[0]:g}" if len(times) == 1 else f"{times[0]:g} to {times[-1]:g}"
        caption += f"; differences are shown {shown} times as large"
    rows = [_cells(record, all_five=len(records) <= _FEW) for record in records]
    # What is the same for all images is said once.
    same = [heading for heading in ("L-inf", "queries") if len({str(row[heading]) for row in rows}) == 1 < len(rows)]
    caption = "; ".join([caption, *(f"{heading} {rows[0][heading]} each" for heading in same)])
    attack = spell_spec(first.attack)
    table = new_table(
        ", ".join(
            filter(
                None,
                [
                    f"smallest {spell_norm(first.norm or '')} {attack}" if first.minimal else attack,
                    threat,
                    f"towards {first.target}" if first.target else "",
                    f"against {first.model}",
                ],
            )
        ),
        caption,
    )
    numbers = {"L-inf", "L2", "L1", "L0", "smallest radius", "queries"}
    headings = ["image", "before", "after", "fooled", "L-inf", "L2", "queries", "output"]
    if first.norm in ("l1", "l0"):
        headings.insert(6, spell_norm(first.norm))
    if first.minimal:
        headings.insert(4, "smallest radius")
    headings = [heading for heading in headings if heading not in same]
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading in numbers else "left")
    for row in rows:
        table.add_row(*(row[heading] for heading in headings), end_section=len(records) <= _FEW)
    return table


def _cells(record: Attacked, *, all_five: bool) -> dict[str, Text | str]:
    """Write what the table of attacked images may show of one."""
    before, after = (record.before_top, record.after_top) if all_five else ((record.before,), (record.after,))
    return {
        "image": Text(record.image),
        "before": _ranking(before, record.before.index),
        "after": _ranking(after, record.before.index),
        "fooled": Text("yes", "bold red") if record.fooled else Text("no", "green"),
        "smallest radius": _smallest(record),
        "L-inf": f"{record.linf * 255:.0f}/255",
        "L2": f"{record.l2:.3f}",
        "L1": f"{record.l1:.3f}",
        "L0": str(record.l0),
        "queries": str(record.queries),
        "output": Text("\n".join(filter(None, _written(record)))),
    }


def _ensemble(records: Sequence[Attacked]) -> Table:
    """Show what each of several models sees."""
    table = new_table("Crafted on the mean of the logits", "measured on the written pixels")
    for heading in ("model", "fooled", *(("before", "after") if len(records) == 1 else ())):
        table.add_column(heading, overflow="fold")
    for row in zip(*(record.ensemble for record in records), strict=True):
        fooled = sum(verdict.fooled for verdict in row)
        first = row[0]
        seen = (_ranking((each,), first.before.index) for each in (first.before, first.after))
        table.add_row(Text(first.model), f"{fooled} of {len(row)}", *(tuple(seen) if len(records) == 1 else ()))
    return table


def _shares(records: Sequence[Attacked]) -> str:
    shares = [record.mask_share or 0.0 for record in records]
    least, most = f"{min(shares):.1%}", f"{max(shares):.1%}"
    return least if least == most else f"{least} to {most}"


def _smallest(record: Attacked) -> str:
    if record.eps is None:
        return ""
    if record.eps == 0:
        return "none needed"
    radius = f"{record.eps:g}" if record.norm == "l0" else f"{record.eps * 255:.3g}/255"
    return radius if record.fooled else f"above {radius}"


def _written(record: Attacked) -> tuple[str | None, ...]:
    return record.output, record.clean_output, record.difference_output


def _crafted(record: Crafted) -> Table:
    caption = f"apply it to other images with --apply '{record.output}'"
    table = new_table(f"Crafted by {spell_spec(record.attack)} against {record.model}", caption)
    for heading in ("images", "radius", "target", "seconds", "pattern"):
        table.add_column(heading, justify="right" if heading in ("images", "seconds") else "left", overflow="fold")
    table.add_row(
        str(record.images),
        spell_threat(record.norm, record.eps) or "none",
        Text(record.target or "any incorrect class"),
        f"{record.seconds:.1f}",
        Text(record.output),
    )
    return table


def _ranking(predictions: Sequence[Prediction], original: int) -> Text:
    lines = [
        Text(f"{prediction.confidence:6.1%} {prediction.label}", "bold" if prediction.index == original else "")
        for prediction in predictions
    ]
    return Text("\n").join(lines)


def _epochs(records: Sequence[Epoch]) -> Table:
    table = new_table(f"Training of {records[0].model} on {records[0].data}")
    shown = {
        "epoch": lambda record: str(record.epoch),
        "stage": lambda record: f"{record.stage}/{record.stages}" if record.stages > 1 else "",
        "loss": lambda record: loss(record.loss),
        "train": lambda record: f"{record.train_accuracy:.1%}",
        "clean": lambda record: f"{record.clean:.1%}",
        "robust": lambda record: f"{record.robust:.1%}",
        "one step": lambda record: f"{record.single_step:.1%}",
        "EMA clean": lambda record: "" if record.ema_clean is None else f"{record.ema_clean:.1%}",
        "EMA robust": lambda record: "" if record.ema_robust is None else f"{record.ema_robust:.1%}",
        "learning rate": lambda record: f"{record.learning_rate:.2g}",
        "seconds": lambda record: f"{record.seconds:.1f}",
        "guard": lambda record: ", ".join(record.guard),
    }
    cells = {heading: [cell(record) for record in records] for heading, cell in shown.items()}
    kept = {heading: column for heading, column in cells.items() if any(column)}
    for heading in kept:
        table.add_column(heading, justify="left" if heading == "guard" else "right")
    for row in zip(*kept.values(), strict=True):
        table.add_row(*row)
    return table


def _trained(record: Trained) -> Table:
    table = new_table(
        f"Trained {record.backbone} with {record.objective}",
        f"validation on {record.validation_images} images; "
        f"robust: PGD-10, {_spell_balls(record)}, on {record.robust_images} of them"
        + (_temperature(record.calibration) if record.calibration else ""),
    )
    for heading in ("best epoch", "clean", "robust", "seconds", "run"):
        table.add_column(heading, justify="left" if heading == "run" else "right", overflow="fold")
    table.add_row(
        str(record.best_epoch),
        f"{record.clean:.1%}",
        f"{record.robust:.1%}",
        f"{record.seconds:.0f}",
        Text(record.output),
    )
    return table


def _spell_balls(record: Trained | Averaged) -> str:
    """Write the ball of robust validation, or all of several."""
    return " and ".join(spell_threat(norm, eps) for norm, eps in record.threats or ((record.norm, record.eps),))


def _temperature(fitted: Temperature) -> str:
    loss_change = f"NLL {fitted.nll_before:.3f} -> {fitted.nll_after:.3f}"
    error_change = f"ECE {fitted.ece_before:.3f} -> {fitted.ece_after:.3f}"
    return f"\nlogits divided by the temperature {fitted.temperature:.3g}: {loss_change}, {error_change} on validation"


def _averaged(record: Averaged, mixes: Sequence[Mixed]) -> Table:
    """Return the table of all mixes, the saved one marked."""
    table = new_table(
        f"Averages of {len(record.runs)} runs, the best by {record.select} accuracy in {record.output}",
        f"validation on {record.validation_images} images; "
        f"robust: PGD-10, {_spell_balls(record)}, on {record.robust_images} of them"
        + (_temperature(record.calibration) if record.calibration else ""),
    )
    for heading in (*(f"share of {run}" for run in record.runs), "clean", "robust", "one step"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("")
    for mix in mixes:
        accuracies = (mix.clean, mix.robust, mix.single_step)
        saved = "saved" if mix.weights == record.weights else ""
        table.add_row(*(f"{weight:.2g}" for weight in mix.weights), *(f"{part:.1%}" for part in accuracies), saved)
    return table


def _planned(record: Planned) -> Table:
    caption = "timed on this machine with all layers unfrozen"
    if record.cheaper and record.cheaper_seconds_a_step:
        ratio = record.seconds_a_step / record.cheaper_seconds_a_step
        caption += (
            f"; --objective {record.cheaper} takes {record.cheaper_seconds_a_step:.3g} s a step, {ratio:.1f} times less"
        )
    table = new_table(f"Plan of {record.model} on {record.data}", caption)
    table.add_column("quantity")
    table.add_column("estimate", justify="right")
    for what, estimate in (
        ("parameters", f"{record.parameters:,}"),
        ("images to train on", f"{record.images:,}"),
        ("steps an epoch", f"{record.steps_an_epoch:,}"),
        ("before the first step", _duration(record.seconds_to_begin)),
        ("a step", f"{record.seconds_a_step:.3g} s"),
        ("a validation", _duration(record.seconds_a_validation)),
        ("an epoch", _duration(record.seconds_an_epoch)),
        (f"all {record.epochs} epochs", _duration(record.seconds)),
        ("memory", f"{record.memory / 1e9:.1f} GB"),
        ("disk", f"{record.disk / 1e6:,.0f} MB"),
    ):
        table.add_row(what, estimate)
    return table


def _recipes(records: Sequence[Planned]) -> Table:
    columns = list(dict.fromkeys(column for record in records for column in record.expected or {}))
    measured = "after memory: test accuracy in per cent where the recipes were measured, see docs/results.md"
    caption = measured if columns else ""
    table = new_table("Recipes", caption)
    for heading in ("recipe", "epochs", "time", "memory", *columns):
        table.add_column(heading, justify="left" if heading == "recipe" else "right", overflow="fold")
    for record in records:
        expected = record.expected or {}
        table.add_row(
            record.recipe,
            str(record.epochs),
            _duration(record.seconds),
            f"{record.memory / 1e9:.1f} GB",
            *(f"{expected[column]:.1f}" if column in expected else "" for column in columns),
        )
    return table


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
