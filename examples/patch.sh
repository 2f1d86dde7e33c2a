#!/usr/bin/env bash
# Craft a patch over the images of one folder that makes a model see CLASS, put it on the images of another folder
# that it has never seen, and say how often it works there.
#   examples/patch.sh MODEL CLASS FOLDER OTHER_FOLDER [OUT]
set -euo pipefail
model="$1" class="$2" folder="$3" others="$4" out="${5:-patched}"

advcli attack "$folder" --model "$model" --attack "${PATCH:-patch}" --target "$class" --out "$out/crafted" --overwrite
advcli attack "$others" --model "$model" --apply "$out/crafted/patch.pattern.png" --out "$out" --overwrite --json \
  | python3 -c '
import json, sys
records = [json.loads(line) for line in sys.stdin]
fooled = sum(record["fooled"] for record in records if record["type"] == "attacked")
print(f"{fooled} of {len(records)} images are seen as {sys.argv[1]}")
' "$class"
