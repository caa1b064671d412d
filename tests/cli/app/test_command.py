"""zoomin-app: its options, and how it ends."""

import pytest

from zoomin_d2.cli.app import command
from zoomin_d2.cli.app.jobs import Limits


def test_options_become_limits(monkeypatch):
    seen = []

    class Page:
        def launch(self, **options):
            seen.append(options)
            return None, "http://127.0.0.1:1/", None

        def block_thread(self):
            raise KeyboardInterrupt

    def build_app(queue, limits):
        seen.extend([queue, limits])
        return Page()

    monkeypatch.setattr(command, "build_app", build_app)
    monkeypatch.setattr(command, "launch_options", lambda: {"show_error": True})
    with pytest.raises(KeyboardInterrupt):
        command.entry_point(["--max-seconds", "5", "--max-pixels", "100", "--max-frames", "7"])
    queue, limits, options = seen
    assert limits == Limits(5.0, 100, 7)
    assert options["max_file_size"] == "500mb" and options["show_error"]
    assert not queue.folder.exists()  # however it ends


def test_without_gradio_one_line(monkeypatch):
    def build_app(queue, limits):
        raise ModuleNotFoundError("zoomin-app needs the package 'gradio'")

    monkeypatch.setattr(command, "build_app", build_app)
    with pytest.raises(SystemExit, match="needs the package 'gradio'"):
        command.entry_point([])


def test_a_port_in_use_is_named(monkeypatch):
    class Page:
        def launch(self, server_port, **_):
            raise OSError(f"Cannot find empty port in range: {server_port}-{server_port}.")

    monkeypatch.setattr(command, "build_app", lambda queue, limits: Page())
    monkeypatch.setattr(command, "launch_options", dict)
    with pytest.raises(SystemExit, match=r"127\.0\.0\.1, port 7899: choose another --port"):
        command.entry_point(["--port", "7899"])


@pytest.mark.parametrize("port", ["80000", "0", "x"])
def test_a_port_that_there_is_not(capsys, port):
    with pytest.raises(SystemExit):
        command.entry_point(["--port", port])
    assert f"a port is a number from 1 to 65535, not '{port}'" in capsys.readouterr().err
