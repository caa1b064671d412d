"""zoomin-app: a page in the browser that interpolates clips, or between two images."""

import argparse
import sys

from zoomin_d2.cli.app.job_queue import JobQueue
from zoomin_d2.cli.app.jobs import Limits
from zoomin_d2.cli.app.page import build_app, launch_options


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of the command."""
    parser = argparse.ArgumentParser(prog="zoomin-app", description=__doc__)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to serve on; 0.0.0.0 also serves other computers (default: 127.0.0.1)",
    )
    parser.add_argument(
        "--port", type=_port, help="1 to 65535 (default: the first free one from 7860 up)"
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    limits = Limits()
    default = "(default: %(default)s)"
    parser.add_argument(
        "--max-seconds", type=float, default=limits.seconds, help=f"longest clip {default}"
    )
    parser.add_argument(
        "--max-pixels", type=int, default=limits.pixels, help=f"pixels per frame {default}"
    )
    parser.add_argument(
        "--max-frames", type=int, default=limits.frames, help=f"frames of a result {default}"
    )
    parser.add_argument("--max-upload", default="500mb", help=f"size of an upload {default}")
    return parser.parse_args(argv)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to 65535, not '{text}'")
    return int(text)


def entry_point(argv: list[str] | None = None) -> None:
    """The command; serves until it is stopped."""
    args = parse_args(argv)
    limits = Limits(args.max_seconds, args.max_pixels, args.max_frames)
    with JobQueue() as queue:
        try:
            app = build_app(queue, limits)
        except ModuleNotFoundError as error:
            sys.exit(str(error))
        # Gradio's own messages mention options that this command does not have.
        try:
            _, url, _ = app.launch(
                server_name=args.host,
                server_port=args.port,
                inbrowser=args.open,
                max_file_size=args.max_upload,
                quiet=True,
                prevent_thread_lock=True,
                **launch_options(),
            )
        except OSError as error:
            where = f"{args.host}, port {args.port}" if args.port else args.host
            sys.exit(f"zoomin-app: cannot serve on {where}: choose another --port ({error})")
        print(f"zoomin-app: open {url} in a browser; Ctrl-C stops it", flush=True)
        app.block_thread()
