from __future__ import annotations

import pytest

from sigilla.errors import FileError
from sigilla.files import replacing


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    target = tmp_path / "old.txt"
    target.write_text("old")
    for failure in (OSError("disk full"), RuntimeError("unable to extend file")):
        with pytest.raises(FileError, match="cannot be written"), replacing(target) as part:  # noqa: PT012
            part.write_text("half")
            raise failure
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_stays_a_link_and_what_is_no_file_is_refused(tmp_path):
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    with replacing(link) as part:
        part.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    with pytest.raises(FileError, match="is no regular file"), replacing("/dev/null"):
        pass


def test_the_target_is_named_and_not_the_file_beside_it(tmp_path):
    with (
        pytest.raises(FileError, match=r"'.*no/new.txt' .* the folder '.*no' does not exist"),
        replacing(tmp_path / "no" / "new.txt"),
    ):
        pass
    target = tmp_path / "new.txt"
    with pytest.raises(FileError, match="cannot be written") as caught, replacing(target) as part:
        raise PermissionError(13, "Permission denied", str(part))
    assert ".part" not in str(caught.value)
    assert "Permission denied" in str(caught.value)
