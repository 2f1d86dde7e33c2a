#!/usr/bin/env bash
# MNIST at L-inf 0.25, where the FGSM paper's network went from 89.4% to 17.9% wrong: train, then attack harder.
#   examples/mnist.sh [DATA]      (DATA: mnist, which is downloaded, or an .npz file; EPOCHS and FIRST may be set)
set -euo pipefail
data="${1:-mnist}"
advcli train --data "$data" --backbone small --objective clean --augment none --epochs "${EPOCHS:-10}" --batch 64 \
  --eps 0.25 --validation 0.05 --out runs/mnist-clean
advcli train --data "$data" --backbone small --objective pgd-at --attack pgd:steps=10 --eps 0.25 --eps-warmup 3 \
  --augment none --epochs "${EPOCHS:-10}" --batch 64 --validation 0.05 --out runs/mnist-robust
advcli benchmark runs/mnist-clean runs/mnist-robust --first "${FIRST:-10000}" \
  --attack fgsm --attack pgd:steps=40,restarts=5 --attack square
