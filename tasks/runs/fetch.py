"""Download a released checkpoint from the original repository, and keep it only if it is right."""

import hashlib
import logging
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from tqdm import tqdm

from maskflownet.config.errors import InputError
from maskflownet.tasks.runs.released import RELEASED, find_released
from maskflownet.whole_file import whole_file

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

RELEASE_URL = "https://github.com/microsoft/MaskFlownet/raw/master/weights/"
RELEASE_URL_VARIABLE = "MASKFLOWNET_RELEASE_URL"
REMEDY = f"set {RELEASE_URL_VARIABLE} to a mirror, or put the file into weights/ by hand"

CHUNK = 1 << 16  # bytes read at a time
LOG_EVERY = 10_000_000  # bytes between two lines of progress where there is no terminal
PASSING = (408, 425, 429, 500, 502, 503, 504)  # HTTP answers that another try may mend


class Limits(NamedTuple):
    """How long and how much a download may take before it is given up.

    Attributes
    ----------
    connect, read : float
        Seconds to wait for the connection, and for the next bytes on it.
    tries : int
        How often to ask the server, the first time included.
    pause : float
        Seconds before the second try; doubled before each further one.
    size : int
        Bytes after which a file is too large to be a checkpoint (the largest has 83 million).
    window, least : float and int
        In so many seconds at least so many bytes must come: else the server is as good as dead.
    """

    connect: float = 10.0
    read: float = 30.0
    tries: int = 5
    pause: float = 1.0
    size: int = 128_000_000
    window: float = 60.0
    least: int = 60_000


DEFAULT_LIMITS = Limits()


class _BrokenLineError(Exception):
    """The download failed in a way that another try may mend."""


def git_blob_id(path: Path) -> str:
    """Return the id that git gives to the content of a file.

    Parameters
    ----------
    path : pathlib.Path
        Any file.

    Returns
    -------
    str
        40 hex digits: the sha1 of "blob SIZE", a zero byte and the content (Pro Git, "Git
        Objects").
    """
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def fetch(
    name: str, folder: Path, base_url: str | None = None, limits: Limits = DEFAULT_LIMITS
) -> Path:
    """Download one of the four released checkpoints, unless it is there already.

    The file appears in `folder` only when it is complete and its git blob id is right; until then
    an older file of that name stays as it is. A broken line is taken up again where it broke.

    Parameters
    ----------
    name : str
        A run id or the beginning of one: "dbbSep30" or "dbbSep30-1206".
    folder : pathlib.Path
        Where the file shall lie; made if it is missing.
    base_url : str, optional
        Where the files are: "/" and the file's name are added. By default what the environment
        variable MASKFLOWNET_RELEASE_URL says (for a mirror), or else the original repository.
    limits : Limits, optional
        Time-outs, tries and the largest size.

    Returns
    -------
    pathlib.Path
        The checkpoint, in `folder`.

    Raises
    ------
    InputError
        The name is none of the four, or what the address gives is not that checkpoint.
    ConnectionError
        The server could not be reached, or the line broke each time.
    """
    released = find_released(name)
    if released is None:
        runs = ", ".join(entry.run for entry in RELEASED)
        raise InputError(f"no released checkpoint is called {name!r}: expected one of {runs}")
    target = Path(folder) / released.file
    if target.is_file():
        if git_blob_id(target) == released.blob_id:
            logger.info("%s is there already and its git blob id is right", target)
            return target
        logger.warning("%s is not the released file; a right one will replace it", target)
    base_url = base_url or os.environ.get(RELEASE_URL_VARIABLE) or RELEASE_URL
    url = f"{base_url.rstrip('/')}/{released.file}"
    logger.info("fetching %s", url)
    with whole_file(target) as part:
        _download(url, part, released.blob_id, limits)
    logger.info("%s is complete and its git blob id is right", target)
    return target


