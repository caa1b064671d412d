"""zoomin-app: a page in the browser that interpolates a clip, or between two images."""

import argparse
import os
import re
import sys
import tempfile
import threading
from pathlib import Path

from zoomin_d2.cli.app_jobs import (
    RATE,
    SLOWER,
    SMOOTHER,
    Limits,
    interpolate_clip,
    interpolate_images,
    make_target,
    model_choices,
)
from zoomin_d2.extras import extra
from zoomin_d2.video.errors import VideoError

# Set before gradio is imported: otherwise it checks for updates and reports each launch.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

TITLE = "zoomin_d2: video frame interpolation"
# The meaning of the number beside each choice, and its initial value.
NUMBERS = {SMOOTHER: ("Times as many frames", 2), RATE: ("Frames per second", 60)}
NUMBERS[SLOWER] = ("Times as long", 4)


def build_app(limits: Limits | None = None):
    """The page; `launch()` serves it.

    Raises:
        ModuleNotFoundError: gradio is not installed; the message says what to install.
    """
    with extra("app", "zoomin-app"):
        import gradio as gr
    limits = limits or Limits()
    choices = model_choices()
    stops: dict[str | None, threading.Event] = {}  # session -> its running job
    # Deleted when the app ends; the page keeps copies of what it shows.
    results = tempfile.TemporaryDirectory(prefix="zoomin-app-")

    def told(error: Exception) -> gr.Error:
        """A message on the page, without a traceback in the terminal."""
        return gr.Error(_for_a_visitor(error), duration=None, print_exception=False)

    def run_clip(upload, kind, value, model, draw, request: gr.Request, progress=gr.Progress()):  # noqa: B008
        if not upload:
            raise told(ValueError("Upload a clip first."))
        stop = stops[request.session_hash] = threading.Event()
        progress(0, desc="Loading the model")

        def tell(done: int, total: int) -> None:
            progress((done, total or None), desc="Interpolating", unit="frames")

        try:
            target = make_target(kind, value)
            folder = Path(results.name)
            return interpolate_clip(upload, target, model, draw, limits, folder, tell, stop)
        except (ValueError, VideoError, OSError, ModuleNotFoundError) as error:
            raise told(error) from error
        finally:
            stops.pop(request.session_hash, None)

    def stop_clip(request: gr.Request) -> None:
        if request.session_hash in stops:
            stops[request.session_hash].set()

    def run_images(first, second, num, model, draw):
        try:
            return interpolate_images(first, second, int(num), model, draw, limits)
        except (ValueError, OSError, ModuleNotFoundError) as error:
            raise told(error) from error

    def model_choice():
        return gr.Dropdown(choices, value=choices[0][1], label="Model")

    with gr.Blocks(title=TITLE, analytics_enabled=False) as app:
        gr.Markdown(
            f"# {TITLE}\nUpload a clip of at most {limits.seconds:g} s and "
            f"{limits.pixels / 1e6:.1f} megapixels per frame, or two images. Audio and timing are "
            "kept; frames are not interpolated across scene cuts. For longer clips, use "
            "`zoomin-interpolate` on the command line."
        )
        with gr.Tab("Clip"):
            with gr.Row():
                upload = gr.Video(label="Your clip", sources=["upload"], elem_id="clip")
                result = gr.Video(
                    label="Result", interactive=False, autoplay=True, elem_id="result"
                )
            with gr.Row():
                kind = gr.Radio([SMOOTHER, RATE, SLOWER], value=SMOOTHER, label="Make it")
                value = gr.Number(2, label=NUMBERS[SMOOTHER][0], minimum=1, elem_id="value")
                model = model_choice()
                draw = gr.Checkbox(False, label="Draw object proposals")
            with gr.Row():
                go = gr.Button("Interpolate", variant="primary")
                halt = gr.Button("Stop")
            words = gr.Markdown(elem_id="words")
            inputs = [upload, kind, value, model, draw]
            go.click(run_clip, inputs, [result, words], concurrency_limit=1)
            halt.click(stop_clip, None, None, queue=False)
            kind.change(lambda k: gr.Number(NUMBERS[k][1], label=NUMBERS[k][0]), kind, value)
        with gr.Tab("Two images"):
            with gr.Row():
                first = gr.Image(label="Frame 1", sources=["upload"], elem_id="first")
                second = gr.Image(label="Frame 2", sources=["upload"], elem_id="second")
            with gr.Row():
                num = gr.Slider(1, 15, 1, step=1, label="Frames between them")
                image_model = model_choice()
                image_draw = gr.Checkbox(False, label="Draw object proposals")
            go_images = gr.Button("Interpolate", variant="primary", elem_id="go-images")
            gallery = gr.Gallery(label="Result", columns=3, object_fit="contain", elem_id="gallery")
            image_inputs = [first, second, num, image_model, image_draw]
            go_images.click(run_images, image_inputs, gallery, concurrency_limit=1)
    return app


def _for_a_visitor(error: Exception) -> str:
    """The message, with the server's paths reduced to file names."""
    return re.sub(r"(?:[A-Za-z]:)?(?:[/\\][^/\\\s'\"]+)+[/\\]([^/\\\s'\"]+)", r"\1", str(error))


def launch_options() -> dict:
    """Options of every launch: no fonts from other servers, error messages shown."""
    import gradio as gr

    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    return {"theme": theme, "show_error": True, "footer_links": [], "ssr_mode": False}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of the command."""
    parser = argparse.ArgumentParser(prog="zoomin-app", description=__doc__)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to serve on; 0.0.0.0 also serves other computers (default: 127.0.0.1)",
    )
    parser.add_argument("--port", type=int, help="default: the first free port from 7860 up")
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


def entry_point(argv: list[str] | None = None) -> None:
    """The command; serves until it is stopped."""
    args = parse_args(argv)
    try:
        app = build_app(Limits(args.max_seconds, args.max_pixels, args.max_frames))
    except ModuleNotFoundError as error:
        sys.exit(str(error))
    # Gradio's own messages mention options that this command does not have.
    _, url, _ = app.launch(
        server_name=args.host,
        server_port=args.port,
        inbrowser=args.open,
        max_file_size=args.max_upload,
        quiet=True,
        prevent_thread_lock=True,
        **launch_options(),
    )
    print(f"zoomin-app: open {url} in a browser; Ctrl-C stops it", flush=True)
    app.block_thread()
