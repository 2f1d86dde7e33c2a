#!/usr/bin/env bash
# Attack every image of a folder and list those that now show something else, one a line.
#   examples/fooled.sh MODEL FOLDER [OUT] [EPS]
# Leaves with 0 if every image could be attacked, with 1 if some could not be read (the others were).
set -uo pipefail
model="$1" folder="$2" out="${3:-adversarial}" eps="${4:-8/255}"

advcli attack "$folder" --model "$model" --eps "$eps" --attack pgd:steps=40 --out "$out" --overwrite --json \
  | python3 -c '
import json, sys
for record in map(json.loads, sys.stdin):
    if record["type"] == "attacked" and record["fooled"]:
        print(record["image"], record["before"]["label"], "->", record["after"]["label"], sep="\t")
'
exit "${PIPESTATUS[0]}"
