"""Files whose timestamps are not those of one recording, made by PyAV."""

from fractions import Fraction

import av
import pytest

TS_PACKET = 188
VIDEO_PID = 0x100


@pytest.fixture
def remux(tmp_path):
    """(file, name, change) -> the packets of a file in another one, each after `change(packet)`,
    which may set its times; what it returns as False is left out."""

    def make(file, name, change=lambda packet: True, **options):
        path = tmp_path / name
        with av.open(str(file)) as source, av.open(str(path), "w", options=options) as out:
            targets = {
                s.index: out.add_stream_from_template(s, opaque=True) for s in source.streams
            }
            for packet in source.demux():
                if packet.dts is not None and change(packet) is not False:
                    packet.stream = targets[packet.stream_index]
                    out.mux(packet)
        return path

    return make


@pytest.fixture
def without_ts_packet():
    """(file, pid) -> an MPEG transport stream that loses one packet of a stream, in its middle."""

    def lose(path, pid=VIDEO_PID):
        data = path.read_bytes()
        packets = [data[i : i + TS_PACKET] for i in range(0, len(data), TS_PACKET)]
        places = [i for i, p in enumerate(packets) if int.from_bytes(p[1:3]) & 0x1FFF == pid]
        del packets[places[len(places) // 2]]
        path.write_bytes(b"".join(packets))
        return path

    return lose


def shift_by(seconds):
    """A change for `remux`: all packets later."""

    def change(packet):
        ticks = round(Fraction(seconds) / packet.time_base)
        packet.pts += ticks
        packet.dts += ticks

    return change
