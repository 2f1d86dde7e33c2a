"""Options that are lengths in the units of eps."""

from typing import ClassVar


class HasLengths:
    """A component of whose options some are lengths.

    ``lengths``: the options that are lengths in the units of eps: pixel values in [0, 1].
    """

    lengths: ClassVar[tuple[str, ...]] = ()

    @property
    def step_in_ball(self) -> float:
        """The length of its steps, if it has the option ``step`` and that is a length; else 0."""
        return float(vars(self)["step"]) if "step" in self.lengths else 0.0
