#!/usr/bin/env bash
# The whole tour on the built-in digits, without a network: train a base model and two robust ones,
# compare them, fool the base model with one image, and see what it looked at.
#   examples/digits.sh [FOLDER]      (BACKBONE and EPOCHS may be set; the default takes about a minute)
set -euo pipefail
folder="${1:-digits-tour}"
backbone="${BACKBONE:-small}"
epochs="${EPOCHS:-6}"
here="$(cd "$(dirname "$0")" && pwd)"
mkdir -p "$folder"
cd "$folder"

for objective in clean nsl pgd-at; do
  advcli train --backbone "$backbone" --objective "$objective" --epochs "$epochs" --out "runs/$objective" --overwrite
done

advcli benchmark runs/clean runs/nsl runs/pgd-at --attack fgsm --attack pgd:steps=20 --eps 0.1

advcli attack "$here/../docs/pictures/seven.png" --model runs/clean --eps 0.1 --out . --overwrite
advcli explain "$here/../docs/pictures/seven.png" --model runs/clean --attack pgd --eps 0.1 --out maps --overwrite
