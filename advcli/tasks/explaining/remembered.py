"""What was found out about a run's explainers, kept beside the run."""

import dataclasses
import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advcli.errors import AdvcliError
from advcli.images import whole_file
from advcli.records import Trusted

log = logging.getLogger(__name__)

FILE = "explain-check.json"


@dataclass(frozen=True)
class Remembered:
    """The checks of one run folder's model.

    Args:
        folder: the run folder; None if the model is no run, then nothing is kept.
        model: the model's file.
        seed: the checks' seed.
    """

    folder: Path | None
    model: Path | None
    seed: int

    def get(self, spec: str, images: int, common: dict[str, Any]) -> Trusted | None:
        """Return an earlier check of a method on as many images at least, of the same weights, seed and version."""
        found = self._content().get(self._key(spec))
        if found is None or found["images"] < images or found["version"] != common.get("version", found["version"]):
            return None
        fields = {field.name for field in dataclasses.fields(Trusted)} - {"cached"}
        values = {key: value for key, value in found.items() if key in fields}
        values["reasons"] = tuple(values["reasons"])
        return Trusted(**values | common, cached=True)

    def put(self, spec: str, record: Trusted) -> None:
        """Keep a check; a run folder that cannot be written to is none of the user's worries here."""
        if self.folder is None:
            return
        content = self._content() | {self._key(spec): json.loads(record.to_json())}
        try:
            with whole_file(self.folder / FILE) as file:
                file.write(json.dumps(content, indent=1).encode())
        except AdvcliError as error:
            log.warning("the check is not kept: %s", error.message)

    def _key(self, spec: str) -> str:
        return f"{spec} seed={self.seed} model={self._fingerprint()}"

    def _fingerprint(self) -> str:
        if self.model is None:
            return ""
        with self.model.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    def _content(self) -> dict[str, Any]:
        if self.folder is None:
            return {}
        try:
            content = json.loads((self.folder / FILE).read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
