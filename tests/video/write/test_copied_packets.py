"""Decoding times of packets that have none."""

from fractions import Fraction as F
from types import SimpleNamespace

import av

from zoomin_d2.video.write.copied_packets import Clock, PacketTimes


def _times(entries, reorders=True):
    """(pts, dts) of packets of 40 ticks, given the same as they come out of a file."""
    context = SimpleNamespace(has_b_frames=2 if reorders else 0)
    times = PacketTimes(SimpleNamespace(type="video", codec_context=context))
    packets = []
    for pts, dts in entries:
        packet = av.Packet(b"x")
        packet.pts, packet.dts, packet.duration = pts, dts, 40
        packets += times.feed(packet)
    return [(p.pts, p.dts) for p in [*packets, *times.flush()]]


def test_first_times_are_counted_back():
    found = _times([(0, None), (120, None), (40, 0), (80, 40)])
    assert found == [(0, -80), (120, -40), (40, 0), (80, 40)]


def test_a_stream_without_decoding_times():
    found = _times([(0, None), (120, None), (40, None), (80, None)])
    dts = [d for _, d in found]
    assert dts == sorted(set(dts))
    assert all(pts >= dts for pts, dts in found)


def test_nothing_is_held_without_reordering():
    assert _times([(7, None), (None, 40)], reorders=False) == [(7, 7), (40, 40)]


def test_times_always_grow():
    assert _times([(0, 0), (0, 0), (40, 40)], reorders=False) == [(0, 0), (1, 1), (40, 40)]


def test_clock_moves_and_stretches():
    packet = av.Packet(b"x")
    packet.time_base = F(1, 1000)
    packet.pts, packet.dts, packet.duration = 1500, 1400, 40
    Clock(F(3), F(1)).convert(packet)
    assert (packet.pts, packet.dts, packet.duration) == (1500, 1200, 120)
