"""Flow for a person's own images, in two passes over their pairs.

The first pass runs the network and saves what only the network can tell: flow, occlusion mask,
warped image. The second makes all else from what was saved, so that the colours of a sequence can
have one scale and a run that was stopped goes on where it was.
"""

from maskflownet.tasks.prediction.job import Job, run

__all__ = ["Job", "run"]
