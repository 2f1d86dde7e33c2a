"""A model file that only answers, read by a package that may be missing."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from advcli.errors import UsageError
from advcli.model.black_box import Access


@dataclass(frozen=True)
class BlackBoxFile:
    """A file of scores without gradients.

    ``package`` is the Python package that reads it, ``product`` the name of that, ``extra`` advcli's extra with it.

    Raises:
        UsageError: the package is not installed.
    """

    package: ClassVar[str]
    product: ClassVar[str]
    extra: ClassVar[str]

    path: Path

    def __post_init__(self) -> None:
        if find_spec(self.package) is None:
            message = f"'{self.path}' needs {self.product}, which is not installed"
            raise UsageError(message, f'pip install "advcli[{self.extra}]"')

    @property
    def name(self) -> str:
        """The name in records."""
        return self.path.stem

    @property
    def access(self) -> Access:
        """What an attack may see of it."""
        return "scores"
