#!/usr/bin/env bash
# A git hook that measures a model before it is committed, and refuses it if it is not robust enough:
#   ln -s ../../examples/gate.sh .git/hooks/pre-commit       (MODEL, DATA, EPS, LEAST and RESULTS may be set)
# Leaves with 3, which stops the commit, if the accuracy is lower than asked for. Results are kept by the model's
# content: the same model is not measured twice, and what was interrupted goes on where it was.
set -euo pipefail
model="${MODEL:-model.keras}" data="${DATA:-images/}" eps="${EPS:-4/255}" least="${LEAST:-0.40}"

# In a hook, only a model that this commit changes is measured.
if [ -n "${GIT_INDEX_FILE:-}" ] && git diff --cached --quiet -- "$model"; then
  exit 0
fi
results="${RESULTS:-${TMPDIR:-/tmp}}/robustness-$(cksum < "$model" | tr ' ' '-').jsonl"
if [ -f "$results" ]; then keep=(--resume "$results"); else keep=(--out "$results"); fi

exec advcli benchmark "$model" --data "$data" --limit 200 --attack pgd:steps=20 --eps "$eps" \
  --fail-under "pgd=$least" --no-checks --quiet "${keep[@]}"
