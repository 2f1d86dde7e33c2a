"""Write the adversarial images of an evaluation, exactly as they were judged, and as 8-bit PNGs.

DIR/adversarial/MODEL/ATTACK-Linf-0.0314/images-00000.npz holds a batch whose first image has index 0 in the sample:

``images``: (N, H, W, C) float32 in [0, 1] at the model's size: the model was asked about these.
``originals``: the same images before the attack, as they were decoded: uint8, or float32 in [0, 1].
``indices``: (N,) in the whole sample. ``labels`` and ``predicted``: (N,) indices of classes; -1 for NaN.
``input_range``: the model's values for black and white. ``outputs``: which of its outputs are the classes.
``threshold``: the score above which a model of one output predicts the second class.
``model``, ``attack``, ``norm``, ``eps``: what was attacked, and how; empty norm and 0 without a ball.

00000.adv.png is one image in 8 bits, with the record that ``advcli attack`` writes, about these very pixels.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from advcli.data.decoded import to_eight_bits, to_float
from advcli.data.split import Split
from advcli.errors import AdvcliError, UsageError
from advcli.files import png
from advcli.files.archives import DAMAGED
from advcli.files.atomic import remove_leftovers, whole_file
from advcli.files.paths import refuse_long_name
from advcli.model.output_head import ONE_LOGIT
from advcli.records import Attacked, Exported
from advcli.report.difference import measure_lengths
from advcli.search.compiled_attack import SearchResult
from advcli.search.quantize import fooled, quantize_adversarial
from advcli.tasks.benchmark.export import ADVERSARIAL, folder_names
from advcli.tasks.benchmark.models import EvaluatedModel
from advcli.tasks.benchmark.perturbations import Kind, Perturbation
from advcli.tasks.benchmark.plan import CLEAN, Plan, Subject
from advcli.tasks.benchmark.predictions import UNKNOWN, Results
from advcli.threat.spelling import spell_norm, spell_perturbation
from advcli.threat.threat import Norm, Threat

log = logging.getLogger(__name__)

_BATCHES, _PICTURES = "images-*.npz", "*.adv.png"


@dataclass(frozen=True)
class AdversarialFiles:
    """The folder for the adversarial images of an evaluation.

    Args:
        folder: of ``--export``.
        plan: what is measured.
        sample: the images, for their names.
        stored: place of an attack -> index of an image -> the batch file that holds it.
    """

    folder: Path
    plan: Plan
    sample: Split
    stored: dict[Path, dict[int, Path]] = field(default_factory=dict)

    def remove_old(self) -> None:
        """Remove the images of an earlier evaluation, which ``--overwrite`` allows."""
        for pattern in (_BATCHES, _PICTURES):
            for file in (self.folder / ADVERSARIAL).glob(f"*/*/{pattern}"):
                file.unlink()

    def find_stored(self, results: Results) -> None:
        """Find the images of the evaluation that is resumed; a batch without verdicts is removed.

        Raises:
            AdvcliError: a file is of another evaluation, or images that were attacked are not there.
        """
        for subject, attack in self._pairs():
            place = self.place(subject.name, attack)
            predicted = results.predicted(subject.name, attack)
            known = self.stored.setdefault(place, {})
            for file in sorted(place.glob(_BATCHES)):
                indices, judged = _verdicts_in(file, len(predicted))
                if (predicted[indices] == UNKNOWN).all():
                    # The call was interrupted before it kept the verdicts: the images are attacked again.
                    file.unlink()
                elif not np.array_equal(predicted[indices], judged):
                    raise AdvcliError(f"'{file}' is of another evaluation", "give another folder with --export")
                else:
                    known.update(dict.fromkeys(indices.tolist(), file))
            attacked = (predicted != UNKNOWN) & results.correct(subject.name, CLEAN)
            lost = [row for row in self.plan.rows[attacked[self.plan.rows]].tolist() if row not in known]
            if lost:
                what = spell_perturbation(**attack.place)
                raise AdvcliError(
                    f"'{subject.name}' was attacked with {what} already, and {len(lost)} of these images are not in "
                    f"'{place}'",
                    "resume without --export, or with the folder of the first call; or measure anew, without --resume",
                )

    def place(self, model: str, attack: Perturbation) -> Path:
        """Return the folder for the images of one attack on one model."""
        subjects, attacks = [subject.name for subject in self.plan.subjects], self.plan.of_kind(Kind.ATTACK)
        models = folder_names(subjects, "model")
        specs = folder_names([_title(each) for each in attacks], "attack")
        return self.folder / ADVERSARIAL / models[subjects.index(model)] / specs[attacks.index(attack)]

    def store(
        self, model: EvaluatedModel, attack: Perturbation, places: np.ndarray, labels: np.ndarray, found: SearchResult
    ) -> None:
        """Write a batch, before its verdicts are kept.

        Args:
            model: the attacked model.
            attack: the attack.
            places: (N,) the images' indices among the model's.
            labels: (N,) their true classes as indices of the model's outputs.
            found: the result of the attack.
        """
        place, rows, originals = self.place(model.name, attack), model.rows[places], model.images.pixels[places]
        known = self.stored.setdefault(place, {})
        self._drop(known, rows)
        file = refuse_long_name(place / f"images-{self._number(int(rows[0]))}.npz")
        remove_leftovers([file])
        classifier, ball = model.classifier, attack.threat if attack.bounded else None
        with whole_file(file) as opened:
            np.savez(
                opened,
                images=found.points.astype(np.float32, copy=False),
                originals=originals,
                indices=rows,
                labels=np.asarray(labels, np.int64),
                predicted=np.asarray(found.predicted, np.int64),
                input_range=np.array(classifier.input_range, np.float32),
                outputs=np.array(classifier.only or range(len(classifier.labels)), np.int64),
                threshold=np.float32(0.0 if classifier.head.name == ONE_LOGIT else 0.5),
                model=np.array(model.name),
                attack=np.array(attack.spec),
                norm=np.array(str(ball.norm) if ball else ""),
                eps=np.float64(ball.eps if ball else 0.0),
            )
        known.update(dict.fromkeys(rows.tolist(), file))
        self._write_pictures(model, attack, places, labels, found, place)

    def _drop(self, known: dict[int, Path], rows: np.ndarray) -> None:
        """Take images that are attacked again out of the files that hold them."""
        for file in {known[row] for row in rows.tolist() if row in known}:
            with _opened(file) as content:
                kept = ~np.isin(content["indices"], rows)
                count = len(kept)
                left = {name: content[name] for name in content.files}
            for row in left["indices"].tolist():
                known.pop(row)
            file.unlink()
            if kept.any():
                of_images = ("images", "originals", "indices", "labels", "predicted")
                left |= {name: left[name][kept] for name in of_images if len(left[name]) == count}
                again = file.with_name(f"images-{self._number(int(left['indices'][0]))}.npz")
                with whole_file(again) as opened:
                    np.savez(opened, allow_pickle=False, **left)
                known.update(dict.fromkeys(left["indices"].tolist(), again))

    def _write_pictures(
        self,
        model: EvaluatedModel,
        attack: Perturbation,
        places: np.ndarray,
        labels: np.ndarray,
        found: SearchResult,
        place: Path,
    ) -> None:
        classifier, originals = model.classifier, to_eight_bits(to_float(model.images.pixels[places]))
        threat = (attack.threat or Threat()).quantized()
        asked, indices = classifier.inference_copy, labels
        if model.surrogate is not None:
            # The attacked model must not help the attack.
            asked, indices = model.surrogate.classifier.inference_copy, model.surrogate.indices[labels]
        pixels = quantize_adversarial(asked, originals, found.points, threat, indices, bounded=attack.bounded)
        before, after = classifier.answers(to_float(originals)), classifier.answers(to_float(pixels))
        for i, row in enumerate(model.rows[places].tolist()):
            file = place / f"{self._number(row)}.adv.png"
            if not (np.isfinite(before[i]).all() and np.isfinite(after[i]).all()):
                log.warning("the model returns NaN or infinity for '%s' in 8 bits, which is not written", file)
                continue
            difference = (pixels[i].astype(np.int16) - originals[i]) / 255
            record = Attacked(
                model=model.name,
                data=self.plan.data,
                seed=self.plan.seed,
                image=self.sample.name(row),
                output=file.name,
                attack=attack.spec,
                norm=attack.place["norm"],
                eps=attack.place["eps"],
                minimal=False,
                target=None,
                target_index=None,
                label=classifier.labels[labels[i]],
                before=classifier.top(before[i], 1)[0],
                after=classifier.top(after[i], 1)[0],
                before_top=classifier.top(before[i]),
                after_top=classifier.top(after[i]),
                fooled=fooled(after[i], threat, int(labels[i])) and not fooled(before[i], threat, int(labels[i])),
                **measure_lengths(difference, counted=attack.threat is not None and attack.threat.norm is Norm.L0),
                pattern=None,
                clean_output=None,
                difference_output=None,
                difference_times=None,
                queries=int(found.queries[i]),
                surrogate=attack.surrogate,
                seconds=0.0,
            )
            png.write(file, pixels[i], record, ADVERSARIAL)

    def exported(self) -> Iterator[Exported]:
        """Report how many images of each attack are kept."""
        for subject, attack in self._pairs():
            place = self.place(subject.name, attack)
            yield Exported(
                model=subject.name,
                data=self.plan.data,
                seed=self.plan.seed,
                **attack.place,
                images=len(self.stored.get(place, {})),
                output=str(place),
            )

    def _pairs(self) -> Iterator[tuple[Subject, Perturbation]]:
        for subject, attack in self.plan.searched():
            if isinstance(attack, Perturbation):
                yield subject, attack

    def _number(self, row: int) -> str:
        return f"{row:0{max(5, len(str(self.plan.images)))}}"


def _title(attack: Perturbation) -> str:
    norm, eps = attack.place["norm"], attack.place["eps"]
    spec = attack.spec.replace(":", "-")
    return spec if norm is None else f"{spec}-{spell_norm(norm)}-{eps:.4g}"


@contextmanager
def _opened(file: Path) -> Iterator[np.lib.npyio.NpzFile]:
    try:
        with np.load(file, allow_pickle=False) as content:
            yield content
    except (*DAMAGED, LookupError) as error:
        raise UsageError(f"cannot read '{file}': {error}", "give another folder with --export") from error


def _verdicts_in(file: Path, images: int) -> tuple[np.ndarray, np.ndarray]:
    with _opened(file) as content:
        indices, predicted = content["indices"], content["predicted"]
        good = indices.ndim == 1 and predicted.shape == indices.shape and len(indices) > 0
        if good and indices.dtype.kind == "i" and indices.min() >= 0 and indices.max() < images:
            return indices, predicted
    raise UsageError(f"'{file}' is of another evaluation", "give another folder with --export")
