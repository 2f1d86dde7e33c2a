"""Run the checks of an evaluation, and hash images for the check for duplicates."""

import hashlib
import logging
from collections.abc import Iterator

import numpy as np

from advcli import registry
from advcli.checks import Evidence
from advcli.data.decoded import Images
from advcli.errors import AdvcliError, first_line, is_out_of_memory
from advcli.model.black_box import ACCESS_LEVELS, Access
from advcli.records import Checked

log = logging.getLogger(__name__)

PASS, SUSPECT = "PASS", "SUSPECT"


def check(
    evidence: Evidence, *, after: bool, data: str, seed: int, access: Access | None = "gradient"
) -> Iterator[Checked]:
    """Run every check of one phase; one that does not apply yields no record.

    Args:
        evidence: the input of the checks.
        after: whether to run the checks that need the scores, or those before the evaluation.
        data: the name of the data.
        seed: of the evaluation.
        access: what the model shows of itself; None if it must not be asked.
    """
    for name in registry.names("checks"):
        component = registry.component("checks", name)
        if component.after != after or not _is_shown(component.needs, access):
            continue
        try:
            finding = registry.build("checks", name)(evidence)
        except AdvcliError:
            raise
        except Exception as error:
            # The layers of a model may fail in what only a check does, such as a gradient outside a graph.
            if is_out_of_memory(error):
                raise
            log.warning(
                "'%s': the check %s failed and is left out: %s", evidence.classifier.name, name, first_line(error)
            )
            continue
        if finding is not None:
            yield Checked(
                model=evidence.classifier.name,
                data=data,
                seed=seed,
                check=name,
                verdict=SUSPECT if finding.suspect else PASS,
                evidence=finding.evidence,
                remedy=finding.remedy,
                concerned=finding.concerned,
            )


def _is_shown(needs: Access | None, access: Access | None) -> bool:
    return needs is None or (access is not None and ACCESS_LEVELS.index(needs) >= ACCESS_LEVELS.index(access))


def pixel_hashes(images: Images) -> Iterator[bytes]:
    """Hash each image's pixels, at the size they were decoded to, a few at a time."""
    for start in range(0, len(images), 1024):
        for image in images.pixels[start : start + 1024]:
            yield hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
