"""Fetching released checkpoints from servers that are honest, lie, stall or cut off."""

import io
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from release_server import (
    CONTENT,
    HALF,
    Server,
    endless,
    half,
    half_then_stall,
    honest,
    length_too_long,
    length_too_short,
    nothing,
    quarter,
    redirect,
    stall,
    status,
    trickle,
    without_ranges,
    wrong_bytes,
    wrong_half,
    wrong_range,
)

from maskflownet.config.errors import InputError
from maskflownet.tasks.runs import fetch as fetch_module
from maskflownet.tasks.runs import released
from maskflownet.tasks.runs.fetch import RELEASE_URL, Limits, fetch, git_blob_id
from maskflownet.tasks.runs.released import RELEASED, find_released

ROOT = Path(__file__).parents[3]
FILE = "dbbSep30-1206_1000000.params"
# A long wait for bytes, so that a busy machine does not look like a stall.
LIMITS = Limits(connect=10, read=30, tries=3, pause=0.01, size=1_000_000)
IMPATIENT = LIMITS._replace(read=0.2)


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def small_release(monkeypatch, tmp_path):
    """Put the id of the small content into the table, and keep proxies away from the loopback."""
    (tmp_path / "content").write_bytes(CONTENT)
    blob_id = git_blob_id(tmp_path / "content")
    table = tuple(entry._replace(blob_id=blob_id) for entry in RELEASED)
    monkeypatch.setattr(released, "RELEASED", table)
    monkeypatch.delenv(fetch_module.RELEASE_URL_VARIABLE, raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    return blob_id


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "weights"


def assert_holds(folder, content):
    assert [path.name for path in folder.iterdir()] == [FILE]
    assert (folder / FILE).read_bytes() == content


def assert_fetched(server, folder, *answers, name="dbbSep30", limits=LIMITS):
    """Check that fetching from `answers` leaves the right file and nothing else."""
    server.answers = list(answers)
    assert fetch(name, folder, server.url, limits) == folder / FILE
    assert_holds(folder, CONTENT)


def assert_refused(error, server, folder, *answers, limits=LIMITS):
    """Check that fetching from `answers` fails in one line and leaves nothing; return the line."""
    server.answers = list(answers)
    with pytest.raises(error) as caught:
        fetch("dbbSep30", folder, server.url, limits)
    assert list(folder.iterdir()) == []
    message = str(caught.value)
    assert "\n" not in message
    assert FILE in message
    assert fetch_module.RELEASE_URL_VARIABLE in message
    return message


@pytest.mark.parametrize(
    ("content", "expected"),  # as `git hash-object` prints them
    [
        (b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
        (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
    ],
)
def test_blob_id_is_gits(tmp_path, content, expected):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert git_blob_id(path) == expected


@pytest.mark.parametrize("name", ["dbbSep30", "dbbSep30-1206", "dbb", FILE])
def test_honest_server(server, folder, name):
    assert_fetched(server, folder, honest, name=name)
    assert server.asked == [(f"/weights/{FILE}", None)]


@pytest.mark.parametrize("name", ["", "771Sep25", "dbbSep30-1207", "sintel"])
def test_unknown_name_lists_the_four(folder, name):
    assert find_released(name) is None
    with pytest.raises(InputError) as caught:
        fetch(name, folder, "http://127.0.0.1:1/", LIMITS)
    message = str(caught.value)
    for run in ("abbSep15-1037", "dbbSep30-1206", "5adNov03-0005", "8caNov12-1532"):
        assert run in message
    assert "\n" not in message
    assert not folder.exists()


def test_right_file_is_not_downloaded_again(server, folder, caplog):
    caplog.set_level(logging.INFO)
    folder.mkdir()
    (folder / FILE).write_bytes(CONTENT)
    assert fetch("dbbSep30", folder, server.url, LIMITS) == folder / FILE
    assert server.asked == []
    assert "is there already" in caplog.text


def test_wrong_file_is_replaced_by_the_right_one(server, folder):
    folder.mkdir()
    (folder / FILE).write_bytes(CONTENT[:HALF])
    assert_fetched(server, folder, honest)
    assert server.asked == [(f"/weights/{FILE}", None)]


@pytest.mark.parametrize("answer", [wrong_bytes, half, endless, status(404), status(500)])
def test_wrong_file_is_kept_if_no_right_one_comes(server, folder, answer):
    server.answers = [answer]
    folder.mkdir()
    (folder / FILE).write_bytes(b"mine")
    with pytest.raises((InputError, ConnectionError)):
        fetch("dbbSep30", folder, server.url, LIMITS)
    assert_holds(folder, b"mine")


def test_broken_line_is_taken_up_where_it_broke(server, folder, caplog):
    assert_fetched(server, folder, half, honest)
    first, second = (span for _, span in server.asked)
    assert first is None
    assert 0 < int(re.fullmatch(r"bytes=(\d+)-", second)[1]) <= HALF
    assert "trying again" in caplog.text


@pytest.mark.parametrize(
    "answers",
    [
        (half, without_ranges),
        (half, wrong_range, honest),
        (half, status(416), honest),
        (wrong_half, honest, honest),
        (wrong_half, quarter, honest),
        (nothing, honest),
        (status(500), status(503), honest),
        (stall, honest),
        (half_then_stall, honest),
        (redirect, honest),
    ],
    ids=lambda answers: "-".join(getattr(answer, "__name__", "") for answer in answers),
)
def test_mended_in_the_end(server, folder, answers):
    # A try more than needed: on a busy machine an honest answer too may come late.
    impatient = stall in answers or half_then_stall in answers
    limits = IMPATIENT._replace(tries=6) if impatient else LIMITS
    assert_fetched(server, folder, *answers, limits=limits)


@pytest.mark.parametrize("answer", [half, nothing, length_too_long, status(500), status(429)])
def test_always_broken_gives_up_after_the_tries(server, folder, answer, monkeypatch):
    pauses = []
    monkeypatch.setattr(fetch_module.time, "sleep", pauses.append)
    message = assert_refused(ConnectionError, server, folder, answer)
    assert "gave up after 3 tries" in message
    assert len(server.asked) == 3
    assert pauses == [0.01, 0.02]


@pytest.mark.parametrize("answer", [stall, half_then_stall])
def test_stalled_server_does_not_hang(server, folder, answer):
    message = assert_refused(ConnectionError, server, folder, answer, limits=IMPATIENT)
    assert "timed out" in message
    assert len(server.asked) == 3


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(server, folder):
    limits = LIMITS._replace(window=0.3, least=1000, tries=2)
    message = assert_refused(ConnectionError, server, folder, trickle, limits=limits)
    assert re.search(r"gave \d+ bytes in 0.3 s; gave up after 2 tries", message)
    assert len(server.asked) == 2


def test_wrong_bytes(server, folder, small_release):
    message = assert_refused(InputError, server, folder, wrong_bytes)
    assert small_release in message
    assert "nothing was kept" in message
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (length_too_short, f"gave {len(CONTENT) - 1} bytes"),
        (endless, f"more than {LIMITS.size} bytes"),
        *((status(code), f"answered {code}") for code in (403, 404, 416, 206)),
    ],
)
def test_final_answers_are_not_asked_for_again(server, folder, answer, said):
    assert said in assert_refused(InputError, server, folder, answer)
    assert len(server.asked) == 1


def test_redirect_is_followed(server, folder):
    assert_fetched(server, folder, redirect, honest)
    assert [path for path, _ in server.asked] == [f"/weights/{FILE}", "/elsewhere"]


def test_circle_of_redirects(server, folder):
    assert "redirects" in assert_refused(InputError, server, folder, redirect)


def test_no_server(folder):
    with Server() as server:
        url = server.url
    with pytest.raises(ConnectionError, match="Connection refused; gave up after 3 tries"):
        fetch("dbbSep30", folder, url, LIMITS)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "base_url", ["weights", "nonsense://127.0.0.1", "http://", "http://[/", "http://a..b/"]
)
def test_bad_address(folder, base_url):
    with pytest.raises(InputError, match="cannot be fetched") as caught:
        fetch("dbbSep30", folder, base_url, LIMITS)
    assert fetch_module.RELEASE_URL_VARIABLE in str(caught.value)
    assert list(folder.iterdir()) == []


