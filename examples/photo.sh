#!/usr/bin/env bash
# Explain a photo that ships with scikit-image, clean and adversarial, by a MobileNetV2 trained on ImageNet.
#   examples/photo.sh [FOLDER] [WEIGHTS [LABELS]]
# Without WEIGHTS, Keras downloads its own.
set -euo pipefail
folder="${1:-photo}" weights="${2:-imagenet}"
labels=(${3:+--labels "$3"})
mkdir -p "$folder"
python3 -c 'import shutil, sys, skimage; shutil.copy(f"{skimage.data_dir}/chelsea.png", sys.argv[1])' "$folder"
advcli explain "$folder/chelsea.png" --weights "$weights" "${labels[@]}" \
  --attack pgd:steps=20 --eps 4/255 --out "$folder" --overwrite
