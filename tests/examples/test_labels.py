# SPDX-License-Identifier: MIT
"""Are labels read as TFLite's example reads them, and refused where they are not the model's?"""

from pathlib import Path

import pytest

from hornito.errors import BadInput
from hornito.examples.labels import MOST_BYTES, read_labels


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    return path


def test_labels_are_lines_and_the_rest_is_remarked_upon(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_labels(written(tmp_path, b"tench\ngold fish\ncat\n"), 3) == ["tench", "gold fish", "cat"]
    assert read_labels(written(tmp_path, b"tench\nn/a\ngold fish\n"), 2, skipped="n/a") == ["tench", "gold fish"]
    assert not caplog.records
    assert read_labels(written(tmp_path, b"tench\ngold fish\ncat"), 2) == ["tench", "gold fish"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'labels.txt'}: has 3 labels, the model 2 outputs; the first 2 are used"
    ]


def test_other_line_ends_marks_and_gaps_are_understood(tmp_path: Path) -> None:
    assert read_labels(written(tmp_path, b"\xef\xbb\xbfa\r\n\r\nc\x0cd\r\n"), 3) == ["a", "", "c\x0cd"]
    assert read_labels(written(tmp_path, "köt\u2028t\n".encode()), 1) == ["köt\u2028t"]


def test_too_few_labels_are_refused_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has 2 labels, the model 1001 outputs"):
        read_labels(written(tmp_path, b"a\nb\n\n\n"), 1001)
    with pytest.raises(BadInput, match="has 0 labels"):
        read_labels(written(tmp_path, b""), 1)


@pytest.mark.parametrize("content", [b"a\n\xff\xfe\n", b"a\0b\n", bytes(range(256))])
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadInput, match="text"):
        read_labels(written(tmp_path, content), 1)


def test_unreadable_labels_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, "a\0b"):
        with pytest.raises(BadInput, match="can't be read"):
            read_labels(path, 1)


def test_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="too many"):
        read_labels(written(tmp_path, b"a\n" * (MOST_BYTES // 2 + 1)), 1)
