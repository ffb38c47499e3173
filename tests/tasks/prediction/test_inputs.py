"""Which frames make pairs, what they are called, and where results go."""

from pathlib import Path

import pytest
from prediction_helpers import files_in, write_frames

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.tasks.prediction.files import (
    refuse_files_as_folders,
    refuse_overwriting,
    refuse_own_folder,
)
from maskflownet.tasks.prediction.inputs import folder_frames, listed_pairs, one_pair


def pairs_of(inputs):
    """Return the name of every pair and the file names of its two frames."""
    return [
        (inputs.name(number), *(Path(inputs.frames[index]).name for index in inputs.ends(number)))
        for number in range(len(inputs))
    ]


def test_natural_order_and_only_images(tmp_path):
    for name in ("f_2.png", "f_10.JPG", "f_1.bmp", "notes.txt", ".f_3.png", "f_1.flo"):
        (tmp_path / name).touch()
    expected = [("f_1", "f_1.bmp", "f_2.png"), ("f_2", "f_2.png", "f_10.JPG")]
    assert pairs_of(folder_frames(tmp_path, 1)) == expected


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_stride(tmp_path, stride):
    write_frames(tmp_path, range(6), "{}.png")
    expected = [(str(i), f"{i}.png", f"{i + stride}.png") for i in range(6 - stride)]
    assert pairs_of(folder_frames(tmp_path, stride)) == expected


def test_frames_that_differ_in_their_suffix_keep_it(tmp_path):
    for name in ("a.png", "a.jpg", "b.png"):
        (tmp_path / name).touch()
    assert [pair[0] for pair in pairs_of(folder_frames(tmp_path, 1))] == ["a.jpg", "a.png"]


def test_too_few_frames(tmp_path):
    write_frames(tmp_path, range(3))
    with pytest.raises(InputError, match="expected 4 images or more, got 3"):
        folder_frames(tmp_path, 3)
    with pytest.raises(MissingDataError, match="no such folder"):
        folder_frames(tmp_path / "nope", 1)


def test_one_picture_is_of_the_kind_that_is_asked_for(tmp_path):
    one = tmp_path / "a.png"
    for save, kind in ((("arrows",), "arrows"), (("flo", "mask"), "mask"), ((), "color")):
        files = files_in(one, *save)
        assert files.saved("a", kind) == one and files.save == {*save, kind}
    for save in (("arrows", "mask"), ("flo",)):  # the colours, and these beside
        files = files_in(one, *save)
        assert files.saved("a", "color") == one and files.save == {*save, "color"}
    assert files_in(tmp_path / "a.flo", "color").saved("a", "flo") == tmp_path / "a.flo"


@pytest.mark.parametrize("output", ["file/out", "file/a.png", "file/a.mp4", "file/b/c"])
def test_a_file_is_no_folder_for_results(tmp_path, output):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: expected a folder to write \S+ to, got a file; "):
        refuse_files_as_folders(files_in(tmp_path / output))
    refuse_files_as_folders(files_in(tmp_path / output.replace("file", "new")))


def test_a_list_of_pairs(tmp_path):
    text = "# left right\n\na.png b.png\n'with space.png' /data/c.png\n  # end\n"
    (tmp_path / "list.txt").write_text(text, encoding="utf-8-sig")
    inputs = listed_pairs(tmp_path / "list.txt")
    assert [Path(path) for path in inputs.frames.paths] == [
        tmp_path / "a.png",
        tmp_path / "b.png",
        tmp_path / "with space.png",
        Path("/data/c.png"),
    ]
    assert [name for name, *_ in pairs_of(inputs)] == ["a", "with space"]


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        (["x/1.png x/2.png", "x/1.png x/3.png"], ["1-2", "1-3"]),
        (["x/1.png x/2.png", "y/1.png y/2.png"], ["000001", "000002"]),
    ],
)
def test_no_two_pairs_have_one_name(tmp_path, lines, names):
    (tmp_path / "list.txt").write_text("\n".join(lines))
    assert [name for name, *_ in pairs_of(listed_pairs(tmp_path / "list.txt"))] == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png b.png\na.png\n", r"list\.txt:2: expected image1 image2, got 1 paths$"),
        ("a.png,b.png\n", r"list\.txt:1: .* got 1 paths; write spaces between them, not commas$"),
        ("a.png b.png flow.flo\n", "got 3 paths"),
        ("'a.png b.png\n", r"list\.txt:1: a quote is not closed"),
        ("# none\n", "expected a line `image1 image2` per pair, got none"),
    ],
)
def test_lists_that_are_wrong(tmp_path, text, message):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        listed_pairs(tmp_path / "list.txt")


