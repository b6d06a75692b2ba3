"""What a checkpoint keeps of its run's data: it goes on with no others, and its words and ids keep their numbers."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from distbp.data.fingerprint import fingerprint
from distbp.errors import RequestError
from distbp.workloads.base import Workload

NEAR = 1e-3  # of the means of float numbers, relative or absolute: another machine augments with other roundings


def trained_on(workload: Workload) -> dict[str, Any]:
    """The fingerprint of the training data, and a digest of what the numbers of words, classes or ids stand for."""
    return {**fingerprint(workload.training), "names": names_digest(workload)}


def names_digest(workload: Workload) -> str:
    """Of the names that the data gave numbers, in the order of the numbers."""
    names = [[str(name) for name in listed] for listed in workload.names]
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]


def refuse_other_data(then: Mapping[str, Any], now: Mapping[str, Any], resume: str) -> None:
    """RequestError where a run's training data are not those that it began with."""
    exact = all(then.get(key) == now[key] for key in ("samples", "whole", "names"))
    if not exact or not near(then.get("means"), now["means"]):
        counts = f"{then.get('samples')} samples, now {now['samples']}"
        how = f"the run was trained on other data ({counts}), or on the same in another order"
        raise RequestError("resume", resume, f"{how}; or add resume_allow=[data.path]")


def refuse_other_names(then: Mapping[str, Any], workload: Workload, resume: str | None) -> None:
    """RequestError where words, classes or ids have other numbers than those that the run learnt."""
    if then.get("names") != names_digest(workload):
        how = "in these data words, classes or ids have other numbers than in those of the run: it would read others"
        raise RequestError("resume", resume, how)


def near(then: Any, now: Sequence[float]) -> bool:
    """Whether all means are nearly the same."""
    if not isinstance(then, list) or len(then) != len(now):
        return False
    pairs = zip(then, now, strict=True)
    return all(isinstance(a, float) and math.isclose(a, b, rel_tol=NEAR, abs_tol=NEAR) for a, b in pairs)
