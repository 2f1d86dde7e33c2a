#!/usr/bin/env bash
# The article's experiment on Tiny ImageNet: a base model and three robust ones from the same ImageNet weights.
#   examples/tiny_imagenet.sh DATA [WEIGHTS]    (DATA: a .zip or folder; WEIGHTS: imagenet or a file; EPOCHS, FIRST)
set -euo pipefail
data="$1"
weights="${2:-imagenet}"
for objective in clean nsl n-fgsm trades; do
  advcli train --data "$data" --weights "$weights" --backbone "${BACKBONE:-mobilenetv2:stem_stride=2}" \
    --objective "$objective" --augment article --epochs "${EPOCHS:-12}" --out "runs/tiny-$objective"
done
for eps in 2/255 4/255; do
  advcli benchmark runs/tiny-clean runs/tiny-nsl runs/tiny-n-fgsm runs/tiny-trades --eps "$eps" --first "${FIRST:-500}" \
    --noise gaussian --noise poisson --noise salt-pepper --attack fgsm --attack pgd:steps=20 --attack autoattack
done