def resolve_no_name(monkeypatch, *reason):
    def fail(*args, **kwargs):
        raise socket.gaierror(*reason)

    monkeypatch.setattr(socket, "getaddrinfo", fail)


def test_an_unknown_host_is_not_asked_for_again(folder, monkeypatch, caplog):
    resolve_no_name(monkeypatch, socket.EAI_NONAME, "Name or service not known")
    with pytest.raises(InputError, match=r"http://mirror\.test/\S+ cannot be fetched .*not known"):
        fetch("dbbSep30", folder, "http://mirror.test", LIMITS)
    assert "trying again" not in caplog.text


def test_lines_about_another_try_are_short(folder, monkeypatch, caplog):
    resolve_no_name(monkeypatch, socket.EAI_AGAIN, "Temporary failure in name resolution")
    with pytest.raises(ConnectionError, match=r"http://mirror\.test/\S+: .*gave up after 3 tries"):
        fetch("dbbSep30", folder, "http://mirror.test", LIMITS)
    retries = [line for line in caplog.messages if "trying again" in line]
    assert len(retries) == 2
    assert not any("mirror.test" in line for line in retries)


def test_mirror_by_environment_variable(server, folder, monkeypatch):
    server.answers = [honest]
    monkeypatch.setenv(fetch_module.RELEASE_URL_VARIABLE, server.url.rstrip("/"))
    fetch("dbbSep30", folder, limits=LIMITS)
    assert_holds(folder, CONTENT)
    assert server.asked == [(f"/weights/{FILE}", None)]


