r"""A model of your own: a small network of Fashion-MNIST, trained by plain Keras and saved as mine.keras.

    python examples/fashion_mnist.py [DATA.npz]
    advcli benchmark mine.keras --data fashion-mnist --eps 8/255 --first 1000 --out before.jsonl
    advcli train --model mine.keras --data fashion-mnist --objective n-fgsm --eps 8/255 --epochs 3
    advcli benchmark runs/fashion-mnist-mine-n-fgsm --first 1000 --baseline before.jsonl

Without a file Keras downloads the data. With one, --data is fashion-mnist:path=DATA.npz. EPOCHS may be set.
"""

import os
import sys

import keras  # noqa: TID251  this runs without advcli
import numpy as np

if len(sys.argv) > 1:
    with np.load(sys.argv[1]) as file:
        images, labels = file["x_train"], file["y_train"]
else:
    (images, labels), _ = keras.datasets.fashion_mnist.load_data()

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        keras.layers.RandomFlip("horizontal"),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Conv2D(64, 3, strides=2, padding="same", activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
epochs = int(os.environ.get("EPOCHS", "3"))
model.fit(images[..., None].astype("float32"), labels, batch_size=128, epochs=epochs, verbose=2)
model.save("mine.keras")
