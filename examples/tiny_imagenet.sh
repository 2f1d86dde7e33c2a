#!/usr/bin/env bash
# The article's experiment on Tiny ImageNet: a base model and one of each recipe, from the same ImageNet weights.
#   examples/tiny_imagenet.sh DATA [WEIGHTS]    (DATA: a .zip or folder; WEIGHTS: imagenet or a file; EPOCHS, BACKBONE)
set -euo pipefail
data="$1"
weights="${2:-imagenet}"
train=(advcli train --data "$data" --weights "$weights" --backbone "${BACKBONE:-mobilenetv2:stem_stride=2}"
  --epochs "${EPOCHS:-8}")
"${train[@]}" --objective clean --augment article --out runs/tiny-base
for recipe in article robust corruptions all-round; do
  "${train[@]}" --recipe "$recipe" --out "runs/tiny-$recipe"
done

models=(runs/tiny-base runs/tiny-article runs/tiny-robust runs/tiny-corruptions runs/tiny-all-round)
advcli benchmark "${models[@]}" --data "$data" --eps 2/255,4/255 --attack fgsm --attack pgd:steps=20 \
  --noise gaussian --noise poisson --noise salt-pepper --corruptions all,unseen --per-class \
  --out tiny.jsonl --report tiny.html --figure tiny.png
advcli benchmark "${models[@]}" --data "$data" --eps 2/255,4/255 --attack autoattack --limit 100 --no-checks \
  --out tiny-autoattack.jsonl
