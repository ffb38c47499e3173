"""Lists of files as people write them, natural order and suffixes of images."""

import pytest

from maskflownet.config import InputError, MissingDataError
from maskflownet.reader.listing import is_image, natural_key, read_list


def words(tmp_path, text, count=2, **how):
    path = tmp_path / "l.txt"
    path.write_bytes(text.encode(**how))
    return [line.words for line in read_list(path, (count,), "one two")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a.png b.png", ["a.png", "b.png"]),
        ("  a.png\tb.png  ", ["a.png", "b.png"]),
        ("\"a 1.png\" 'b 2.png'", ["a 1.png", "b 2.png"]),
        ('"my data"/a.png my" "data/b.png', ["my data/a.png", "my data/b.png"]),
        (r"a\ 1.png b.png", ["a 1.png", "b.png"]),
        ("it's.png Anna's.png", ["it's.png", "Anna's.png"]),
        ("'it's' b", ["it's", "b"]),
        (r"data\walk\1.png data\walk\2.png", ["data/walk/1.png", "data/walk/2.png"]),
        (r'"my data\1.png" b', ["my data/1.png", "b"]),
        ("a#1.png b#.png", ["a#1.png", "b#.png"]),
        ('"\'tis.png" \'a "b".png\'', ["'tis.png", 'a "b".png']),
    ],
)
def test_words(tmp_path, line, expected):
    assert words(tmp_path, f"# a comment\n\n{line}\n") == [expected]


def test_a_backslash_that_is_in_a_name(tmp_path):
    (tmp_path / r"a\b.png").touch()
    assert words(tmp_path, r"a\b.png c\d.png") == [[r"a\b.png", "c/d.png"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_windows_writes(tmp_path, encoding):
    assert words(tmp_path, "ä\\1.png b.png\r\nc d\r\n", encoding=encoding) == [
        ["ä/1.png", "b.png"],
        ["c", "d"],
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a b\n\n# c\na\n", r"l\.txt:4: expected one two, got 1 paths"),
        ('"a b c\n', r"l\.txt:1: a quote is not closed"),
        ("a 'b c\n", r"l\.txt:1: a quote is not closed"),
        ("a\0 b\n", r"l\.txt:1: expected paths, got a zero byte"),
        ("C:\\data\\a.png b\n", r"l\.txt:1: C:\\data\\a\.png is a place of a Windows machine"),
        ("C:/data/a.png b\n", r"l\.txt:1: C:/data/a\.png is a place of a Windows machine"),
        ("\\\\server\\a.png b\n", "is a place of a Windows machine"),
    ],
)
def test_mistakes(tmp_path, text, said):
    with pytest.raises(InputError, match=said) as caught:
        words(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_lists_that_are_none(tmp_path):
    with pytest.raises(MissingDataError, match=r"l\.txt: this list of pairs is missing"):
        read_list(tmp_path / "l.txt", (2,), "one two")
    (tmp_path / "l.txt").write_bytes(b"\xff\x00\xfa")
    with pytest.raises(InputError, match=r"l\.txt: .* a text file with a pair per line: one two"):
        read_list(tmp_path / "l.txt", (2,), "one two")


def test_natural_order():
    names = ["f10.png", "f9.png", "f09.png", "g1.png", "F1.png", "f.png"]
    ordered = ["F1.png", "f09.png", "f9.png", "f10.png", "f.png", "g1.png"]
    assert sorted(names, key=natural_key) == ordered


def test_images():
    assert all(map(is_image, ("a.png", "a.PNG", "b.jp2", "c.Tiff", "1.2.webp")))
    assert not any(map(is_image, ("a.flo", "png", ".a.png", "a.png.txt", "a")))
