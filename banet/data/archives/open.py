"""Any archive, whatever packs it: ZIP, tar, tar.gz, or a list of people's own files."""

from pathlib import Path

from banet.data.archives.base import Archive
from banet.data.archives.file_list import HEADER, ListedFiles
from banet.data.archives.safety import BadMemberError
from banet.data.archives.tar import TarArchive, is_tar
from banet.data.archives.zip import ZIP_ERRORS, ZipArchive
from banet.errors import DataError

LOOKS = {  # first bytes of files that are often in an archive's place
    b"<": "a web page",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"BZh": "packed by bzip2",
    b"\xfd7zXZ": "packed by xz",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
}


def open_archive(path: Path) -> Archive:
    """Open a ZIP, a tar, a tar.gz or a listing of own files; its first bytes decide which, not its name.

    Raises:
        DataError: it is missing, not an archive, a ZIP that is cut short, or a tar whose first header is damaged.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
        if head.startswith(HEADER):
            return ListedFiles(path)
        return TarArchive(path) if is_tar(head) else ZipArchive(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}): run the fetch stage") from None
    except (BadMemberError, *ZIP_ERRORS):
        looks = next((look for start, look in LOOKS.items() if head.lstrip().startswith(start)), None)
        kind = "tar" if ".tar" in path.name or path.suffix == ".tgz" else "ZIP"
        what = f"{looks}, not a ZIP or tar.gz" if looks else f"not a whole {kind} archive"
        raise DataError(f"{path} is {what}: delete it and run the fetch stage again") from None
