"""What is written where."""

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from maskflownet.config.errors import InputError
from maskflownet.output.video import CONTAINERS
from maskflownet.tasks.prediction.inputs import Inputs

# What --save can name, by what stands behind a pair's name.
ENDINGS = {
    "flo": ".flo",
    "kitti": "_kitti.png",
    "npy": ".npy",
    "color": "_color.png",
    "arrows": "_arrows.png",
    "mask": "_mask.png",
    "warped": "_warped.png",
}
SAVED_BY_DEFAULT = frozenset({"flo", "color"})
_ONE_KIND = {".flo": "flo", ".png": "color"}  # what a single file holds, unless --save says more
_FILE_SUFFIX = r"\.[a-z][a-z0-9]{1,4}"  # of whatever format, known or not
# What a video can show.
VIDEO_KINDS = ("color", "arrows", "mask", "warped")
# What other flags ask for.
BACKWARD, CONSISTENT, ERROR = "_backward.flo", "_consistent.png", "_error.png"
_OF_PAIRS = sorted([*ENDINGS.values(), BACKWARD, CONSISTENT], key=len, reverse=True)


@dataclass(frozen=True)
class Files:
    """Where each result goes.

    Attributes
    ----------
    folder : pathlib.Path
        Where results are, as NAME.flo, NAME_color.png, ...
    save : frozenset of str
        Which of `ENDINGS`.
    backward : bool
        Whether flow back and the consistency mask are wanted too.
    work : pathlib.Path
        Where flow is until all is done, if it is not among the results.
    record : pathlib.Path
        What the results were made from; see `tasks.prediction.record`.
    one, one_ending : pathlib.Path and str, optional
        The one file that OUTPUT named instead of a folder, and the ending that it stands for.
    video : pathlib.Path, optional
    video_of : str
        Which of `VIDEO_KINDS` it shows.
    legend : pathlib.Path, optional
    """

    folder: Path
    save: frozenset[str]
    backward: bool
    work: Path
    record: Path
    one: Path | None = None
    one_ending: str = ""
    video: Path | None = None
    video_of: str = "color"
    legend: Path | None = None

    @property
    def kinds(self) -> frozenset[str]:
        """Return what is made, to be saved or for the video; of `ENDINGS`."""
        return self.save | {self.video_of} if self.video else self.save

    @property
    def target(self) -> Path:
        """Return what was named as OUTPUT."""
        return self.one or (self.video if self.folder == self.work else self.folder)

    def result(self, name: str, ending: str) -> Path:
        """Return the path of a result."""
        if self.one is not None and ending == self.one_ending:
            return self.one
        return self.folder / f"{name}{ending}"

    def saved(self, name: str, kind: str) -> Path:
        """Return the path of what --save calls `kind`; in `work` if it is not to stay."""
        if kind in self.save:
            return self.result(name, ENDINGS[kind])
        return self.work / f"{name}{ENDINGS[kind]}"

    def flow(self, name: str) -> Path:
        """Return where a pair's flow is, whether it is to stay or not."""
        return self.saved(name, "flo")

    def backward_flow(self, name: str) -> Path:
        """Return where a pair's flow from image 2 to image 1 is."""
        return (
            self.result(name, BACKWARD) if "flo" in self.save else self.work / f"{name}{BACKWARD}"
        )

    def from_network(self, name: str) -> list[Path]:
        """Return what only the network can make; when all of it is there, a pair is finished."""
        paths = [self.saved(name, kind) for kind in ("mask", "warped") if kind in self.kinds]
        if self.backward:
            paths.append(self.backward_flow(name))
        return [*paths, self.flow(name)]

    def of_any_run(self, name: str) -> list[Path]:
        """Return what the network made of a pair in this run or another, whatever that saved.

        A later run into the same OUTPUT would take each of these for its own.
        """
        if self.one is not None:
            return self.from_network(name)
        endings = (ENDINGS["flo"], BACKWARD, ENDINGS["mask"], ENDINGS["warped"])
        places = dict.fromkeys((self.folder, self.work))
        return [place / f"{name}{ending}" for place in places for ending in endings]

    def finished(self, name: str) -> bool:
        """Return whether the network need not see a pair again."""
        return all(path.exists() for path in self.from_network(name))

    def made(self, name: str) -> list[Path]:
        """Return what this run makes of a pair, but for its comparison with the truth."""
        consistent = [self.result(name, CONSISTENT)] if self.backward else []
        saved = (self.saved(name, kind) for kind in self.save)
        return [*self.from_network(name), *saved, *consistent]

    def misses_any(self, name: str) -> bool:
        """Return whether something of a pair's results is not there."""
        return not all(path.exists() for path in self.made(name))

    def results_there(self) -> Iterator[tuple[str, Path]]:
        """Yield a pair's name and the path of each result in the folder, of this run or another."""
        for path in sorted(self.folder.glob("*")):
            ending = next(filter(path.name.endswith, _OF_PAIRS), None)
            if ending is not None:
                yield path.name.removesuffix(ending), path

    def written(self, name: str) -> Iterator[Path]:
        """Yield every file that is written for a pair."""
        yield from self.from_network(name)
        yield from (self.saved(name, kind) for kind in self.save)
        yield from (self.result(name, ending) for ending in (CONSISTENT, ERROR))

    def remove_work(self, names: Iterable[str]) -> None:
        """Remove what was kept only until all is done."""
        for name in names:
            for path in self.from_network(name):
                if path.parent == self.work:
                    path.unlink(missing_ok=True)
        if self.record.parent == self.work:
            self.record.unlink(missing_ok=True)
        if self.work.is_dir() and not any(self.work.iterdir()):
            self.work.rmdir()


