# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
"""Writes HEICs of the picture photo.png in a folder by libheif, and decodes every HEIC there to a PNG, as displayed.

usage: libheif.py FOLDER
"""

import pathlib
import sys

import pillow_heif
from PIL import Image

folder = pathlib.Path(sys.argv[1])
photo = Image.open(folder / "photo.png").convert("RGB")


def write(name, *images, **options):
    heif = pillow_heif.HeifFile()
    for image in images:
        heif.add_from_pillow(image)
    heif.save(folder / (name + ".heic"), quality=95, **options)


write("plain", photo)
write("chroma444", photo, chroma=444)
write("chroma422", photo, chroma=422)
write("odd", photo.crop((0, 0, 321, 243)))
write("gray", photo.convert("L"))
write("alpha", Image.merge("RGBA", (*photo.split(), photo.split()[1])))
write("burst", photo, photo.transpose(Image.Transpose.ROTATE_180))
for orientation in range(2, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = photo.copy()
    turned.info["exif"] = exif.tobytes()
    write(f"orientation{orientation}", turned)
deep = photo.tobytes()
wide = bytearray(2 * len(deep))
wide[1::2] = deep  # 16 bits, little-endian
pillow_heif.encode("RGB;16", photo.size, bytes(wide), folder / "deep.heic", quality=95)

for path in folder.glob("*.heic"):
    print(path.name)
    heif = pillow_heif.open_heif(path, convert_hdr_to_8bit=True)
    heif.to_pillow().convert("RGB").save(path.with_suffix(".png"))
