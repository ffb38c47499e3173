"""`.states` files: those that MXNet wrote itself, those of a tiny training, and what they hold."""

import lzma
import pickle

import mxnet as mx
import numpy as np
import pytest
from golden import DATA
from mxnet import autograd, gluon
from mxnet.gluon import nn

from maskflownet.config import load_config
from maskflownet.config.errors import InputError
from maskflownet.network import get_pipeline
from maskflownet.network.files.moments import load_trainer_states, save_trainer_states

ONE, TWO = [mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]


def held(trainer, folder):
    """Return {index: [mean, variance]} and the optimizer, as MXNet itself saves them."""
    trainer.save_states(str(folder / "held.states"))
    states, optimizer = pickle.loads((folder / "held.states").read_bytes())
    return {i: [moment.asnumpy() for moment in pair] for i, pair in states.items()}, optimizer


def assert_same_moments(one, other):
    assert one.keys() == other.keys()
    for index, pair in one.items():
        np.testing.assert_array_equal(pair, other[index])


def fixture_file(name, version, folder):
    path = folder / f"{name}_{version}.states"
    path.write_bytes(lzma.decompress((DATA / f"states_{name}_mxnet_{version}.xz").read_bytes()))
    return path


def fresh_pipeline(name, ctx=ONE):
    pipe = get_pipeline("MaskFlownet", ctx=ctx, config=load_config(name))
    if name == "MaskFlownet":
        pipe.fix_head()
    return pipe


class Tiny(nn.HybridBlock):
    """Two layers whose order by name is not the one in which they were made."""

    def __init__(self):
        super().__init__(prefix="tiny_")
        with self.name_scope():
            self.late = nn.Dense(3, in_units=2, prefix="z_")
            self.early = nn.Dense(2, in_units=3, prefix="a_")


class Small:
    """A tiny network and its trainer, under gradients that do not depend on its devices."""

    def __init__(self, ctx=ONE, network=None, learning_rate=0.01, frozen=(), **options):
        self.network = network or Tiny()
        self.network.initialize(mx.init.One(), ctx=ctx)
        self.ctx = ctx
        for layer in frozen:
            getattr(self.network, layer).collect_params().setattr("grad_req", "null")
        self.parameters = list(self.network.collect_params().values())
        settings = {"learning_rate": learning_rate, "wd": 0.5}
        self.trainer = gluon.Trainer(self.parameters, "adam", settings, **options)

    def train(self, steps):
        for step in range(steps):
            with autograd.record():
                losses = [
                    (parameter.data(ctx) * (2.0**number * (step + 1) / len(self.ctx))).sum()
                    for number, parameter in enumerate(self.parameters)
                    if parameter.grad_req != "null"
                    for ctx in self.ctx
                ]
            autograd.backward(losses)
            self.trainer.step(1)
        return self

    def weights(self):
        return [[data.asnumpy() for data in p.list_data()] for p in self.parameters]

    def copy_weights(self, other):
        for own, parameter in zip(self.parameters, other.parameters, strict=True):
            own.set_data(parameter.data(other.ctx[0]))


def load(small, path):
    load_trainer_states(small.trainer, small.network, path)


def saved(folder, **options):
    """Return a file after two steps of a tiny training."""
    save_trainer_states(Small(**options).train(2).trainer, folder / "saved.states")
    return folder / "saved.states"


def rewrite(path, change=lambda states, optimizer: None, protocol=4):
    """Write the file's objects again after `change` was made to them."""
    content = pickle.loads(path.read_bytes())
    change(*content)
    path.write_bytes(pickle.dumps(content, protocol))


def message_of(pipe, path, error=InputError):
    """Return why `path` does not load, after a look that nothing was changed by the attempt."""
    before = held(pipe.trainer, path.parent)
    with pytest.raises(error) as caught:
        load_trainer_states(pipe.trainer, pipe.network, path)
    after = held(pipe.trainer, path.parent)
    assert_same_moments(before[0], after[0])
    assert before[1].__dict__ == after[1].__dict__
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message
