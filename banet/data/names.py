"""Names used in files: kinds of image, splits, columns, and prefixes of archive sources."""

from typing import Literal

SHARP = "sharp"
BLUR, NOISE_FREE = "blur", "blur_noise_free"  # variants of blurred images
TRAIN, TEST = "train", "test"  # splits
BLURRED, SEQUENCE = "blurred", "sequence"  # columns of users' own lists and tables, beside `sharp`
WEB = ("https://", "http://")  # prefixes of the sources of an archive, here and in the next two lines
DRIVE = "gdrive:"  # gdrive:FILE_ID
HUB = "hf:datasets/"  # hf:datasets/OWNER/NAME/FILE
Conversion = Literal["16-bit", "transparency", "CMYK"]
"""A conversion of pictures to 8-bit RGB that a manifest can ask for."""
