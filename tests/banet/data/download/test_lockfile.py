"""The lock file: digests as first fetched."""

from pathlib import Path

import pytest

from banet.data.download.lockfile import Pin, add_pin, read_pins
from banet.errors import ConfigError, DataError


def test_pins_are_kept_and_do_not_move(tmp_path: Path) -> None:
    lock, guard = tmp_path / "archives.lock", tmp_path / "downloads/.pins.lock"
    assert read_pins(lock) == {}
    pins = {
        name: Pin(bytes=3, sha256=digit * 64, source="gdrive:x") for name, digit in (("b.zip", "b"), ("a.zip", "a"))
    }
    for name, pin in pins.items():
        add_pin(lock, name, pin, guard=guard)
    text = lock.read_text()
    assert read_pins(lock) == pins
    add_pin(lock, "a.zip", Pin(bytes=3, sha256="a" * 64, source="elsewhere"), guard=guard)
    assert lock.read_text() == text
    with pytest.raises(DataError, match=f"a.zip has the SHA-256 {'c' * 64}, not {'a' * 64}, which .* delete the entry"):
        add_pin(lock, "a.zip", Pin(bytes=3, sha256="c" * 64, source="x"), guard=guard)


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1]", "must map files"), ("a.zip: 3", "a.zip must be a mapping"), ("a.zip: {bytes: 1}", "is missing")],
)
def test_a_damaged_lock_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "archives.lock").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_pins(tmp_path / "archives.lock")
    assert "\n" not in str(caught.value)
