"""Earlier sanity checks of the explainers of a run's model, kept in the run folder."""

import dataclasses
import hashlib
import json
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from advcli.errors import AdvcliError
from advcli.files.atomic import remove_leftovers, whole_file
from advcli.files.bounded import parse_json, read_text
from advcli.model.model_choice import ModelChoice
from advcli.records import Trusted
from advcli.records.base import Fields, Json
from advcli.records.read_back import read_back

log = logging.getLogger(__name__)

CHECK_FILE = "explain-check.json"


@dataclass(frozen=True)
class CheckCache:
    """The checks of one run's model.

    Args:
        folder: the run folder; None if the model is not of a run: nothing is kept then.
        model: the model's file.
        seed: the checks' seed.
    """

    folder: Path | None
    model: Path | None
    seed: int

    def get(self, spec: str, images: int, common: Fields) -> Trusted | None:
        """Return an earlier check of a method on at least as many images, with the same weights, seed and version."""
        content = self._content().get(self._key(spec))
        if content is None or self.folder is None:
            return None
        try:
            found = read_back(Trusted, content, f"'{self.folder / CHECK_FILE}'")
        except AdvcliError as error:
            log.warning("%s: the check is made anew", error.message)
            return None
        if found.images < images or found.version != common.get("version", found.version):
            return None
        return dataclasses.replace(found, **common, cached=True)

    def put(self, spec: str, record: Trusted) -> None:
        """Keep a check; a run folder that cannot be written to is only worth a warning."""
        if self.folder is None:
            return
        content = self._content() | {self._key(spec): json.loads(record.to_json())}
        remove_leftovers([self.folder / CHECK_FILE])
        try:
            with whole_file(self.folder / CHECK_FILE) as file:
                file.write(json.dumps(content, indent=1).encode())
        except AdvcliError as error:
            log.warning("the check is not kept: %s", error.message)

    def _key(self, spec: str) -> str:
        return f"{spec} seed={self.seed} model={self._fingerprint}"

    @cached_property
    def _fingerprint(self) -> str:
        if self.model is None:
            return ""
        with self.model.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    def _content(self) -> dict[str, Json]:
        if self.folder is None:
            return {}
        try:
            content = parse_json(read_text(self.folder / CHECK_FILE))
        except (AdvcliError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def check_cache(choice: ModelChoice, seed: int) -> CheckCache:
    """Return the cache of a model: its run folder's, if it is a run's model."""
    path = choice.path
    in_run = path is not None and path.is_file() and (path.parent / "run.json").is_file()
    return CheckCache(path.parent if in_run and path else None, path, seed)