def test_lists_that_are_none(tmp_path):
    with pytest.raises(MissingDataError, match="this list of pairs is missing"):
        listed_pairs(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_bytes(b"\xff\x00\xfa")
    with pytest.raises(InputError, match="expected a text file"):
        listed_pairs(tmp_path / "list.txt")


# --- where results go -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.jpg", "out.npy", "out.pfm", "out.TIFF"])
def test_other_formats_are_no_folder_names(tmp_path, name):
    with pytest.raises(InputError, match="expected a folder or a name ending in"):
        files_in(tmp_path / name)


def test_a_dot_does_not_make_a_folder_a_file(tmp_path):
    assert files_in(tmp_path / "run_v1.2").folder == tmp_path / "run_v1.2"


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match="expected a folder to write to, got a file"):
        files_in(tmp_path / "out")


@pytest.mark.parametrize("more", [{"save": "flo"}, {"backward": True}, {"video": Path("b.mp4")}])
def test_a_video_alone_has_no_room_for_more(tmp_path, more):
    save = [more.pop("save")] if "save" in more else []
    with pytest.raises(InputError, match="name a folder as OUTPUT and add --video_out"):
        files_in(tmp_path / "a.mp4", *save, **more)


def test_a_video_needs_a_videos_name(tmp_path):
    with pytest.raises(InputError, match=r"--video_out .*: expected a name ending in .mp4"):
        files_in(tmp_path, video=tmp_path / "video.wmv")


@pytest.mark.parametrize(
    ("image1", "output"),
    [("a.png", "a.png"), ("a_color.png", "."), ("a_mask.png", "sub/..")],
)
def test_no_result_takes_the_place_of_an_input(tmp_path, image1, output):
    (tmp_path / "sub").mkdir()
    (tmp_path / image1).touch()
    (tmp_path / "a").touch()
    inputs = one_pair(tmp_path / "a", tmp_path / image1)
    files = files_in(tmp_path / output, "color", "mask")
    with pytest.raises(InputError, match="is read and would be written; choose another OUTPUT"):
        refuse_overwriting(files, inputs, None)


def test_two_pairs_never_share_a_file(tmp_path):
    for name in ("a", "a_backward", "b"):
        write_frames(tmp_path / "in", [1], f"{name}.png")
    inputs = folder_frames(tmp_path / "in", 1)
    refuse_overwriting(files_in(tmp_path / "out", "flo"), inputs, None)
    with pytest.raises(InputError, match=r"a_backward\.flo: would be written for both a and a_bac"):
        refuse_overwriting(files_in(tmp_path / "out", "flo", backward=True), inputs, None)


def test_neither_the_true_flow(tmp_path):
    inputs = one_pair(tmp_path / "a.png", tmp_path / "b.png")
    with pytest.raises(InputError, match=r"a\.flo: is read and would be written"):
        refuse_overwriting(files_in(tmp_path), inputs, tmp_path / "a.flo")
    refuse_overwriting(files_in(tmp_path / "out"), inputs, tmp_path / "a.flo")


def test_results_do_not_go_among_the_frames(tmp_path):
    with pytest.raises(InputError, match=r"choose another OUTPUT, such as .*/flow"):
        refuse_own_folder(files_in(tmp_path / "sub" / ".."), tmp_path)
    refuse_own_folder(files_in(tmp_path / "flow"), tmp_path)
