"""Python's search for cyclic garbage, in a process that is ours: half a million objects stay to its end."""

import atexit
import gc

OBJECTS = 10_000  # new ones from search to search; with Python's own 700 all are searched six times while torch loads


def search_seldom() -> None:
    """From now on few searches, and none as the process ends: a finaliser of what lies in a cycle does not run then.

    (Python does not promise that it does; ``atexit`` and ``weakref.finalize`` are for what has to be done.) Called
    before torch is loaded it takes a third off what a process needs to start and to end.
    """
    gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)  # what is frozen is not searched
