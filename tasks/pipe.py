"""What the tasks ask of a pipeline: `network.Pipeline`, or a stand-in for it."""

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from maskflownet.config import Config

if TYPE_CHECKING:
    from maskflownet.network import Peers, Prediction


class Pipe(Protocol):
    """A network on its devices; see `network.Pipeline`, which says what each method does."""

    config: Config
    peers: "Peers"
    network: Any
    trainer: Any

    @property
    def color_order(self) -> str | None:
        """The order that all images have, or None where each dataset has its own."""

    def predict_pairs(
        self,
        pairs: Iterable[Any],
        batch_size: int = 1,
        resize: tuple[int, int] | None = None,
        wanted: Collection[str] = ...,
        color_order: str | None = None,
    ) -> Iterator["Prediction"]:
        """Estimate flow, occlusion mask and warped image for pairs of images, one by one."""

    def predict_levels(self, pairs: Iterable[Any]) -> Iterator[list[Any]]:
        """Estimate flow as each pyramid level has it, pair by pair."""

    def validate(self, *columns: Any, **options: Any) -> float:
        """Return the mean over pairs of each pair's error."""

    def train_batch(self, *arrays: Any, **options: Any) -> dict[str, float]:
        """Take one optimisation step."""

    def set_learning_rate(self, step: int) -> bool:
        """Set the schedule's rate for a step; return False when the schedule has ended."""

    def save(self, prefix: Any) -> None:
        """Write `prefix`.states and `prefix`.params."""

    def save_weights(self, path: Any) -> None:
        """Write the parameters alone."""
