"""Datasets of image pairs with ground truth; `make_dataset` is the front door."""

from maskflownet.reader.datasets.base import FlowDataset
from maskflownet.reader.datasets.catalogue import evaluation_sets, make_dataset, published_sets

__all__ = ["FlowDataset", "evaluation_sets", "make_dataset", "published_sets"]
