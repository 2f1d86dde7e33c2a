"""Records as rich tables."""

from collections.abc import Iterator, Sequence
from statistics import median

from rich.table import Table
from rich.text import Text

from advcli.records import (
    Attacked,
    Crafted,
    Epoch,
    Explained,
    Flipped,
    Layer,
    Planned,
    Prediction,
    Record,
    Score,
    Shifted,
    Trained,
    Trusted,
)

_FEW = 4


def tables(records: Sequence[Record]) -> Iterator[Table]:
    """Yield the tables that show all records."""
    if crafted := [record for record in records if isinstance(record, Crafted)]:
        yield _crafted(crafted[-1])
    if attacked := [record for record in records if isinstance(record, Attacked)]:
        yield _attacked(attacked)
    if planned := [record for record in records if isinstance(record, Planned)]:
        yield _planned(planned[-1])
    epochs = [record for record in records if isinstance(record, Epoch)]
    for model in dict.fromkeys(record.model for record in epochs):
        yield _epochs([record for record in epochs if record.model == model])
    for record in records:
        if isinstance(record, Trained):
            yield _trained(record)
    if scores := [record for record in records if isinstance(record, Score)]:
        yield _scores(scores)
    if explained := [record for record in records if isinstance(record, Explained)]:
        yield from _explained(explained, [record for record in records if isinstance(record, Flipped)])
    if shifted := [record for record in records if isinstance(record, Shifted)]:
        yield _shifted(shifted)
    if trusted := [record for record in records if isinstance(record, Trusted)]:
        yield _trusted(trusted)
    layers = [record for record in records if isinstance(record, Layer)]
    for model in dict.fromkeys(record.model for record in layers):
        yield _layers([record for record in layers if record.model == model])


def epoch_line(record: Epoch) -> Text:
    """Return the line that tells of an epoch while training goes on."""
    stage = f"  stage {record.stage}/{record.stages}" if record.stages > 1 else ""
    averaged = "" if record.ema_robust is None else f"  ema {record.ema_clean:.1%}/{record.ema_robust:.1%}"
    return Text.assemble(
        f"epoch {record.epoch:>3}/{record.of}{stage}  loss {loss(record.loss)}  train {record.train_accuracy:.1%}  "
        f"clean {record.clean:.1%}  robust {record.robust:.1%}{averaged}  {record.seconds:.1f} s",
        ("  " + ", ".join(record.guard) if record.guard else "", "yellow"),
    )


def loss(value: float) -> str:
    """Write a loss, also one that has run away."""
    return f"{value:.4f}" if value < 1000 else f"{value:.3g}"


def radius(norm: str | None, eps: float | None) -> str:
    """Spell out a threat: ``linf 0.0314 (8/255)``."""
    if norm is None or eps is None:
        return ""
    return f"{norm} {eps:.4g}" + (f" ({eps * 255:.3g}/255)" if norm == "linf" else "")


def _table(title: str, caption: str = "") -> Table:
    return Table(title=Text(title), caption=Text(caption), title_justify="left", caption_justify="left")


