import errno
import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys

import pytest

from ddpm_jax.training import lock

HOLD = (
    "import sys, time\n"
    "from ddpm_jax.training import lock\n"
    "with lock.owned(sys.argv[1]):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_is_refused_and_told_who_is_first(tmp_path, holder):
    owner = json.loads((tmp_path / lock.NAME).read_text())
    with pytest.raises(lock.Locked) as caught, lock.owned(tmp_path):
        pass
    assert str(caught.value) == (
        f"{tmp_path} is in use by process {holder.pid} on {socket.gethostname()} "
        f"since {owner['since']}"
    )


def test_the_lock_of_a_dead_process_is_taken_over_with_a_warning(tmp_path, holder, caplog):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with caplog.at_level(logging.WARNING), lock.owned(tmp_path):
        assert json.loads((tmp_path / lock.NAME).read_text())["pid"] == os.getpid()
    assert f"over from process {holder.pid} on" in caplog.text


def test_a_lock_given_back_can_be_taken_without_a_word(tmp_path, caplog):
    for _ in range(2):
        with lock.owned(tmp_path / "new"):
            pass
    assert caplog.text == ""


def test_a_lock_file_that_says_nothing_readable_still_locks(tmp_path, holder):
    (tmp_path / lock.NAME).write_text("[1]")
    with pytest.raises(lock.Locked, match="a process that left no name"), lock.owned(tmp_path):
        pass


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(lock.NoLocks, match=r"cannot be locked on this file system.*No locks"):
        with lock.owned(tmp_path):
            pass


def test_without_file_locks_as_on_windows_it_goes_on_and_warns():
    without = (
        "import sys, tempfile\n"
        "sys.modules['fcntl'] = None\n"
        "from ddpm_jax.training import lock\n"
        "with tempfile.TemporaryDirectory() as folder, lock.owned(folder):\n"
        "    print('held')\n"
    )
    done = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True)
    assert done.stdout == "held\n", done.stderr
    assert "this system has no file locks: run one process at a time" in done.stderr
