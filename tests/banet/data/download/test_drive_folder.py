"""The page of a folder on Google Drive: what links it has, and what is none of ours."""

from dataclasses import replace

from banet.data.download.drive_folder import DriveEntry, listed

PAGE = """
<html><head><title>Weights</title></head><body>
<a href="https://drive.google.com/file/d/1abcdefghij-_K/view?usp=drive_web&amp;resourcekey=0-k_1"><img src="x.png">
  <div class="flip-entry-title">BANet &amp;
  GoPro.pth</div></a> <div>12/1/22</div>
<a href="https://drive.google.com/drive/folders/2abcdefghij">more</a>
<a href="https://docs.google.com/document/d/3abcdefghij/edit">notes</a>
<a href="https://example.org/file/d/4abcdefghij/view">elsewhere</a><a>nothing</a><a href="/relative">x</a>
"""


def test_files_and_folders_are_listed_with_their_keys() -> None:
    assert listed(PAGE) == [
        DriveEntry(id="1abcdefghij-_K", key="0-k_1", name="BANet & GoPro.pth"),
        DriveEntry(id="2abcdefghij", name="more", is_folder=True),
    ]
    assert listed("") == []


def test_addresses_carry_the_key() -> None:
    file, folder = listed(PAGE)
    start = "https://drive.usercontent.google.com/download?id=1abcdefghij-_K"
    assert file.url == f"{start}&export=download&confirm=t&resourcekey=0-k_1"
    assert replace(file, key=None).url == "https://drive.google.com/uc?id=1abcdefghij-_K"
    assert replace(folder, key="0-k").url == f"{folder.url}&resourcekey=0-k"
    assert folder.url == "https://drive.google.com/embeddedfolderview?id=2abcdefghij"
