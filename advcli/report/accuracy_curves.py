"""Accuracy over the radius of each attack, and over the parameter of each corruption, with Wilson 95% intervals."""

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from advcli.records import Score, Swept, Tolerance
from advcli.report.cross_table import parted
from advcli.report.lettering import Lettering
from advcli.report.wording import short_name
from advcli.threat.spelling import name_parameter, spell_norm, spell_spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A keyword argument that styles a line.
_Look = Any

# Distinguishable in every kind of colour vision (Okabe and Ito 2008); black last but one, as the text is black.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#010101", "#f0e442")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (1, 2)), (0, (8, 3)))
# Lies on the curve of one attack or another, so it is drawn as rings about their marks.
_WORST: dict[str, _Look] = {"linestyle": "-", "marker": "o", "markersize": 10, "fillstyle": "none", "linewidth": 0.6}
# Models stand beside each other by so many points, all of them together at most by so many.
_APART, _WIDEST = 4.5, 20.0
# With more lines than these, only the intervals of the worst case are drawn.
_MANY = 8
# A page puts its own in the place of all of these.
_INK, _RULE = "#1c1b19", "#d8d4ca"
# A pale colour is seen by the edge of its marks.
_EDGED: dict[str, _Look] = {"markeredgecolor": _INK, "markeredgewidth": 0.5}
# Beside the name of the only attack.
_NOTHING: dict[str, _Look] = {"linestyle": "none"}
# Of a panel's width, on each side of the values.
_MARGIN = 0.04
_LONGEST = 28


@dataclass(frozen=True)
class Curve:
    """One model under one attack of one norm; the scores in the order of their radii."""

    model: str
    attack: str
    norm: str
    scores: Sequence[Score]


@dataclass(frozen=True)
class _Line:
    """One line of a panel; ``attack`` is empty for a corruption."""

    model: str
    attack: str
    x: Sequence[float]
    accuracies: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]


@dataclass(frozen=True)
class _Panel:
    """One pair of axes.

    Args:
        label: of the x axis.
        lines: what is drawn.
        log: whether it is logarithmic.
        falling: whether it runs from high values to low ones.
        tolerances: those that are marked.
    """

    label: str
    lines: Sequence[_Line]
    log: bool = False
    falling: bool = False
    tolerances: Sequence[Tolerance] = ()


def curves(scores: Sequence[Score]) -> list[Curve]:
    """Find what was measured at several radii, model by model; radius 0 is the clean accuracy."""
    clean = {score.model: score for score in scores if score.perturbation == "clean"}
    bounded = [score for score in scores if score.norm is not None and score.eps is not None]
    found = []
    for members in parted(bounded, lambda score: (score.norm, score.perturbation, score.model)).values():
        by_radius = {score.eps or 0.0: score for score in members}
        first = members[0]
        if len(by_radius) > 1:
            if 0.0 not in by_radius and first.model in clean:
                by_radius[0.0] = replace(clean[first.model], eps=0.0)
            ordered = [by_radius[radius] for radius in sorted(by_radius)]
            found.append(Curve(first.model, first.perturbation, str(first.norm), ordered))
    return [curve for of_model in parted(found, lambda curve: curve.model).values() for curve in of_model]


def accuracy_curves(
    scores: Sequence[Score],
    file: BinaryIO,
    format: Literal["png", "svg"] = "png",
    sweeps: Sequence[Swept] = (),
    tolerances: Sequence[Tolerance] = (),
) -> None:
    """Draw the curves of all scores as a picture, a panel a norm or swept corruption; equal ones give equal bytes."""
    _draw([*_radius_panels(curves(scores)), *_sweep_panels(sweeps, tolerances)], file, format, facecolor="white")


def inline_curves(scores: Sequence[Score], prefix: str) -> str:
    """Draw the curves as SVG that is part of a page, in the page's own colours; ``prefix`` begins its identifiers."""
    return _inline(_radius_panels(curves(scores)), prefix)


def inline_sweep(sweeps: Sequence[Swept], tolerances: Sequence[Tolerance], prefix: str) -> str:
    """Draw the sweeps of one corruption in the same way, and where the models' tolerances are."""
    return _inline(_sweep_panels(sweeps, tolerances), prefix)


