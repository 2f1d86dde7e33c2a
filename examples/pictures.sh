#!/usr/bin/env bash
# Make the README's contact sheets anew: a digit, and a photo that ships with scikit-image.
#   examples/pictures.sh RUN [WEIGHTS [LABELS]]      (RUN: a model of the built-in digits; see examples/digits.sh)
set -euo pipefail
run="$1" here="$(cd "$(dirname "$0")" && pwd)"
folder="$(mktemp -d)"
advcli explain "$here/../docs/pictures/seven.png" --model "$run" --attack pgd --eps 0.1 --out "$folder"
"$here/photo.sh" "$folder" "${@:2}"
python3 - "$folder" "$here/../docs/pictures" <<'PYTHON'
import sys
from pathlib import Path

from PIL import Image

for name in ("seven.explain.png", "chelsea.explain.png"):
    Image.open(Path(sys.argv[1]) / name).save(Path(sys.argv[2]) / name, optimize=True)
PYTHON
rm -r "$folder"
