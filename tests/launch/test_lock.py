"""A run's folder belongs to one job at a time, and a dead job's to whoever comes next."""

import os
import signal
import socket

import pytest

from distbp import config
from distbp.errors import RequestError
from distbp.run_directory import RunDirectory
from tests.launch.start import Run, command
from tests.warm import python


def request(folder):
    return config.request(f"run_dir={folder}", "resume=latest")


def test_a_folder_in_use_is_refused_with_who_has_it(tmp_path):
    with RunDirectory(request(tmp_path)):
        holder = f"another job has it: process {os.getpid()} on {socket.gethostname()}"
        with pytest.raises(RequestError, match=holder):
            RunDirectory(request(tmp_path))
    with RunDirectory(request(tmp_path)):
        pass


def test_a_job_that_is_killed_leaves_its_folder_free(tmp_path):
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        RunDirectory(request(tmp_path))
        os.write(told, b"x")
        signal.pause()
    os.read(ready, 1)
    with pytest.raises(RequestError, match=f"process {pid} on"):
        RunDirectory(request(tmp_path))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with RunDirectory(request(tmp_path)):
        pass


def test_a_launch_is_turned_away_in_one_line(tmp_path):
    with RunDirectory(request(tmp_path)):
        second = Run(command("alone", 1, f"run_dir={tmp_path}", "resume=latest", "steps=5", python=python()))
        assert second.wait() == 2
    assert second.stderr.startswith(f"distbp: error: run_dir={tmp_path}: another job has it: process {os.getpid()} on ")
    assert len(second.stderr.splitlines()) == 1
