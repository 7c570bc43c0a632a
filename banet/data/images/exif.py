"""EXIF data of a picture that is turned upright, edited in place: makers' notes stay where their offsets lead."""

import struct

ORIENTATION = 0x0112  # how a viewer turns the picture
DETAILS = 0x8769  # leads to the directory of what the camera did
SIDES = 0xA002, 0xA003  # there: width and height
_BYTE_ORDERS = {b"II": "<", b"MM": ">"}


def orientation_of(exif: bytes) -> int:
    """Return the orientation from 1 (upright) to 8; 1 if there is none that holds."""
    try:
        order, entries, _ = _directory(exif, struct.unpack_from(_order(exif) + "I", exif, 4)[0])
        number: int = struct.unpack_from(order + "H", exif, entries[ORIENTATION] + 8)[0]
    except (KeyError, struct.error):
        return 1
    return number if 1 <= number <= 8 else 1


def upright(exif: bytes) -> bytes:
    """Return EXIF data, which begin with a byte order, for the picture after it was turned upright.

    The orientation becomes 1, width and height change places if the picture's do, and the thumbnail is left out, for it
    shows the picture as it was. Data that cannot be read are returned empty.
    """
    edited, turned = bytearray(exif), orientation_of(exif) > 4
    try:
        order, entries, end = _directory(exif, struct.unpack_from(_order(exif) + "I", exif, 4)[0])
        if ORIENTATION in entries:
            struct.pack_into(order + "H", edited, entries[ORIENTATION] + 8, 1)
        struct.pack_into(order + "I", edited, end, 0)  # no next directory: it describes the thumbnail
        if turned and DETAILS in entries:
            _, details, _ = _directory(exif, struct.unpack_from(order + "I", exif, entries[DETAILS] + 8)[0])
            if all(side in details for side in SIDES):
                width, height = (details[side] + 2 for side in SIDES)  # behind the tag: type, count and value
                edited[width : width + 10], edited[height : height + 10] = (
                    exif[height : height + 10],
                    exif[width : width + 10],
                )
    except (KeyError, struct.error):
        return b""
    return bytes(edited)


def _order(exif: bytes) -> str:
    return _BYTE_ORDERS[exif[:2]]


def _directory(exif: bytes, at: int) -> tuple[str, dict[int, int], int]:
    """Return the byte order, where the entry of each tag begins, and where the directory's entries end."""
    order = _order(exif)
    (count,) = struct.unpack_from(order + "H", exif, at)
    places = [at + 2 + 12 * number for number in range(count)]
    entries = {struct.unpack_from(order + "H", exif, place)[0]: place for place in places}
    struct.unpack_from(order + "I", exif, at + 2 + 12 * count)  # raises if it is cut off
    return order, entries, at + 2 + 12 * count
