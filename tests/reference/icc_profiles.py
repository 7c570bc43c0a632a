"""ICC profiles put together by hand: of three curves and a matrix, or of one curve for grey."""

import struct

P3 = [[0.51512, 0.24120, -0.00105], [0.29198, 0.69225, 0.04189], [0.15710, 0.06657, 0.78407]]  # XYZ under D50
ADOBE = [[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]]
GAMMA = struct.pack(">4s4xIH2x", b"curv", 1, 563)  # 2.2
SRGB_CURVE = struct.pack(
    ">4s4xH2x5i", b"para", 3, *(round(65536 * x) for x in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
)
TABLE = struct.pack(">4s4xI1024H", b"curv", 1024, *(round(65535 * (i / 1023) ** 1.8) for i in range(1024)))
LINE = struct.pack(">4s4xI", b"curv", 0)


def profile_of(colourants: list[list[float]] | None, curve: bytes) -> bytes:
    """Put a profile of three curves and a matrix together, or of one curve for grey."""
    tags: dict[bytes, bytes] = {b"wtpt": struct.pack(">4s4x3i", b"XYZ ", 63190, 65536, 54061)}
    if colourants is None:
        tags[b"kTRC"] = curve
    else:
        for name, xyz in zip((b"r", b"g", b"b"), colourants, strict=True):
            tags[name + b"XYZ"] = struct.pack(">4s4x3i", b"XYZ ", *(round(65536 * x) for x in xyz))
            tags[name + b"TRC"] = curve
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content.ljust(-(-len(content) // 4) * 4, b"\0")
    head = struct.pack(">4s4s4s4s4s", b"\2\x40\0\0", b"mntr", b"GRAY" if colourants is None else b"RGB ", b"XYZ ", b"")
    head = struct.pack(">I4s", start + len(body), b"") + head
    head = head[:36].ljust(36, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
