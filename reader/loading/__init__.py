"""Training batches, read by processes ahead of time; `Loader` is the front door."""

from maskflownet.reader.loading.loader import Batch, Loader

__all__ = ["Batch", "Loader"]