def _inline(panels: Sequence[_Panel], prefix: str) -> str:
    file = io.BytesIO()
    _draw(panels, file, "svg", facecolor="none")
    text = file.getvalue().decode("utf-8")
    # What stands before says which kind of document it is. No text holds a bracket, so only markup is changed.
    return re.sub(r"<[^>]*>", lambda tag: _part_of_a_page(tag.group(), prefix), text[text.index("<svg") :])


def _part_of_a_page(tag: str, prefix: str) -> str:
    tag = re.sub(r' xmlns(:xlink)?="[^"]*"', "", tag)
    tag = re.sub(r'(?<= id=")|(?<=url\(#)|(?<=href="#)', f"{prefix}-", tag)
    for number, colour in enumerate(_COLOURS, 1):
        tag = tag.replace(colour, f"var(--series-{number})")
    return tag.replace(_INK, "var(--ink)").replace(_RULE, "var(--rule)")


def _radius_panels(drawn: Sequence[Curve]) -> list[_Panel]:
    panels = []
    for norm, members in parted(drawn, lambda curve: curve.norm).items():
        radii = sorted({score.eps or 0.0 for curve in members for score in curve.scores})
        steps = norm == "linf" and all(abs(255 * radius - round(255 * radius)) < 1e-3 for radius in radii)
        scale = 255 if steps else 1
        lines = [
            _Line(
                curve.model,
                curve.attack,
                [scale * (score.eps or 0.0) for score in curve.scores],
                [score.accuracy for score in curve.scores],
                [score.low for score in curve.scores],
                [score.high for score in curve.scores],
            )
            for curve in members
            # With a single attack the worst case is the same.
            if curve.attack != "worst" or len({other.attack for other in members}) != 2
        ]
        panels.append(_Panel(f"{spell_norm(norm)} radius{' in 1/255' if steps else ''}", lines))
    return panels


def _sweep_panels(sweeps: Sequence[Swept], tolerances: Sequence[Tolerance]) -> list[_Panel]:
    panels = []
    for place, members in parted(sweeps, _swept_place).items():
        first = members[0]
        lines = [_Line(sweep.model, "", sweep.values, sweep.accuracies, sweep.lows, sweep.highs) for sweep in members]
        found = [tolerance for tolerance in tolerances if _swept_place(tolerance) == place]
        label = f"{first.perturbation}: {name_parameter(first.parameter, first.unit)}"
        falling = first.values[0] > first.values[-1]
        panels.append(_Panel(label, lines, log=first.log, falling=falling, tolerances=found))
    return panels


def _swept_place(record: Swept | Tolerance) -> tuple[str, str]:
    return record.perturbation, record.parameter


def _draw(panels: Sequence[_Panel], file: BinaryIO, format: str, facecolor: str) -> None:
    from matplotlib import rc_context, style
    from matplotlib.figure import Figure

    # A user's own matplotlibrc is for the user's own figures.
    with style.context("default", after_reset=True), rc_context({"svg.fonttype": "none", "svg.hashsalt": "advcli"}):
        figure = Figure(figsize=(4.6 * max(len(panels), 1) + 2.6, 4.2), layout="constrained")
        looks = _looks([line for panel in panels for line in panel.lines])
        lettering = Lettering([*looks["model"], *map(spell_spec, looks["attack"]), *(panel.label for panel in panels)])
        for number, panel in enumerate(panels, 1):
            _panel(figure.add_subplot(1, len(panels), number), panel, looks, lettering)
        if not panels:
            figure.text(0.5, 0.5, "nothing was measured at several radii", ha="center", color=_INK)
        _legend(figure, looks, lettering)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type")) if format == "svg" else {"Software": None}
        figure.savefig(file, format=format, dpi=150, facecolor=facecolor, metadata=nothing)


