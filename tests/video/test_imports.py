"""What the room asks of a machine that only trains: nothing."""

import subprocess
import sys


def test_training_data_needs_no_pyav():
    code = "import sys; sys.modules['av'] = None; import zoomin_d2.data, zoomin_d2.engine"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_names_are_there_when_used():
    import zoomin_d2.video as video

    assert {getattr(video, name).__name__ for name in video.__all__} == set(video.__all__)
