"""The page of explained images: an article an image, a sortable index, and the statistics of all of them."""

import base64
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from advcli.files.atomic import whole_file
from advcli.records import Shifted, Trusted
from advcli.report.page import Section, page, part
from advcli.report.sheet import Row, Sheet, share_text

# Placeholder of the articles in the page; they are too many to be kept in memory.
_ARTICLES = "\N{OBJECT REPLACEMENT CHARACTER}articles\N{OBJECT REPLACEMENT CHARACTER}"


# In the order of the page.
_GROUPS = ("fooled", "wrong", "right")


@dataclass(frozen=True)
class Outcome:
    """The predictions of one model for one image.

    Args:
        model: its name.
        group: ``right``, ``fooled`` or ``wrong``.
        truth: the true class, or the class predicted for the clean image.
        clean: the class predicted for the clean image.
        adversarial: the class predicted for the adversarial image, if there is one.
        confidence: of the clean prediction.
        share: the smallest share of clean pixels that restores the prediction.
        shift: rank correlation of the first method's map with the clean one, if there is an adversarial image.
    """

    model: str
    group: str
    truth: str
    clean: str
    adversarial: str | None
    confidence: float
    share: float | None = None
    shift: float | None = None


@dataclass(frozen=True)
class Entry:
    """One image in the index.

    Args:
        name: the image file.
        sheet: its contact sheet.
        outcomes: the predictions of the models.
    """

    name: str
    sheet: Sheet
    outcomes: Sequence[Outcome]


# An image in the index: its name, number, outcomes and rank by each column.
_Entry = dict[str, Any]
_SortKey = Callable[[_Entry], Any]


class ExplanationPage:
    """A page that is written image by image; only its index is in memory.

    Args:
        path: the HTML file, written whole at the end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._index: list[_Entry] = []
        self._articles: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  closed at the end

    def __enter__(self) -> "ExplanationPage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._articles.close()

    def add(self, entry: Entry) -> None:
        """Write one image's article."""
        number = len(self._index) + 1
        self._index.append({"name": entry.name, "number": number, "outcomes": entry.outcomes})
        rows = [_shown(row) for row in entry.sheet.rows]
        columns = 1 + max(len(row.panels) for row in entry.sheet.rows)
        shown = {"entry": entry, "number": number, "rows": rows, "columns": columns}
        self._articles.write(part("explain/article.html.j2", blink=_blink(entry.sheet.rows), **shown))

    def finish(
        self,
        title: str,
        facts: Sequence[tuple[str, Sequence[str]]],
        shifted: Sequence[Shifted],
        trusted: Sequence[Trusted],
    ) -> None:
        """Write the page.

        Raises:
            AdvcliError: the file cannot be written.
        """
        outcomes = [outcome for row in self._index for outcome in row["outcomes"]]
        attacked = any(outcome.adversarial is not None for outcome in outcomes)
        several = len({outcome.model for outcome in outcomes}) > 1
        content = {"rows": self._ordered(), "attacked": attacked, "several": several}
        sections = [Section("images", "Images", "explain/index.html.j2", content)]
        if shifted:
            sections.append(
                Section(
                    "shifts", "Similarity of clean and adversarial maps", "explain/shifts.html.j2", {"records": shifted}
                )
            )
        if trusted:
            sections.append(Section("trust", "Sanity checks", "explain/trust.html.j2", {"records": trusted}))
        sections.append(Section("explanations", "Explanations", "explain/articles.html.j2", {"articles": _ARTICLES}))
        lead = "Maps of the predictions, image by image" + (", and their changes under attack." if attacked else ".")
        before, after = page(title, lead, facts, sections, styles=("explain.css",)).split(_ARTICLES)
        with whole_file(self.path) as file:
            file.write(before.encode())
            self._articles.seek(0)
            while block := self._articles.read(1 << 20):
                file.write(block.encode())
            file.write(after.encode())

    def _ordered(self) -> list[_Entry]:
        """Number the images by each column, so that a style sheet can sort them; the most interesting come first.

        An image counts as its most interesting outcome among the models.
        """

        def least(value: Callable[[Outcome], Any]) -> _SortKey:
            return lambda row: min(map(value, row["outcomes"]))

        keys: dict[str, _SortKey] = {
            "interest": least(
                lambda each: (
                    _GROUPS.index(each.group),
                    1.0 if each.share is None else each.share,
                    each.confidence,
                )
            ),
            "name": lambda row: row["name"],
            "confidence": least(lambda each: each.confidence),
            "share": least(lambda each: 2.0 if each.share is None else each.share),
            "shift": least(lambda each: 2.0 if each.shift is None else each.shift),
        }
        for key, rank in keys.items():
            for place, row in enumerate(sorted(self._index, key=rank)):
                row[f"by_{key}"] = place
        return sorted(self._index, key=lambda row: row["by_interest"])


def _shown(row: Row) -> dict[str, object]:
    """Prepare a row for the page: data URLs of pictures, and classes with their colours."""
    panels = []
    for panel in row.panels[1:]:
        source = panel.film if panel.film is not None else panel.pixels
        panels.append(
            {
                "title": panel.title,
                "caption": panel.caption,
                "note": panel.note if source is None else "",
                "source": None if source is None else data_url(source),
                "film": panel.film is not None,
                "ratio": None if source is None else _ratio(source),
            }
        )
    first = row.panels[0]
    if first.pixels is None:
        raise ValueError("the first panel of a row shows the view itself")
    kinds = {row.wrong: "wrong", row.original: "original"}
    classes = [
        {
            "label": item.label,
            "confidence": item.confidence,
            "percent": share_text(item.confidence),
            "kind": kinds.get(item.index, ""),
            "explained": item.index == row.explained,
        }
        for item in row.classes
    ]
    return {
        "title": first.title,
        "caption": first.caption,
        "heading": row.heading,
        "picture": data_url(first.pixels),
        "ratio": _ratio(first.pixels),
        "small": max(first.pixels.shape[:2]) < 128,
        "classes": classes,
        "text": row.text,
        "panels": [panel for panel in panels if panel["title"]],
    }


def _blink(rows: Sequence[Row]) -> Mapping[str, object] | None:
    """Find a clean and an adversarial picture to show in turns."""
    pictures: dict[str, np.ndarray] = {}
    for row in rows:
        panel = row.panels[0]
        if panel.pixels is not None:
            pictures.setdefault(panel.title.rpartition(" ")[2], panel.pixels)
    if not {"clean", "adversarial"} <= pictures.keys():
        return None
    return {
        "clean": data_url(pictures["clean"]),
        "adversarial": data_url(pictures["adversarial"]),
        "ratio": _ratio(pictures["clean"]),
        "small": max(pictures["clean"].shape[:2]) < 128,
    }


def _ratio(pixels: np.ndarray) -> str:
    """Return the proportions of a picture, in CSS."""
    height, width = pixels.shape[:2]
    return f"{width} / {height}"


def data_url(pixels: np.ndarray) -> str:
    """Encode (H, W, 1, 3 or 4) uint8 pixels as a data URL."""
    from PIL import Image

    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if picture.mode == "RGB" and picture.getcolors(256) is not None:
        # A colour scale has at most 256 colours; with a palette the file is a third as large.
        picture = picture.quantize(256)
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
