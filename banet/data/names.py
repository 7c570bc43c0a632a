"""Names that stand in files: kinds of image, splits, columns."""

SHARP = "sharp"
BLUR, NOISE_FREE = "blur", "blur_noise_free"  # variants of blurred images
TRAIN, TEST = "train", "test"  # splits
BLURRED, SEQUENCE = "blurred", "sequence"  # columns of people's own lists and tables, with `sharp`
WEB = ("https://", "http://")  # what the sources of an archive begin with, here and in the next two lines
DRIVE = "gdrive:"  # gdrive:FILE_ID
HUB = "hf:datasets/"  # hf:datasets/OWNER/NAME/FILE