def place_results(
    output: str | os.PathLike,
    save: frozenset[str] | None,
    backward: bool = False,
    video: Path | None = None,
    legend: bool = False,
    video_of: str = "color",
) -> Files:
    """Return where results go, by what the command line says.

    Parameters
    ----------
    output : str or os.PathLike
        A folder; or, by its suffix, the one .flo, .png or video to write. A .png holds the flow's
        colours, or the one kind of picture that is to be saved. A name that ends in a slash is a
        folder's.
    save : frozenset of str, optional
        Which of `ENDINGS`; by default flow and its colours for a folder, and nothing beside the
        one file.
    backward : bool
    video : pathlib.Path, optional
        A video to write beside the files of a folder.
    legend : bool
    video_of : str
        Which of `VIDEO_KINDS` the video shows.

    Raises
    ------
    InputError
        The parts do not fit together.
    """
    is_folder = os.fspath(output).endswith(os.sep) or Path(output).is_dir()
    output = Path(output)
    suffix = "" if is_folder else output.suffix.lower()
    if suffix in CONTAINERS:
        return _video_alone(output, save, backward, video, legend, video_of)
    if video is not None and video.suffix.lower() not in CONTAINERS:
        raise InputError(f"--video_out {video}: expected a name ending in {', '.join(CONTAINERS)}")
    if suffix in _ONE_KIND:
        work = output.with_name(f"{output.name}.work")
        pictures = {kind for kind in save or () if ENDINGS[kind].endswith(suffix)}
        # Of one kind of picture that is asked for it is the one file; else that of the colours.
        one_kind = pictures.pop() if len(pictures) == 1 else _ONE_KIND[suffix]
        return Files(
            folder=output.parent,
            save=(save or frozenset()) | {one_kind},
            backward=backward,
            work=work,
            record=work / "predicted.json",
            one=output,
            one_ending=ENDINGS[one_kind],
            video=video,
            video_of=video_of,
            legend=output.with_name(f"{output.stem}_legend.png") if legend else None,
        )
    if re.fullmatch(_FILE_SUFFIX, suffix) and not re.fullmatch(r"\.v\d+", suffix):
        raise InputError(
            f"{output}: expected a folder or a name ending in .flo, .png, {', '.join(CONTAINERS)}; "
            f"add --save for other formats, and write {output}/ for a folder of that name"
        )
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: expected a folder to write to, got a file; name another")
    return Files(
        folder=output,
        save=SAVED_BY_DEFAULT if save is None else save,
        backward=backward,
        work=output / "work",
        record=output / "predicted.json",
        video=video,
        video_of=video_of,
        legend=output / "legend.png" if legend else None,
    )


def _video_alone(output, save, backward, video, legend, video_of):
    if save or backward or video:
        raise InputError(
            f"{output}: a video has no room for --save, --backward or a second video; name a "
            f"folder as OUTPUT and add --video_out {output}"
        )
    work = output.with_name(f"{output.name}.work")
    return Files(
        folder=work,
        save=frozenset(),
        backward=False,
        work=work,
        record=work / "predicted.json",
        video=output,
        video_of=video_of,
        legend=output.with_name(f"{output.stem}_legend.png") if legend else None,
    )


def refuse_overwriting(files: Files, inputs: Inputs, truth: Path | None) -> None:
    """Raise InputError if a result would take the place of an input or of another result."""
    sources = {path.resolve() for path in [*inputs.frames.paths, truth] if path is not None}
    names = {source.name for source in sources}
    pairs = (files.written(inputs.name(number)) for number in range(len(inputs)))
    others = [path for path in (files.video, files.legend, files.record) if path is not None]
    for result in itertools.chain(others, itertools.chain.from_iterable(pairs)):
        if result.name in names and result.resolve() in sources:
            raise InputError(f"{result}: is read and would be written; choose another OUTPUT")
    _refuse_shared_results(files, inputs)


def refuse_files_as_folders(files: Files) -> None:
    """Raise InputError if a file is where a folder of results would have to be."""
    for path in filter(None, (files.folder, files.one, files.video, files.legend)):
        there = next(parent for parent in path.absolute().parents if parent.exists())
        if not there.is_dir():
            raise InputError(
                f"{there}: expected a folder to write {path.name} to, got a file; choose another "
                "OUTPUT"
            )


def _refuse_shared_results(files, inputs):
    """Raise InputError if two pairs would write one file: a.png backward, and a_backward.png."""
    written_for = {}
    for number in range(len(inputs)):
        name = inputs.name(number)
        for result in map(os.fspath, files.written(name)):
            other = written_for.setdefault(result, name)
            if other != name:
                raise InputError(
                    f"{result}: would be written for both {other} and {name}; rename one of their "
                    "frames, or ask for fewer kinds of results"
                )


def refuse_own_folder(files: Files, folder: Path) -> None:
    """Raise InputError if results would lie among the frames of `folder`, to be read next time."""
    if files.folder.resolve() == folder.resolve():
        inside = os.path.join(folder, "flow")  # noqa: PTH118 (keeps ./ as it was typed)
        raise InputError(
            f"{files.folder}: is the folder of frames, whose next reading would take the results "
            f"for frames; choose another OUTPUT, such as {inside}"
        )
