"""The parsers of options, on texts that no one thought of; the long suite tries more of them."""

import pytest

from parser_properties import PROPERTIES, check


@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda holds: holds.__name__)
def test_parsers(holds) -> None:
    check(holds, 60)