def _looks(drawn: Sequence[_Line]) -> dict[str, dict[str, dict[str, _Look]]]:
    """Choose a colour and marker for each model, and a line style for each attack; with one attack for each model."""
    models = dict.fromkeys(line.model for line in drawn)
    attacks = [attack for attack in dict.fromkeys(line.attack for line in drawn) if attack not in ("", "worst")]
    several = len(attacks) > 1
    styles = dict(zip(models, cycle(_STYLES[:1] if several else _STYLES), strict=False))
    looks = {
        model: {"color": colour, "marker": marker, "markersize": 5.5, "linewidth": 1.5, "linestyle": styles[model]}
        for model, colour, marker in zip(models, cycle(_COLOURS), cycle(_MARKERS), strict=False)
    }
    lines = {
        attack: {"linestyle": style} if several else {} for attack, style in zip(attacks, cycle(_STYLES), strict=False)
    }
    worst = any(line.attack == "worst" for line in drawn)
    return {"model": looks, "attack": lines | ({"worst": _WORST} if worst else {})}


def _panel(axes: Any, panel: _Panel, looks: dict[str, dict[str, dict[str, _Look]]], lettering: Lettering) -> None:
    from matplotlib.transforms import ScaledTranslation

    models = list(dict.fromkeys(line.model for line in panel.lines))
    step = min(_APART, _WIDEST / len(models))
    many = len(panel.lines) > _MANY and any(line.attack == "worst" for line in panel.lines)
    for line in panel.lines:
        look = looks["model"][line.model] | looks["attack"].get(line.attack, {})
        aside = step * (models.index(line.model) - (len(models) - 1) / 2) / 72
        place = axes.transData + ScaledTranslation(aside, 0, axes.figure.dpi_scale_trans)
        if line.attack == "worst" or not many:
            x = [value for value in line.x for _ in range(3)]
            ends = [
                y for low, high in zip(line.lows, line.highs, strict=True) for y in (100 * low, 100 * high, math.nan)
            ]
            bars = {"color": look["color"], "linewidth": 0.9, "marker": "_", "markersize": 4.5, "linestyle": "-"}
            axes.plot(x, ends, transform=place, **bars)
        y = [100 * accuracy for accuracy in line.accuracies]
        axes.plot(line.x, y, transform=place, **(look if line.attack == "worst" else _EDGED | look))
    for required in dict.fromkeys(tolerance.required for tolerance in panel.tolerances):
        axes.axhline(100 * required, color=_INK, linewidth=0.8, linestyle=":")
    for tolerance in panel.tolerances:
        if tolerance.value is not None:
            axes.axvline(tolerance.value, color=looks["model"][tolerance.model]["color"], linewidth=0.8, linestyle=":")
    if panel.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(*_limits(panel))
    if panel.falling:
        axes.invert_xaxis()
    axes.set_ylim(0, 102)
    axes.set_xlabel(lettering.line(panel.label), color=_INK, parse_math=False, family=lettering.families)
    axes.set_ylabel("accuracy, %" if axes.get_subplotspec().is_first_col() else "", color=_INK)
    axes.grid(color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.patch.set_alpha(0)
    axes.tick_params(color=_INK, labelcolor=_INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_INK)


def _limits(panel: _Panel) -> tuple[float, float]:
    """Return the ends of the x axis: matplotlib does not see lines that stand beside their values."""
    values = [value for line in panel.lines for value in line.x]
    low, high = min(values), max(values)
    if panel.log:
        margin = (high / low if high > low else 10.0) ** _MARGIN
        return low / margin, high * margin
    margin = _MARGIN * ((high - low) or 1.0)
    return low - margin, high + margin


def _legend(figure: "Figure", looks: dict[str, dict[str, dict[str, _Look]]], lettering: Lettering) -> None:
    from matplotlib.lines import Line2D

    entries = [
        (short_name(model, _LONGEST), Line2D([], [], **(_EDGED | look))) for model, look in looks["model"].items()
    ]
    entries += [
        (spell_spec(attack), Line2D([], [], color=_INK, **(look or _NOTHING)))
        for attack, look in looks["attack"].items()
    ]
    # Names are set afterwards: a legend leaves out those with a leading underscore.
    legend = figure.legend(
        [line for _, line in entries],
        [str(number) for number, _ in enumerate(entries)],
        loc="outside right upper",
        frameon=False,
        handlelength=4,
        prop={"family": lettering.families, "size": 9},
    )
    for text, (name, _) in zip(legend.get_texts(), entries, strict=True):
        name = "worst case" if name == "worst" else lettering.line(name)
        text.set(text=name, parse_math=False, color=_INK)
