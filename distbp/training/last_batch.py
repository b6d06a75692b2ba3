"""The last batch of an epoch, where it has fewer samples than a part is to have."""

from distbp.data.loader import Loader
from distbp.errors import RequestError
from distbp.training.data_parallel import DataParallel


def refuse_too_small(parallel: DataParallel, loader: Loader) -> None:
    """RequestError where the module does not take what an epoch ends with: batch norm, say, of a sample of 1x1."""
    part = loader.too_small()
    if part is None:
        return
    try:
        parallel.engine.prepare(part, parallel.carried.first(part))
    except (RequestError, ValueError, RuntimeError) as error:
        left = f"it leaves {len(part.inputs[0])} of {len(loader.split):,} samples for the last batch of an epoch"
        reason = f"which the module does not take ({' '.join(str(error).split())})"
        raise RequestError("batch_size", loader.batch_size, f"{left}, {reason}") from error
