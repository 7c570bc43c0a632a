"""Names used in files: kinds of image, splits, columns, and prefixes of archive sources."""

SHARP = "sharp"
BLUR, NOISE_FREE = "blur", "blur_noise_free"  # variants of blurred images
TRAIN, TEST = "train", "test"  # splits
BLURRED, SEQUENCE = "blurred", "sequence"  # columns of users' own lists and tables, beside `sharp`
WEB = ("https://", "http://")  # prefixes of the sources of an archive, here and in the next two lines
DRIVE = "gdrive:"  # gdrive:FILE_ID
HUB = "hf:datasets/"  # hf:datasets/OWNER/NAME/FILE