def _attacked(records: Sequence[Attacked]) -> Table:
    first = records[0]
    fooled = sum(record.fooled for record in records)
    threat = "" if first.minimal else radius(first.norm, first.eps)
    caption = f"{fooled} of {len(records)} fooled; measured on the pixels that are written"
    if first.minimal and fooled:
        middle = median(record.eps for record in records if record.fooled and record.eps is not None)
        caption += f"; median of their smallest radii: {radius(first.norm, middle)}"
    times = sorted({record.difference_times for record in records if record.difference_times})
    if times:
        shown = f"{times[0]:g}" if len(times) == 1 else f"{times[0]:g} to {times[-1]:g}"
        caption += f"; differences are shown {shown} times as large"
    table = _table(
        ", ".join(
            filter(
                None,
                [
                    f"smallest {first.norm} {first.attack}" if first.minimal else first.attack,
                    threat,
                    f"towards {first.target}" if first.target else "",
                    f"against {first.model}",
                ],
            )
        ),
        caption,
    )
    numbers = {"L-inf", "L2", "L1", "smallest radius", "queries"}
    headings = ["image", "before", "after", "fooled", "L-inf", "L2", "queries", "output"]
    if first.norm == "l1":
        headings.insert(6, "L1")
    if first.minimal:
        headings.insert(4, "smallest radius")
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading in numbers else "left")
    for record in records:
        before, after = (
            (record.before_top, record.after_top) if len(records) <= _FEW else ((record.before,), (record.after,))
        )
        cells = {
            "image": Text(record.image),
            "before": _ranking(before, record.before.index),
            "after": _ranking(after, record.before.index),
            "fooled": Text("yes", "bold red") if record.fooled else Text("no", "green"),
            "smallest radius": _smallest(record),
            "L-inf": f"{record.linf * 255:.0f}/255",
            "L2": f"{record.l2:.3f}",
            "L1": f"{record.l1:.3f}",
            "queries": str(record.queries),
            "output": Text("\n".join(filter(None, _written(record)))),
        }
        table.add_row(*(cells[heading] for heading in headings), end_section=len(records) <= _FEW)
    return table


def _smallest(record: Attacked) -> str:
    if record.eps is None:
        return ""
    if record.eps == 0:
        return "none needed"
    return f"{record.eps * 255:.3g}/255" if record.fooled else f"above {record.eps * 255:.3g}/255"


def _written(record: Attacked) -> tuple[str | None, ...]:
    return record.output, record.clean_output, record.difference_output