@pytest.mark.parametrize("variable", [None, ""])
def test_original_repository_by_default(folder, monkeypatch, variable):
    import requests

    asked = []

    def refuse(url, **kwargs):
        asked.append(url)
        raise requests.ConnectionError("no network in tests")

    monkeypatch.setattr(requests, "get", refuse)
    if variable is not None:
        monkeypatch.setenv(fetch_module.RELEASE_URL_VARIABLE, variable)
    with pytest.raises(ConnectionError, match="no network in tests"):
        fetch("dbbSep30", folder, limits=LIMITS._replace(tries=1))
    assert asked == [RELEASE_URL + FILE]


def test_keyboard_interrupt_leaves_nothing(server, folder, small_release):
    server.answers = [half_then_stall]
    program = (
        "import signal, sys; from pathlib import Path\n"
        "from maskflownet.tasks.runs import fetch, released\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"released.RELEASED = [e._replace(blob_id={small_release!r}) for e in released.RELEASED]\n"
        "fetch.fetch('dbbSep30', Path(sys.argv[1]), sys.argv[2])\n"
    )
    command = [sys.executable, "-c", program, str(folder), server.url]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert server.sent.wait(30)
        assert [path.suffix for path in folder.iterdir()] == [".part"]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert list(folder.iterdir()) == []


def test_progress_is_a_bar_on_a_terminal(server, folder, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert_fetched(server, folder, honest)
    assert "100%" in terminal.getvalue()
    assert "200k/200k" in terminal.getvalue()


def test_progress_is_logged_elsewhere(server, folder, monkeypatch, caplog, capsys):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(fetch_module, "LOG_EVERY", 100_000)
    assert_fetched(server, folder, honest)
    assert caplog.text.count("MB have come") == 2
    assert f"fetching {server.url}{FILE}" in caplog.text
    assert capsys.readouterr().err == ""


def test_import_does_not_load_requests():
    program = (
        "import sys, maskflownet.tasks.runs.fetch; "
        "sys.exit(bool({'requests', 'mxnet'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment)
    assert result.returncode == 0
