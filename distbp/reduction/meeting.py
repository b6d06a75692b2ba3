"""What the workers of a node do between two fences: each its share of every bucket."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from distbp.comm.board import Board
from distbp.comm.ledger import text
from distbp.reduction.bucket import Bucket
from distbp.reduction.exchange import Exchange
from distbp.reduction.share import Share

PHASE = "reduce"


@dataclass(frozen=True)
class Meeting:
    """Prepared once for some buckets and the parts present: small sums take as long as what is looked up for them.

    ``shares``: of each bucket its number, what the ledger has of it, and this worker's share.
    """

    fence: Callable[[], None]
    shares: tuple[tuple[int, bytes, Share], ...]
    scattered: bool
    """Whether nobody waits for what others sum: the owners alone use it."""

    @classmethod
    def of(cls, buckets: Sequence[Bucket], present: tuple[bool, ...]) -> "Meeting":
        """Of these buckets, of which there is one at least."""
        shares = tuple((bucket.number, entry(bucket), Share(bucket, present)) for bucket in buckets)
        return cls(buckets[0].window.fence, shares, all(bucket.scattered for bucket in buckets))

    def hold(self, exchange: Exchange, board: Board, *, step: int) -> None:
        """From every worker's subtrees to the sums over all parts, whatever the number of buckets."""
        met = False
        for number, written, share in self.shares:
            name = (step, PHASE, number)
            board.enter_as(name, written)
            if not met:
                met = True
                self.fence()
            share.sum(exchange, name)
        if not self.scattered:
            self.fence()
        board.leave()


def entry(bucket: Bucket) -> bytes:
    """What the ledger has of the bucket's sum."""
    first = bucket.slots[0]
    return text("sum", first.dtype, first.numel(), PHASE, bucket.number)
