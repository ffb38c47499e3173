"""What long work says of itself where no terminal shows a bar."""

import logging

import pytest

from maskflownet.tasks import progress as module
from maskflownet.tasks.progress import progress


@pytest.mark.parametrize(("seconds", "forecast"), [(10.0, "about 02:50"), (1.0, None)])
def test_long_work_is_forecast_by_its_third_item(monkeypatch, caplog, seconds, forecast):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    caplog.set_level(logging.INFO)
    for done, _ in enumerate(progress(range(20), 20, "flow", "frame"), start=1):
        clock[0] += 100 if done == 1 else seconds  # the first one is slow
        if done == 3:
            told = [line for line in caplog.messages if "will take" in line]
            assert told == []
    told = [line for line in caplog.messages if "will take" in line]
    assert told == ([f"flow: 17 more frames will take {forecast}"] if forecast else [])
