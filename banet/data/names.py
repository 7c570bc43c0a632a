"""Names used in files: kinds of image, splits, columns, prefixes of archive sources; and how names are compared."""

import unicodedata
from collections.abc import Iterable
from fnmatch import fnmatchcase
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


def nfc(name: str) -> str:
    """One form for names that look alike: a Mac writes é as two characters, other systems as one."""
    return unicodedata.normalize("NFC", name)


def chosen(pattern: str, names: Iterable[str]) -> list[str]:
    """The name that equals a pattern, whatever `[`, `*` or `?` it holds; without one, all names that match it."""
    forms = {name: nfc(name) for name in names}
    wanted = nfc(pattern)
    equal = [name for name, form in forms.items() if form == wanted]
    return equal or [name for name, form in forms.items() if fnmatchcase(form, wanted)]
