"""Draw a contact sheet of a photo under every corruption.

python examples/corruptions.py OUT.png [SIDE] [SEVERITY]
"""

import sys

import numpy as np
from PIL import Image, ImageDraw
from skimage import data, transform

from advcli.corruptions import chosen, corrupted

out = sys.argv[1]
side, severity = (int(text) for text in (*sys.argv[2:], *("224", "3")[len(sys.argv) - 2 :]))
photo = np.asarray(transform.resize(data.chelsea()[:300, 75:375], (side, side), anti_aliasing=True))
images = (np.rint(photo * 255) / 255).astype(np.float32)[None]

names = chosen("all,extra")
tiles = {"clean": images} | {name: corrupted(name, images, severity, seed=0) for name in names}
columns, label, size = 5, 14, min(side, 180)
rows = -(-len(tiles) // columns)
sheet = Image.new("RGB", (columns * (size + 4), rows * (size + label + 4)), "white")
for place, (name, pixels) in enumerate(tiles.items()):
    left, top = place % columns * (size + 4), place // columns * (size + label + 4)
    tile = Image.fromarray(np.rint(pixels[0] * 255).astype(np.uint8))
    sheet.paste(tile.resize((size, size), Image.Resampling.LANCZOS), (left, top + label))
    ImageDraw.Draw(sheet).text((left, top), name, "black")
sheet.quantize(256, Image.Quantize.MEDIANCUT).save(out, optimize=True)
print(f"{out}: {len(tiles)} pictures at severity {severity}, {side} x {side}")
