"""The records of explanations as rich tables."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from advcli import registry
from advcli.cli.tables.style import new_table
from advcli.records import Explained, Flipped, Layer, Prediction, Record, Shifted, Trusted
from advcli.records.explaining import OUTCOME_WORDS

# For at most this many images the maps are listed one by one.
_FEW = 4
_COMPARED = (
    "compared with the clean image's map of the true class, or of the predicted one where the true one is not known"
)


def explain_tables(records: Sequence[Record]) -> Iterator[Table]:
    """Yield the tables that show what was explained."""
    if explained := [record for record in records if isinstance(record, Explained)]:
        yield from _explained(explained, [record for record in records if isinstance(record, Flipped)])
    if shifted := [record for record in records if isinstance(record, Shifted)]:
        yield _shifted(shifted)
    if trusted := [record for record in records if isinstance(record, Trusted)]:
        yield _trusted(trusted)
    layers = [record for record in records if isinstance(record, Layer)]
    for model in dict.fromkeys(record.model for record in layers):
        yield _layers([record for record in layers if record.model == model])


def _explained(records: Sequence[Explained], flips: Sequence[Flipped]) -> Iterator[Table]:
    """Show the predicted classes of images and the cause of errors, and for a few images their maps."""
    models = list(dict.fromkeys(record.model for record in records))
    found = list(dict.fromkeys((record.image, record.model) for record in records))
    attacked = any(record.view == "adversarial" for record in records)
    few = len(found) <= _FEW
    table = new_table(f"Explanations of {' and '.join(models)}")
    headings = ["image"]
    headings += ["model"] if len(models) > 1 else []
    headings += ["clean"] + (["adversarial", "restored pixels"] if attacked else []) + ["contact sheet"]
    for heading in headings:
        table.add_column(heading, justify="right" if heading == "restored pixels" else "left", overflow="fold")
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
            "restored pixels": _pixels_back(flip, few),
            "contact sheet": Text(own[0].sheet),
        }
        table.add_row(*(cells[heading] for heading in headings), end_section=few)
    if attacked:
        table.caption = Text(
            "restored pixels: the share of clean pixels that restores the prediction"
            + ("; margin: logit of the incorrect class minus that of the original" if few else "")
        )
    yield table
    if few:
        yield _maps(records)


def _views_top(top: Sequence[Prediction], origin: str | None, few: bool) -> Text:
    """Format a view's likeliest classes: the true class in blue, a wrong predicted class in red."""
    lines = []
    for place, item in enumerate(top[: 5 if few else 1]):
        style = "blue" if item.label == origin else "red" if place == 0 else ""
        lines.append(Text(f"{item.confidence:>6.1%} {item.label}", style))
    return Text("\n").join(lines)


def _pixels_back(flip: Flipped | None, few: bool) -> Text:
    if flip is None:
        return Text("")
    if flip.restored_share is None or flip.restored is None:
        return Text("none")
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
    table = new_table("Maps")
    moved = any(record.shift for record in records)
    named = [name for name in ("image", "model") if len({getattr(record, name) for record in records}) > 1]
    numbers = ("maximum", "rank correlation (noise)", "top 10% IoU (noise)")
    headings = [*named, "view", "class explained", "confidence", "map", "layer", "maximum"]
    headings += list(numbers[1:]) if moved else []
    for heading in headings:
        table.add_column(heading, justify="right" if heading in (*numbers, "confidence") else "left", overflow="fold")
    methods = {name: registry.component("explainers", name) for name in registry.names("explainers")}
    second = {part for name, explainer in methods.items() for part in explainer.parts(name)[1:]}
    for record in records:
        shift, noise = record.shift, record.noise_floor
        # The whole map is compared; its numbers are in the row of its first part.
        again = "as above" if shift and record.method in second else ""
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
            numbers[1]: f"{shift.spearman:.2f} ({noise.spearman:.2f})" if shift and noise and not again else again,
            numbers[2]: f"{shift.overlap:.2f} ({noise.overlap:.2f})" if shift and noise and not again else again,
        }
        table.add_row(*(cells[heading] for heading in headings))
    reasons = {record.layer: record.layer_reason for record in records if record.layer and record.layer_reason}
    complete: dict[str, float] = {}
    for record in records:
        if record.completeness is not None:
            complete[record.method] = max(record.completeness, complete.get(record.method, 0.0))
    notes = [f"{layer}: {reason}" for layer, reason in reasons.items()]
    notes += [
        f"{method}: its sum differs from the change of the score by up to {missing:.1%}"
        for method, missing in complete.items()
    ]
    if moved:
        notes.append(
            f"{_COMPARED}, both signs together; "
            "in brackets for noise of the perturbation's size; IoU: intersection over union"
        )
    table.caption = Text("\n".join(notes))
    return table


def _shifted(records: Sequence[Shifted]) -> Table:
    table = new_table(
        "Similarity of clean and adversarial maps: medians, in brackets for noise of the perturbation's size",
        f"{_COMPARED}; IoU: intersection over union; truth: {records[0].truth}",
    )
    for heading in ("model", "map", "images", "class explained"):
        table.add_column(heading, overflow="fold")
    for heading in ("n", "rank correlation", "SSIM", "top 10% IoU", "centre moved", "restored pixels"):
        table.add_column(heading, justify="right")
    for record in records:
        share = record.restored_share
        table.add_row(
            Text(record.model),
            record.method,
            OUTCOME_WORDS[record.group],
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
    table = new_table(
        "Sanity checks of the maps",
        f"on {records[0].images} images; in brackets: a random map"
        + (f"; {cached} from an earlier check" if cached else ""),
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
    table = new_table(
        f"Layers of {records[0].model} whose output is a map",
        f"shown by default: {chosen.layer}, {chosen.reason}" if chosen else "none by default",
    )
    table.add_column("layer", overflow="fold")
    for heading in ("rows", "columns", "channels"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for record in records:
        note = "shown" if record.chosen else record.kind
        table.add_row(Text(record.layer), str(record.rows), str(record.columns), str(record.channels), note)
    return table
