"""Weighted means of the weights of several runs of one network, each validated.

Two runs are interpolated, as a clean and a robust fine-tuning of one start: Wortsman, Ilharco, Kim et al. 2022,
https://arxiv.org/abs/2109.01903. More are averaged greedily and uniformly: Wortsman, Ilharco, Gadre et al. 2022,
https://arxiv.org/abs/2203.05482. Mixtures of robust runs: Croce, Rebuffi, Shelhamer and Gowal 2023,
https://arxiv.org/abs/2302.10164
"""

import time
from collections.abc import Collection, Generator, Iterator, Sequence

import numpy as np

from advcli.backend import KerasModel
from advcli.records import Mixed, Progress
from advcli.records.base import Fields
from advcli.tasks.train.request import Select
from advcli.tasks.train.validation import Validator

_STEPS = 10

Weights = tuple[float, ...]


class Mixes:
    """The mixes of the weights of several runs in one model, each validated once.

    Args:
        model: the model that takes the weights, of the runs' network.
        values: of each run the values of the model's variables.
        validate: measures the model as it is.
        select: what the best mix has most of.
        fields: the fields that all records have.
    """

    def __init__(
        self,
        model: KerasModel,
        values: Sequence[Sequence[np.ndarray]],
        validate: Validator,
        select: Select,
        fields: Fields,
    ) -> None:
        self.records: dict[Weights, Mixed] = {}
        self.current: Weights = ()
        self._variables = model.variables
        self._values = values
        self._validate = validate
        self._select: Select = select
        self._fields = fields

    def best(self) -> Mixed:
        """Return the best of those that were validated."""
        return max(self.records.values(), key=self._rank)

    def assign(self, weights: Weights) -> None:
        """Give the model the weighted means, BatchNorm's statistics included; a counter stays that of the first."""
        self.current = weights
        for variable, values in zip(self._variables, zip(*self._values, strict=True), strict=True):
            if np.issubdtype(values[0].dtype, np.floating):
                mean = sum(weight * value.astype(np.float64) for weight, value in zip(weights, values, strict=True))
                variable.assign(np.asarray(mean, values[0].dtype))

    def pair(self) -> Iterator[Mixed | Progress]:
        """Validate ``(1 - alpha) * first + alpha * second`` for alpha from 0 to 1."""
        for step in range(_STEPS + 1):
            yield Progress("validating mixes", step, _STEPS + 1)
            yield from self._tried(((_STEPS - step) / _STEPS, step / _STEPS))

    def soup(self) -> Iterator[Mixed | Progress]:
        """Validate each run, the mean of all, and means that grow by each run that does not make them worse."""
        count = len(self._values)
        alone = [_mean([i], count) for i in range(count)]
        for i, weights in enumerate([*alone, _mean(range(count), count)]):
            yield Progress("validating mixes", i, 2 * count)
            yield from self._tried(weights)
        order = sorted(range(count), key=lambda i: self._score(alone[i]), reverse=True)
        kept = order[:1]
        for place, i in enumerate(order[1:], start=count + 1):
            yield Progress("validating mixes", place, 2 * count)
            yield from self._tried(_mean([*kept, i], count))
            if self._score(_mean([*kept, i], count)) >= self._score(_mean(kept, count)):
                kept.append(i)

    def _score(self, weights: Weights) -> tuple[float, float]:
        return self._rank(self.records[weights])

    def _rank(self, mix: Mixed) -> tuple[float, float]:
        """Return what mixes are compared by, the first number first."""
        if self._select == "both":
            return mix.clean + mix.robust, mix.robust
        return (mix.robust, mix.clean) if self._select == "robust" else (mix.clean, mix.robust)

    def _tried(self, weights: Weights) -> Generator[Mixed, None, None]:
        if weights in self.records:
            return
        began = time.perf_counter()
        self.assign(weights)
        found = self._validate()
        self.records[weights] = Mixed(
            weights=weights,
            clean=found.clean,
            robust=found.robust,
            single_step=found.single_step,
            zero_gradients=found.zero_gradients,
            seconds=time.perf_counter() - began,
            **self._fields,
        )
        yield self.records[weights]


def _mean(chosen: Collection[int], count: int) -> Weights:
    return tuple(1 / len(chosen) if i in chosen else 0.0 for i in range(count))
