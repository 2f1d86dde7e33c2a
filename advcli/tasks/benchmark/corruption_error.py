"""The mean corruption error: of a model alone, relative to another model, and relative to AlexNet.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from statistics import fmean

from advcli.corruptions import PUBLISHED

SEVERITIES = (1, 2, 3, 4, 5)

# The errors of AlexNet on ImageNet-C, each the mean over the five severities, as published.
_ALEXNET = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}


@dataclass(frozen=True)
class Reference:
    """The model that errors are divided by.

    Args:
        name: of the model.
        errors: corruption -> its mean error over the severities.
        clean: its error on clean images; None if there are none.
    """

    name: str
    errors: Mapping[str, float]
    clean: float | None


ALEXNET = Reference("alexnet", _ALEXNET, 0.435)


@dataclass(frozen=True)
class Errors:
    """The corruption errors of a model.

    Args:
        errors: corruption c -> E_c, the mean error over the severities.
        mean: mean_c E_c.
        relative_to: the name of the reference, if there is one.
        relative: mCE = mean_c E_c / E_c(reference).
        relative_to_clean: mean_c (E_c - E_clean) / (E_c(reference) - E_clean(reference)). Both are None without
            a reference, and where a denominator is not positive.
    """

    errors: dict[str, float]
    mean: float
    relative_to: str | None = None
    relative: float | None = None
    relative_to_clean: float | None = None


def mean_errors(errors: Mapping[str, Mapping[int, float]]) -> dict[str, float]:
    """Take the mean over severities: corruption -> severity -> error, to corruption -> error."""
    return {name: fmean(by_severity.values()) for name, by_severity in errors.items()}


def alexnet_for(errors: Mapping[str, Collection[int]], imagenet_at_224: bool) -> Reference | None:
    """Return AlexNet if its errors apply: ImageNet at 224 pixels, the 15 corruptions, five severities.

    Args:
        errors: corruption -> the severities it was measured at.
        imagenet_at_224: whether the data is ImageNet and the images are of its published size.
    """
    complete = all(sorted(errors.get(name, ())) == list(SEVERITIES) for name in PUBLISHED)
    return ALEXNET if imagenet_at_224 and complete and set(errors) == set(PUBLISHED) else None


def corruption_error(
    errors: Mapping[str, Mapping[int, float]], clean: float | None, reference: Reference | None = None
) -> Errors:
    """Compute the mean corruption errors of a model.

    Args:
        errors: corruption -> severity -> 1 - accuracy. All corruptions have the same severities,
            those of the reference.
        clean: its error on clean images; None if there are none.
        reference: another model, measured under the same corruptions at least.
    """
    own = mean_errors(errors)
    mean = fmean(own.values())
    if reference is None:
        return Errors(own, mean)
    # By name: the order in which corruptions are listed is not the same everywhere.
    shares = [(error, reference.errors[name]) for name, error in own.items()]
    if clean is None or reference.clean is None:
        return Errors(own, mean, reference.name, _mean_share(shares))
    lost = [(error - clean, other - reference.clean) for error, other in shares]
    return Errors(own, mean, reference.name, _mean_share(shares), _mean_share(lost))


def _mean_share(pairs: list[tuple[float, float]]) -> float | None:
    return fmean(own / other for own, other in pairs) if all(other > 0 for _, other in pairs) else None
