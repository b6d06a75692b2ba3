"""Agreement over the store that torchrun's agent runs."""

import json
from typing import Any

from distbp.comm import torch_dist
from distbp.comm import world as environment
from distbp.comm.channel import Channel, until
from distbp.comm.world import World
from distbp.errors import JobError


class StoreChannel(Channel):
    """The agent's store: each call has keys of its own, and each attempt of the job a room of its own."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.store = torch_dist.agent_store(environment.rendezvous())
        self._calls = 0

    def broadcast(self, value: Any) -> Any:
        """Rank 0's ``value``."""
        self._calls += 1
        if self.rank == 0:
            self._set(0, value)
        return self._get(0)

    def gather(self, value: Any) -> list[Any]:
        """Every rank's ``value``."""
        self._calls += 1
        self._set(self.rank, value)
        return [self._get(rank, self.absent(rank)) for rank in range(self.size)]

    def _set(self, rank: int, value: Any) -> None:
        self.store.set(f"{self._calls}/{rank}", json.dumps(value))

    def _get(self, rank: int, late: JobError | None = None) -> Any:
        key = f"{self._calls}/{rank}"
        until(lambda: self.store.check([key]), late)
        return json.loads(self.store.get(key))