def _download(url: str, part: Path, blob_id: str, limits: Limits) -> None:
    """Fill the file `part` with what `url` holds, in several tries if need be, and check it."""
    part.touch()
    pause = limits.pause
    for left in reversed(range(limits.tries)):
        resumed = part.stat().st_size > 0
        try:
            _receive(url, part, limits)
            found = git_blob_id(part)
            if found == blob_id:
                return
            size = part.stat().st_size
            problem = f"gave {size} bytes with git blob id {found}, expected {blob_id}"
            if not resumed:
                raise InputError(f"{url} {problem}; nothing was kept: {REMEDY}")
            part.write_bytes(b"")  # The pieces do not fit together: begin again.
        except _BrokenLineError as error:
            problem = str(error)
        if left:
            logger.warning("%s; trying again in %g s", problem, pause)
            time.sleep(pause)
            pause *= 2
    raise ConnectionError(
        f"{url}: {problem}; gave up after {limits.tries} tries: try again later, {REMEDY}"
    )


def _receive(url: str, part: Path, limits: Limits) -> None:
    """Ask once for what the file `part` lacks of `url`, and append it.

    gluoncv.utils.download and mxnet.gluon.utils.download set no time-out, so a stalled server hangs
    them, and they know no git blob id; hence requests itself.
    """
    import requests  # Here, since it is slow to import and only a download needs it.
    from urllib3.exceptions import HTTPError, ProtocolError, TimeoutError

    start = part.stat().st_size
    headers = {"Accept-Encoding": "identity"}  # Ranges of compressed data would not fit together.
    if start:
        headers["Range"] = f"bytes={start}-"
    timeout = (limits.connect, limits.read)
    passing = (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
        ProtocolError,
        TimeoutError,
    )
    try:
        with requests.get(url, headers=headers, timeout=timeout, stream=True) as response:
            begin = _first_byte(response, url, start)
            with part.open("rb+") as file:
                file.truncate(begin)
                file.seek(begin)
                _copy(response, url, file, limits)
    except (requests.RequestException, HTTPError) as error:  # some of urllib3's come as they are
        cause = _cause(error)
        reason = " ".join(str(cause).split()) or type(cause).__name__
        unknown_host = getattr(cause, "errno", None) == socket.EAI_NONAME
        if isinstance(error, passing) and not unknown_host:
            raise _BrokenLineError(reason) from error
        raise InputError(f"{url} cannot be fetched ({reason}): {REMEDY}") from error


def _first_byte(response: "requests.Response", url: str, start: int) -> int:
    """Return which byte of the file the answer's body begins with, or raise on a refusal."""
    if response.status_code == 200:  # All of it, asked for or not.
        return 0
    # 416 says that the piece we hold is not of this file. Its body only makes the id more wrong,
    # so that the download begins again.
    if start and response.status_code in (206, 416):
        return start
    answer = f"answered {response.status_code} {response.reason}"
    if response.status_code in PASSING:
        raise _BrokenLineError(answer)
    raise InputError(f"{url} {answer}: {REMEDY}")


def _copy(response: "requests.Response", url: str, file: BinaryIO, limits: Limits) -> None:
    """Write the answer's body to `file` as it comes, and show how far it is."""
    size = file.tell()
    began, before = time.monotonic(), size
    # iter_content would wait until a whole chunk is there, and from urllib3 1 there is no other.
    read = getattr(response.raw, "read1", response.raw.read)
    length = response.raw.length_remaining  # None where the server does not say.
    total = None if length is None else size + length
    # disable=None: a bar on a terminal only.
    with tqdm(total=total, initial=size, unit="B", unit_scale=True, disable=None) as bar:
        while chunk := read(CHUNK):
            size += len(chunk)
            if size > limits.size:
                raise InputError(
                    f"{url} gives more than {limits.size} bytes, no checkpoint: {REMEDY}"
                )
            file.write(chunk)
            if time.monotonic() - began > limits.window:
                if size - before < limits.least:
                    raise _BrokenLineError(f"gave {size - before} bytes in {limits.window:g} s")
                began, before = time.monotonic(), size
            bar.update(len(chunk))
            if bar.disable and size % LOG_EVERY < len(chunk):
                logger.info("%.0f MB have come", size / 1e6)


def _cause(error: BaseException) -> BaseException:
    """Return what is at the bottom of an error of requests."""
    while error.__context__ is not None:
        error = error.__context__
    return error