def _crafted(record: Crafted) -> Table:
    caption = f"put it on other images with --apply '{record.output}'"
    table = _table(f"Crafted by {record.attack} against {record.model}", caption)
    for heading in ("images", "radius", "target", "seconds", "pattern"):
        table.add_column(heading, justify="right" if heading in ("images", "seconds") else "left", overflow="fold")
    table.add_row(
        str(record.images),
        radius(record.norm, record.eps) or "none",
        Text(record.target or "any wrong class"),
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


def _scores(records: Sequence[Score]) -> Table:
    models = list(dict.fromkeys(record.model for record in records))
    perturbations = list(dict.fromkeys(record.perturbation for record in records))
    threats = dict.fromkeys(radius(record.norm, record.eps) for record in records if record.norm)
    by_place = {(record.model, record.perturbation): record for record in records}
    table = _table(
        f"Accuracy on {records[0].data}" + "".join(f", {threat}" for threat in threats),
        "still right of all images [Wilson 95% interval]; below: of those right when clean",
    )
    table.add_column("model", overflow="fold")
    table.add_column("images", justify="right")
    for perturbation in perturbations:
        table.add_column(perturbation, justify="right", overflow="fold")
    for model in models:
        rows = [by_place.get((model, perturbation)) for perturbation in perturbations]
        cells = [Text("") if row is None else _score(row) for row in rows]
        table.add_row(Text(model, "bold"), str(max(row.images for row in rows if row)), *cells, end_section=True)
    return table


def _score(record: Score) -> Text:
    interval = f" [{100 * record.low:.1f}, {100 * record.high:.1f}]"
    text = Text.assemble((f"{record.accuracy:.1%}", "bold"), interval)
    if record.norm:
        text.append(f"\n{record.accuracy_of_clean_correct:.1%} of clean-correct", "dim")
    return text


def _epochs(records: Sequence[Epoch]) -> Table:
    table = _table(f"Training of {records[0].model} on {records[0].data}")
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
    table = _table(
        f"Trained {record.backbone} with {record.objective}",
        f"validation on {record.validation_images} images; "
        f"robust: PGD-10, {radius(record.norm, record.eps)}, on {record.robust_images} of them",
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


def _planned(record: Planned) -> Table:
    caption = "timed on this machine with everything unfrozen"
    if record.cheaper and record.cheaper_seconds_a_step:
        ratio = record.seconds_a_step / record.cheaper_seconds_a_step
        caption += (
            f"; --objective {record.cheaper} takes {record.cheaper_seconds_a_step:.3g} s a step, {ratio:.1f} times less"
        )
    table = _table(f"Plan of {record.model} on {record.data}", caption)
    table.add_column("what")
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


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _explained(records: Sequence[Explained], flips: Sequence[Flipped]) -> Iterator[Table]:
    """Show what images were taken for and why, and for a few images their maps one by one."""
    models = list(dict.fromkeys(record.model for record in records))
    found = list(dict.fromkeys((record.image, record.model) for record in records))
    attacked = any(record.view == "adversarial" for record in records)
    few = len(found) <= _FEW
    table = _table(f"What {' and '.join(models)} look{'s' if len(models) == 1 else ''} at")
    headings = ["image"]
    headings += ["model"] if len(models) > 1 else []
    headings += ["clean"] + (["adversarial", "pixels back"] if attacked else []) + ["contact sheet"]
    for heading in headings:
        table.add_column(heading, justify="right" if heading == "pixels back" else "left", overflow="fold")
    for image, model in found:
        own = [record for record in records if (record.image, record.model) == (image, model)]
        tops = {record.view: record.top for record in reversed(own)}
        flip = next((each for each in flips if (each.image, each.model) == (image, model)), None)
        origin = own[0].true or tops["clean"][0].label if "clean" in tops else own[0].true
        cells = {
            "image": Text(image),
            "model": Text(model),
            "clean": _views_top(tops.get("clean", ()), origin, few),
            "adversarial": _views_top(tops.get("adversarial", ()), origin, few),
            "pixels back": _pixels_back(flip, few),
            "contact sheet": Text(own[0].sheet),
        }
        table.add_row(*(cells[heading] for heading in headings), end_section=few)
    if attacked:
        table.caption = Text("pixels back: how many of them, put back as they were, restore the prediction")
    yield table
    if few:
        yield _maps(records)


def _views_top(top: Sequence[Prediction], origin: str | None, few: bool) -> Text:
    """Write a view's likeliest classes, blue the one the image is of, red a wrong one that comes first."""
    lines = []
    for place, item in enumerate(top[: 5 if few else 1]):
        style = "blue" if item.label == origin else "red" if place == 0 else ""
        lines.append(Text(f"{item.confidence:>6.1%} {item.label}", style))
    return Text("\n").join(lines)


def _pixels_back(flip: Flipped | None, few: bool) -> Text:
    if flip is None:
        return Text("")
    if flip.restored_share is None or flip.restored is None:
        return Text("no share does")
    share = f"{flip.restored_share:.1%}"
    if not few:
        return Text(share)
    lines = [
        f"{share} restores",
        flip.restored.label,
        f"margin {flip.margin_before:.3g} to {flip.margin_after:.3g}",
        f"sum off by {flip.completeness:.1%}",
    ]
    return Text("\n".join(lines))


def _maps(records: Sequence[Explained]) -> Table:
    table = _table("Maps")
    moved = any(record.shift for record in records)
    named = [name for name in ("image", "model") if len({getattr(record, name) for record in records}) > 1]
    numbers = ("maximum", "rank correlation (noise)", "top 10% (noise)")
    headings = [*named, "view", "class explained", "confidence", "map", "layer", "maximum"]
    headings += list(numbers[1:]) if moved else []
    for heading in headings:
        table.add_column(heading, justify="right" if heading in (*numbers, "confidence") else "left", overflow="fold")
    for record in records:
        shift, noise = record.shift, record.noise_floor
        size = f" {record.map_size[0]} x {record.map_size[1]}" if record.map_size else ""
        cells = {
            "image": Text(record.image),
            "model": Text(record.model),
            "view": record.view,
            "class explained": Text(record.label + (f" rather than {record.against}" if record.against else "")),
            "confidence": f"{record.confidence:.1%}",
            "map": record.method,
            "layer": (record.layer or "") + size,
            "maximum": f"{record.maximum:.3g}" if record.evidence else "no evidence",
            numbers[1]: f"{shift.spearman:.2f} ({noise.spearman:.2f})" if shift and noise else "",
            numbers[2]: f"{shift.overlap:.2f} ({noise.overlap:.2f})" if shift and noise else "",
        }
        table.add_row(*(cells[heading] for heading in headings))
    reasons = {record.layer: record.layer_reason for record in records if record.layer and record.layer_reason}
    complete: dict[str, float] = {}
    for record in records:
        if record.completeness is not None:
            complete[record.method] = max(record.completeness, complete.get(record.method, 0.0))
    notes = [f"{layer}: {reason}" for layer, reason in reasons.items()]
    notes += [
        f"{method}: its sum misses up to {missing:.1%} of the change of the score"
        for method, missing in complete.items()
    ]
    if moved:
        notes.append("correlations with the clean image's map; in brackets those of noise as large as the perturbation")
    table.caption = Text("\n".join(notes))
    return table


def _shifted(records: Sequence[Shifted]) -> Table:
    table = _table(
        "How far the maps moved: medians, in brackets those of noise as large as the perturbation",
        f"compared with the clean image's map of its own class; truth: {records[0].truth}",
    )
    for heading in ("model", "map", "images", "class explained"):
        table.add_column(heading, overflow="fold")
    for heading in ("n", "rank correlation", "SSIM", "top 10%", "centre moved", "pixels back"):
        table.add_column(heading, justify="right")
    for record in records:
        share = record.restored_share
        table.add_row(
            Text(record.model),
            record.method,
            record.group,
            record.explained,
            str(record.images),
            _beside(record.spearman, record.noise_spearman),
            _beside(record.ssim, record.noise_ssim),
            _beside(record.overlap, record.noise_overlap),
            f"{record.distance:.1%}" + ("" if record.noise_distance is None else f" ({record.noise_distance:.1%})"),
            "" if share is None else f"{share:.1%}",
        )
    return table


def _beside(value: float, noise: float | None) -> str:
    return f"{value:.2f}" + ("" if noise is None else f" ({noise:.2f})")


def _trusted(records: Sequence[Trusted]) -> Table:
    cached = sum(record.cached for record in records)
    table = _table(
        "Are the maps to be believed?",
        f"on {records[0].images} images; in brackets a random map"
        + (f"; {cached} known from before" if cached else ""),
    )
    table.add_column("model", overflow="fold")
    table.add_column("map")
    table.add_column("verdict")
    for heading in ("deletion", "insertion", "random weights", "other class"):
        table.add_column(heading, justify="right")
    table.add_column("why", overflow="fold")
    styles = {"pass": "green", "weak": "yellow", "fail": "bold red"}
    for record in records:
        reasons = list(record.reasons)
        if record.completeness is not None:
            reasons.append(f"sum off by {record.completeness:.1%}")
        table.add_row(
            Text(record.model),
            record.method,
            Text(record.verdict, styles[record.verdict]),
            f"{record.deletion:.2f} ({record.random_deletion:.2f})",
            f"{record.insertion:.2f} ({record.random_insertion:.2f})",
            "flat" if record.randomized is None else f"{record.randomized:.2f}",
            "flat" if record.other_class is None else f"{record.other_class:.2f}",
            Text("; ".join(reasons)),
        )
    return table


def _layers(records: Sequence[Layer]) -> Table:
    chosen = next((record for record in records if record.chosen), None)
    table = _table(
        f"Layers of {records[0].model} whose output is a map",
        f"shown unless told otherwise: {chosen.layer}, {chosen.reason}" if chosen else "none is shown unless named",
    )
    table.add_column("layer", overflow="fold")
    for heading in ("rows", "columns", "channels"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for record in records:
        note = "shown" if record.chosen else record.kind
        table.add_row(Text(record.layer), str(record.rows), str(record.columns), str(record.channels), note)
    return table
