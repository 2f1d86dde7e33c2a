"""The properties of the parsers, on as many texts as an evening has."""

import pytest

from long import seeded, share_of
from parser_properties import PROPERTIES, check

pytestmark = pytest.mark.long


@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda holds: holds.__name__)
def test_parsers(holds) -> None:
    check(holds, share_of(20_000), seeded(holds.__name__).randrange(2**32))
