"""The lock of a run's folder: one job has it at a time, and a job that is dead leaves it free."""

import errno
import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

from distbp.errors import RequestError

LOCK = ".lock"
MOST = 300  # bytes of what it says
UNKNOWN = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # of a file system that has no locks


class RunLock:
    """The lock of the folder ``run_dir``, held until ``close``. RequestError names the job that has it.

    It is the kernel's (flock), which gives it back when the process is gone, however it ended. The file says who has
    it, and stays.
    """

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / LOCK
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._descriptor, MOST, 0).decode(errors="replace").strip() or "one that has just begun"
            self.close()
            raise RequestError("run_dir", run_dir, f"another job has it: {holder}") from error
        except OSError as error:
            if error.errno not in UNKNOWN:
                self.close()
                raise
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def remove(self) -> None:
        """Remove the file of a folder that is none of a run."""
        with suppress(OSError):
            self._path.unlink()

    def close(self) -> None:
        """Leave the folder to others."""
        os.close(self._descriptor)
