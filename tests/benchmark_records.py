"""Records of every kind that a benchmark reports, no two with the same count."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np

from advcli.records import (
    Attacked,
    Calibration,
    Certified,
    Change,
    Checked,
    ClassScore,
    Compared,
    Confused,
    CorruptionError,
    Failed,
    Gate,
    Group,
    Prediction,
    Protocol,
    Record,
    Requirement,
    Score,
    Support,
    Swept,
    Tolerance,
    Transferred,
)
from advcli.report.confusion import Confusion
from advcli.report.gallery import Example

IMAGES = 1009
RADII = (0.0, 1 / 255, 2 / 255, 4 / 255, 8 / 255)


def every_kind(models: Sequence[str] = ("base", "robust"), classes: Sequence[str] = ("cat", "dog")) -> list[Record]:
    """Make records of every kind about some models and classes."""
    return list(_records(models, classes))


def examples(models: Sequence[str] = ("base", "robust"), classes: Sequence[str] = ("cat", "dog")) -> list[Example]:
    """Make a colour image, and a grey one that the attack leaves right."""
    clean = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    grey = clean[..., :1]
    return [
        Example(clean, clean + 4, classes[0], classes[0], classes[1], "pgd, Linf 4/255", models[0]),
        Example(grey, grey + 2, classes[1], classes[1], classes[1], "pgd, Linf 4/255", models[-1]),
    ]


def suspects(models: Sequence[str] = ("base", "robust")) -> list[Checked]:
    """Make two checks that are suspect for the models, with the same evidence and with evidence of their own."""
    said: dict[str, Any] = {"data": "cat", "seed": 3, "verdict": "SUSPECT"}
    found = []
    for number, model in enumerate(models):
        flat = f"the gradient is zero at {number} of 64 images"
        found += [
            Checked(
                model=model,
                check="zero-gradients",
                evidence=flat,
                remedy="run square",
                concerned=f"{number} of 64 images",
                **said,
            ),
            Checked(
                model=model,
                check="sample-size",
                evidence="few images",
                remedy="take more",
                concerned="64 images",
                **said,
            ),
        ]
    return found


def confusions(models: Sequence[str] = ("base", "robust"), classes: Sequence[str] = ("cat", "dog")) -> list[Confusion]:
    """Make a table for each model, clean and in the worst case."""
    clean: dict[str, Any] = {"perturbation": "clean", "norm": None, "eps": None, "severity": None}
    worst = clean | {"perturbation": "worst", "norm": "linf", "eps": 8 / 255}
    size = len(classes)
    counts = [[31 if row == column else row + 2 * column for column in range(size)] for row in range(size)]
    return [Confusion(model, place, classes, classes, counts) for model in models for place in (clean, worst)]


def _records(models: Sequence[str], classes: Sequence[str]) -> Iterator[Record]:
    counts = count(17)
    said: dict[str, Any] = {"data": classes[0], "seed": 3}
    within: dict[str, Any] = {"perturbation": "pgd:steps=20", "norm": "linf", "eps": 8 / 255, "severity": None}
    clean: dict[str, Any] = {"perturbation": "clean", "norm": None, "eps": None, "severity": None}

    def counted() -> dict[str, Any]:
        correct = next(counts)
        accuracy = correct / IMAGES
        low, high = accuracy * 0.91, accuracy * 1.07
        return {"images": IMAGES, "correct": correct, "accuracy": accuracy, "low": low, "high": high}

    yield Protocol(
        model=", ".join(models),
        **said,
        models=tuple({"name": model, "fingerprint": "f1d0", "labels": list(classes) * 9} for model in models),
        classes=tuple(classes),
        images=IMAGES,
        sample="5a3b1e",
        pixels={"8x8x3": "b1c2"},
        perturbations=({"kind": "attack", "perturbation": "pgd:steps=20"},),
        certify="sigma=0.25,n=1000",
        shard=None,
        options={"batch": 64, "transfer": True, "limit": None, "threats": [["linf", 0.5]]},
        environment={"python": "3.11.7", "system": "Linux"},
    )
    for model in models:
        said["model"] = model

        def score(perturbation: dict[str, Any], said: dict[str, Any] = said, **more: Any) -> Score:
            measured = counted()
            of_correct = measured["accuracy"] * 1.03
            protocol = f"{perturbation['perturbation']}, all options"
            return Score(
                **said,
                **perturbation,
                **measured,
                protocol=protocol,
                accuracy_of_clean_correct=of_correct,
                seconds=1.25,
                **more,
            )

        yield score(clean)
        for radius in RADII:
            yield score(within | {"eps": radius}, seen=model == models[0], searched=421 if radius else None)
            yield score(within | {"eps": radius, "perturbation": "worst"})
        yield score(within | {"norm": "l2", "eps": 0.5})
        yield score(clean | {"perturbation": "gaussian:std=0.2"}, seen=False)
        for corruption in ("fog", "frost"):
            for severity in (1, 2, 5):
                yield score(clean | {"perturbation": corruption, "severity": severity})
        yield Group(**said, group="unseen", kind="noise", perturbations=("gaussian:std=0.2",), accuracy=0.5432)
        yield Group(
            **said,
            group="unseen",
            kind="corruption",
            severities=(1, 2, 5),
            perturbations=("fog", "frost"),
            accuracy=0.4321,
        )
        errors = {"fog": 0.3111, "frost": 0.4222}
        relative = None if model == models[0] else models[0]
        yield CorruptionError(
            **said,
            severities=(1, 2, 5),
            errors=errors,
            mean=0.3666,
            relative_to=relative,
            relative=0.8765 if relative else None,
            relative_to_clean=0.7654 if relative else None,
        )
        for perturbation in (clean, within):
            for label in classes:
                yield ClassScore(**said, **perturbation, label=label, **counted())
            yield Confused(**said, **perturbation, label=classes[0], taken_for=classes[1], images=next(counts))
        for source in models:
            yield Transferred(**said, **within, crafted_on=source, **counted())
        for radius in (0.0, 0.25):
            yield Certified(
                **said, sigma=0.25, samples=1000, alpha=0.001, radius=radius, **counted(), abstained=9, seconds=81.5
            )
        swept: dict[str, Any] = {"perturbation": "low_light:read_noise=2", "parameter": "photons", "unit": classes[0]}
        points = (1000.0, 100.0, 10.0)
        yield Swept(
            **said,
            **swept,
            log=True,
            values=points,
            perturbations=tuple(f"low_light:read_noise=2,photons={value:g}" for value in points),
            accuracies=(0.9101, 0.8202, 0.4303),
            lows=(0.8904, 0.7905, 0.3906),
            highs=(0.9207, 0.8408, 0.4709),
        )
        for value in (128.5, None):
            yield Tolerance(
                **said,
                **swept,
                value=value,
                low=value and 63.25,
                high=value,
                required=0.81,
                censored=False,
                evaluations=7,
                hold=90.5,
                met=model == models[0],
                statement=f"holds to {value} of {classes[1]}",
            )
        yield Calibration(
            **said,
            **within,
            images=IMAGES,
            ece=0.48127,
            ece_low=0.45321,
            ece_high=0.50219,
            brier=1.1873,
            nll=3.2971,
            confidence_when_wrong=0.81931,
            accuracy_at_90_coverage=0.3417,
            auroc=None if model == models[0] else 0.4419,
            bin_confidence=(0.41, 0.77, 0.98),
            bin_accuracy=(0.31, 0.33, 0.37),
        )
        yield Checked(**said, check="randomized", verdict="PASS", evidence="twice the same", remedy="")
        yield Gate(**said, **within, accuracy=0.4567, least=0.4111, met=model == models[0])
        yield Requirement(
            **said,
            **within,
            id="R1",
            text=f"Every {classes[0]} is recognised.",
            statistic="lower95",
            bound=0.4222,
            value=0.4333,
            met=model == models[0],
            images=IMAGES,
            correct=next(counts),
            requirements="5e4d",
            supports=(Support("Framework", "T1", "Evade", "It does not show more."),),
        )
        yield Change(
            **said,
            **within,
            before=0.5123,
            after=0.4987,
            difference=-0.0136,
            p_value=0.0123,
            regression=model == models[0],
        )
        yield Failed(**said, image=f"{classes[0]}/broken.png", error=f"no image of {classes[1]}")
    for other in models[:-1]:
        said["model"] = models[-1]
        yield Compared(
            **said, **within, against=other, difference=0.0713, only_model=741, only_against=643, p_value=0.00004
        )


def attacked(**changes: Any) -> Attacked:
    """Return the record of one image, which is fooled."""
    cat, dog = Prediction(label="cat", index=0, confidence=0.9), Prediction(label="dog", index=1, confidence=0.8)
    record = Attacked(
        model="base", data="files", seed=0, image="cat.png", output="cat.adv.png", attack="pgd", norm="linf", eps=0.1,
        minimal=False, target=None, target_index=None, label="cat", before=cat, after=dog, before_top=(cat,),
        after_top=(dog,), fooled=True, linf=0.1, l2=1.0, l1=9.0, pattern=None, clean_output=None,
        difference_output=None, difference_times=None, queries=1, seconds=0.1,
    )  # fmt: skip
    return replace(record, **changes)
