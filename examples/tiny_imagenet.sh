#!/usr/bin/env bash
# The article's experiment on Tiny ImageNet: a base model and four robust ones from the same ImageNet weights.
#   examples/tiny_imagenet.sh DATA [WEIGHTS]    (DATA: a .zip or folder; WEIGHTS: imagenet or a file; EPOCHS, BACKBONE)
set -euo pipefail
data="$1"
weights="${2:-imagenet}"
train=(advcli train --data "$data" --weights "$weights" --backbone "${BACKBONE:-mobilenetv2:stem_stride=2}"
  --augment article --epochs "${EPOCHS:-8}")
"${train[@]}" --objective clean --out runs/tiny-clean
"${train[@]}" --objective nsl --out runs/tiny-nsl
"${train[@]}" --objective nsl:adv_step_size=0.03 --out runs/tiny-nsl-short
"${train[@]}" --objective n-fgsm --out runs/tiny-n-fgsm
"${train[@]}" --objective trades --unfreeze all --out runs/tiny-trades

models=(runs/tiny-clean runs/tiny-nsl runs/tiny-nsl-short runs/tiny-n-fgsm runs/tiny-trades)
advcli benchmark "${models[@]}" --data "$data" --eps 2/255,4/255 --attack fgsm --attack pgd:steps=20 \
  --noise gaussian --noise poisson --noise salt-pepper --corruptions all --per-class \
  --out tiny.jsonl --report tiny.html --figure tiny.png
advcli benchmark "${models[@]}" --data "$data" --eps 2/255,4/255 --attack autoattack --limit 100 --no-checks \
  --out tiny-autoattack.jsonl
