"""What the makers of fixtures share: a compressed file for each list of arrays that is named."""

import argparse
import json
import lzma
import tempfile
from pathlib import Path

import mxnet as mx


def make_fixtures(argv, description, save, name):
    """Have `save(arrays, path)` write a file for every list of arrays, and compress it beside it.

    Parameters
    ----------
    argv : list of str or None
        The command line: paths of params_NET.json.
    description : str
        What is made, in the first line.
    save : callable
        Writes the file of a list.
    name : str
        The fixture's name, with {} for NET.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("params_json", nargs="+", type=Path)
    for source in parser.parse_args(argv).params_json:
        target = source.with_name(name.format(source.stem.replace("params_", "")))
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "written"
            save(json.loads(source.read_text()), written)
            target.write_bytes(lzma.compress(written.read_bytes(), preset=9))
        print(f"MXNet {mx.__version__}: {target} ({target.stat().st_size} bytes)")
