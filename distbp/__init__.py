"""Data-parallel training of PyTorch models: a backward pass that you can read, and sums that keep their order."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distbp.data.split import Split as Split
    from distbp.errors import RequestError as RequestError
    from distbp.maps.base import Map as Map
    from distbp.maps.registry import register_map as register_map
    from distbp.training.data_parallel import DataParallel as DataParallel
    from distbp.workloads.base import Workload as Workload

__version__ = "0.1.0"
__all__ = ["DataParallel", "Map", "RequestError", "Split", "Workload", "register_map"]

HOMES = {
    "DataParallel": "distbp.training.data_parallel",
    "Map": "distbp.maps.base",
    "RequestError": "distbp.errors",
    "Split": "distbp.data.split",
    "Workload": "distbp.workloads.base",
    "register_map": "distbp.maps.registry",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are asked for: a wrong request is answered before torch is loaded."""
    from importlib import import_module

    if name not in HOMES:
        raise AttributeError(f"module 'distbp' has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)
