"""Which frames count as damaged, told packet by packet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskflownet.reader.decoder.suspicion import Slot, Suspicion


def run(packets, damaged=(), lost=(), order=None, ordered=True):
    """Feed packets (time, whether a keyframe); return [(time, whether it is whole)] as they come.

    The decoder gives each frame as soon as no earlier one (by `order`, else by time) can come.
    """
    suspicion = Suspicion(ordered)
    slots, kept = [], []
    order = order or sorted(range(len(packets)), key=lambda number: packets[number][0])
    due = [number for number in order if number not in lost]
    for number, (time, is_key) in enumerate(packets):
        suspicion.feed(number, time, is_key)
        if number in damaged and number in lost:
            suspicion.damage(number)
        kept.append(number)
        while due and due[0] in kept:
            came = due.pop(0)
            if came in damaged:
                suspicion.damage(came)
            slots += suspicion.take(came, packets[came][0], "frame")
    slots += suspicion.finish()
    assert all(isinstance(slot, Slot) for slot in slots)
    return [(slot.pts, slot.frame is not None) for slot in slots]


def plain(count, gop):
    """Return packets of frames that each build on the one before."""
    return [(number, number % gop == 0) for number in range(count)]


# I0 P3 B1 B2 P6 B4 B5 | I9 B7 B8 P12 B10 B11: open groups, in decoding order.
OPEN = [(t, t in (0, 9)) for t in (0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 12, 10, 11)]


def test_whole_frames_come_in_order():
    assert run(plain(9, 3)) == [(number, True) for number in range(9)]
    assert run(OPEN) == [(time, True) for time in range(13)]


def test_damage_spreads_up_to_the_next_keyframe():
    assert run(plain(9, 4), damaged={1}) == [(n, n not in (1, 2, 3)) for n in range(9)]
    assert run(plain(9, 4), damaged={4}) == [(n, n not in (4, 5, 6, 7)) for n in range(9)]


def test_frames_that_are_shown_before_what_they_build_on_wait_for_its_verdict():
    # Packet 1 is P3: B1 and B2 are shown before it and build on it.
    bad = [time for time, whole in run(OPEN, damaged={1}) if not whole]
    assert bad == [1, 2, 3, 4, 5, 6, 7, 8]


def test_what_leads_to_a_damaged_keyframe_is_suspect():
    assert [time for time, whole in run(OPEN, damaged={7}) if not whole] == [7, 8, 9, 10, 11, 12]


def test_a_lost_frame_keeps_its_place():
    slots = run(plain(9, 4), damaged={5}, lost={5})
    assert slots == [(n, n not in (5, 6, 7)) for n in range(9)]
    assert run(plain(4, 4), damaged={3}, lost={3})[-1] == (3, False)


def test_packets_that_show_nothing_have_no_place():
    assert run(plain(9, 3), lost={2, 7}) == [(n, True) for n in range(9) if n not in (2, 7)]


def test_without_times_packets_are_counted():
    packets = [(None, number == 0) for number in range(6)]
    slots = run(packets, damaged={3}, order=range(6), ordered=False)
    assert slots == [(n, n < 3) for n in range(6)]


@given(
    gop=st.integers(1, 8),
    damaged=st.sets(st.integers(0, 23), max_size=3),
    lost=st.sets(st.integers(0, 23), max_size=3),
)
def test_no_frame_that_builds_on_damage_is_whole(gop, damaged, lost):
    slots = run(plain(24, gop), damaged | lost, lost)
    assert [time for time, _ in slots] == list(range(24))
    for number, whole in slots:
        key = number - number % gop
        assert whole == (not (damaged | lost) & set(range(key, number + 1)))


@pytest.mark.parametrize("hidden", [1, 4])
def test_hidden_packets_hold_nothing_back_for_ever(hidden):
    packets = plain(60, 60)
    assert len(run(packets, lost={hidden})) == 59
