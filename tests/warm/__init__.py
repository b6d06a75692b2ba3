"""Processes that have loaded torch already: many launches without the seconds that each takes to import it.

``[python(), "-m", "distbp", ...]`` is a command as any other, for this process, mpirun and torchrun. Its program has
the command's arguments, environment, folder, streams and cores, gets its signals, and ends it as it ends itself. It
runs in a fork of a process that has imported everything, and so does what it starts with ``sys.executable``. Tests of
processes (which are killed or stopped, what is left, how long a start takes, what memory holds) start real ones.
"""

from tests.warm.warm import python

__all__ = ["python"]
