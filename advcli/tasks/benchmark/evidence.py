"""The folder of ``--evidence``: the plan before anything is measured, the results after, the manifest last.

``requirements.toml``: the file of requirements, byte for byte, if there is one.
``protocol.json``: the first line of the results.
``environment.json``: versions and platform of this call, and the seed and hashes of the protocol.
``results.jsonl``: the protocol, every finished batch, and the records that are computed from them.
``report.html``: the report.
``SHA256SUMS``: the SHA-256 of each file, as ``sha256sum -c`` reads it. Without it a folder is not finished.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from advcli.errors import UsageError
from advcli.files.atomic import remove_leftovers, whole_file
from advcli.files.bounded import GIGA, open_file
from advcli.files.paths import refuse_long_name
from advcli.records import Protocol
from advcli.records.base import Fields

REQUIREMENTS, PROTOCOL, ENVIRONMENT = "requirements.toml", "protocol.json", "environment.json"
RESULTS, REPORT, MANIFEST = "results.jsonl", "report.html", "SHA256SUMS"
# Those that every folder has.
NEEDED = (PROTOCOL, ENVIRONMENT, RESULTS, REPORT)
FILES = (REQUIREMENTS, *NEEDED, MANIFEST)

# The most bytes of a file of evidence.
_LARGEST = 1000 * GIGA
_CHUNK = 1 << 20


def refuse_other_files(folder: Path, overwrite: bool, resume: Path | None) -> None:
    """Refuse a folder that holds other files, or evidence that may not be replaced.

    Args:
        folder: for the evidence.
        overwrite: whether evidence may be replaced.
        resume: the results that are continued; unfinished evidence around them may be finished.

    Raises:
        UsageError: the folder cannot be used.
    """
    refuse_long_name(folder / REQUIREMENTS)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"'{folder}' is a file, not a folder", "--evidence names the folder for the evidence")
    found = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    for name in found:
        if name not in FILES and not name.startswith((f"{RESULTS}.", ".")):
            raise UsageError(f"'{folder}' holds something else: '{name}'", "give an empty folder with --evidence")
    unfinished = resume is not None and MANIFEST not in found and resume.resolve() == (folder / RESULTS).resolve()
    if found and not overwrite and not unfinished:
        raise UsageError(f"output exists: '{folder}'", "give --overwrite to replace it, or another --evidence")


def refuse_within(folder: Path, outputs: Sequence[Path | None], results: Path | None) -> None:
    """Refuse other outputs inside the folder, which its manifest would not list.

    Raises:
        UsageError: there is one.
    """
    inside = [file for file in (*outputs, results) if file is not None and file.resolve().parent == folder.resolve()]
    for file in inside:
        if not (file is results and file.name == RESULTS):
            raise UsageError(f"'{file}' is in the folder of --evidence, which has a file of its own", "leave it out")


def begin_evidence(folder: Path, results: Path, protocol: Protocol, requirements: str | None) -> None:
    """Write the plan: what is going to be measured, and with what.

    Args:
        folder: for the evidence.
        results: the file of results, which begins with its protocol.
        protocol: of this call.
        requirements: the text of the file of requirements.

    Raises:
        AdvcliError: a file cannot be written.
    """
    files = [folder / name for name in FILES]
    remove_leftovers(files)
    for file in files:
        if file.exists() and not (results.exists() and file.samefile(results)):
            file.unlink()
    if requirements is not None:
        _write(folder / REQUIREMENTS, requirements.encode())
    _write(folder / PROTOCOL, protocol_line(results))
    content = json.dumps({"environment": protocol.environment, **hashes_of(protocol)}, indent=2)
    _write(folder / ENVIRONMENT, f"{content}\n".encode())


def finish_evidence(folder: Path, results: Path) -> None:
    """Copy the results, unless they are there already, and write the manifest.

    Raises:
        AdvcliError: a file cannot be read or written.
    """
    copy = folder / RESULTS
    if not (copy.exists() and copy.samefile(results)):
        with open_file(results, _LARGEST) as source, whole_file(copy) as target:
            shutil.copyfileobj(source, target)
    names = sorted(name for name in (REQUIREMENTS, *NEEDED) if (folder / name).exists())
    _write(folder / MANIFEST, manifest_of({name: sha256_of(folder / name) for name in names}))


def hashes_of(protocol: Protocol) -> Fields:
    """Return the seed and the hashes of all that the results depend on."""
    return {
        "seed": protocol.seed,
        "models": {str(model["name"]): str(model["fingerprint"]) for model in protocol.models},
        "surrogate": protocol.surrogate,
        "sample": protocol.sample,
        "pixels": protocol.pixels,
        "requirements": protocol.requirements,
    }


def manifest_of(digests: dict[str, str]) -> bytes:
    """Write a manifest: name -> SHA-256."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode()


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        AdvcliError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open_file(file, _LARGEST) as opened:
        while chunk := opened.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def protocol_line(results: Path) -> bytes:
    """Return the first line of a file of results: its protocol.

    Raises:
        AdvcliError: it cannot be read.
    """
    with open_file(results, _LARGEST) as file:
        return file.readline()


def _write(file: Path, content: bytes) -> None:
    with whole_file(file) as out:
        out.write(content)
