"""What `make demo` says of its steps; the programs themselves are not run."""

import logging

from maskflownet.tasks.runs.checkpoints import Checkpoint
from maskflownet.tasks.showcase import demo


def test_it_says_where_the_checkpoint_comes_from_that_it_names(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    trained = Checkpoint("abcJan01-0000", 200, tmp_path / "weights/abcJan01-0000_200.params")
    for name in ("predict_unseen", "write_legacy", "report"):
        monkeypatch.setattr(demo, name, lambda *_: 0)
    monkeypatch.setattr(demo, "write_pairs", lambda folder: 1.0)
    monkeypatch.setattr(demo, "newest", lambda folder: trained)
    monkeypatch.setattr(demo, "run", lambda *words: logging.info("$ %s", " ".join(words)))
    assert demo.demo(tmp_path / "demo") == 0
    said = [place for place, line in enumerate(caplog.messages) if "-c demo is what" in line]
    asked = [place for place, line in enumerate(caplog.messages) if "-c demo --" in line]
    assert len(said) == 1 and said[0] < asked[0] and len(asked) == 2
    line = caplog.messages[said[0]]
    assert "abcJan01-0000" in line and str(tmp_path / "demo/weights/demo_200.params") in line
