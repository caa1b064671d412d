"""The page: Gradio's inputs, and the queue and the result as HTML of our own."""

import os
import secrets
from functools import partial
from pathlib import Path
from typing import Any

from zoomin_d2.cli.app.job_queue import Entry, JobQueue
from zoomin_d2.cli.app.jobs import (
    EXPECTED_ERRORS,
    RATE,
    SLOWER,
    SMOOTHER,
    Choices,
    Limits,
    check_clip,
    for_a_visitor,
    interpolate_clip,
    interpolate_images,
    make_target,
    model_choices,
)
from zoomin_d2.cli.app.markup import queue_html, result_html
from zoomin_d2.extras import extra

# Set before gradio is imported: otherwise it checks for updates and reports each launch.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

TITLE = "zoomin_d2: video frame interpolation"
HERE = Path(__file__).parent
# The meaning of the number beside each choice, and what is offered; any other can be typed.
NUMBERS = {
    SMOOTHER: ("Times as many frames", ["2", "3", "4", "8"]),
    RATE: ("Frames per second", ["60", "48", "50", "59.94", "120"]),
    SLOWER: ("Times as long", ["4", "2", "8"]),
}
UNSURE = [
    ("keep what the model made", "keep"),
    ("show the nearest frame", "nearest"),
    ("blend both frames", "blend"),
]
NO_MASK = "Add a mask (an image, white where nothing may move)"
REFRESH = 1.0  # seconds
UPLOADS_KEPT = 3600  # seconds
ON_CLICK = """element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-action]");
  if (button) trigger("click", {action: button.dataset.action, id: Number(button.dataset.id)});
});"""


def build_app(queue: JobQueue, limits: Limits | None = None):
    """The page; `launch()` serves it.

    Args:
        queue: runs the jobs; closed by the caller when the page is.

    Raises:
        ModuleNotFoundError: gradio is not installed; the message says what to install.
    """
    with extra("app", "zoomin-app"):
        import gradio as gr
    limits = limits or Limits()
    # The names in this folder cannot be guessed: each visitor learns only their own.
    gr.set_static_paths([str(queue.folder)])

    def told(error: Exception) -> gr.Error:
        """A message on the page, without a traceback in the terminal."""
        return gr.Error(for_a_visitor(str(error)), duration=None, print_exception=False)

    def work(choices: Choices, entry: Entry, progress):
        clip, *others = entry.files
        mask = others[0] if others else None
        return interpolate_clip(clip, mask, choices, limits, entry.folder, progress, entry.stop)

    def choose(visitor, uploads):
        visitor = visitor or secrets.token_urlsafe(16)
        for clip in map(Path, uploads or []):
            queue.choose(visitor, clip, partial(check_clip, limits=limits))
        return visitor, None

    def check_start(entry: Entry, choices: Choices) -> None:
        try:
            check_clip(entry.files[0], limits, choices.target)
        except EXPECTED_ERRORS as error:
            raise ValueError(f"{entry.name}: {error}") from error

    def start(visitor, mask, kind, value, *chosen):
        try:
            choices = Choices(make_target(kind, value), *chosen)
            entries = [e for e in queue.entries(visitor or "") if e.state == "chosen"]
            if not entries:
                raise ValueError("Add clips first.")
            for entry in entries:
                check_start(entry, choices)
            for entry in entries:
                files = [Path(mask)] if mask else []
                queue.start(entry, str(choices), partial(work, choices), files)
        except EXPECTED_ERRORS as error:
            raise told(error) from error

    def refresh(visitor, shown):
        entries = queue.entries(visitor or "")
        done = [entry for entry in entries if entry.state == "done"]
        # What a visitor looks at stays, until it is removed.
        now = next((e for e in done if e.id == shown), done[-1] if done else None)
        listed = queue_html([(e, queue.num_ahead(e)) for e in entries], now.id if now else None)
        is_new = (now.id if now else None) != shown
        return listed, result_html(now) if is_new else gr.skip(), now.id if now else None

    def act(visitor, shown, event: gr.EventData):
        if event.action == "cancel":
            queue.cancel(visitor or "", event.id)
            return refresh(visitor, shown)
        entries = [e for e in queue.entries(visitor or "") if e.id == event.id]
        if not entries:
            return refresh(visitor, shown)
        listed, _, shown = refresh(visitor, event.id)
        return listed, result_html(entries[0]), shown

    def run_images(first, second, num, model, draw):
        try:
            if ahead := queue.num_ahead():
                gr.Info(f"Jobs before it: {ahead}")
            ask = partial(interpolate_images, first, second, int(num), model, draw, limits)
            made = queue.run(ask)
            return gr.Gallery(made, visible=True)
        except EXPECTED_ERRORS as error:
            raise told(error) from error

    def numbers_of(kind):
        label, values = NUMBERS[kind]
        return gr.Dropdown(values, value=values[0], label=label)

    def name_mask(mask):
        label = f"Mask: {Path(mask).name}" if mask else NO_MASK
        return gr.UploadButton(label, value=mask), gr.Button(visible=bool(mask))

    def model_choice():
        choices = model_choices()
        return gr.Dropdown(choices, value=choices[0][1], label="Model", filterable=False)

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, UPLOADS_KEPT)) as app:
        visitor, shown = gr.BrowserState(None, storage_key="zoomin-app"), gr.State(None)
        gr.Markdown(
            f"# {TITLE}\nClips of at most {limits.seconds:g} s and {limits.pixels / 1e6:.1f} "
            "megapixels per frame, or two images. Audio and timing are kept. For longer clips, use "
            "`zoomin-interpolate` on the command line."
        )
        with gr.Tab("Clips"), gr.Row():
            with gr.Column():
                uploads = gr.File(
                    label="Add clips",
                    file_count="multiple",
                    file_types=["video", ".mkv", ".gif"],
                    height=160,
                    elem_id="clips",
                )
                kind = gr.Radio([SMOOTHER, RATE, SLOWER], value=SMOOTHER, label="Make it")
                value = gr.Dropdown(
                    NUMBERS[SMOOTHER][1],
                    value="2",
                    label=NUMBERS[SMOOTHER][0],
                    allow_custom_value=True,
                    elem_id="value",
                )
                model = model_choice()
                quality = gr.Radio(
                    ["standard", "best"],
                    value="standard",
                    label="Quality",
                    info="“best” takes four times as long",
                )
                with gr.Accordion("Scene cuts, text, proposals", open=False):
                    cuts = gr.Checkbox(True, label="Find scene cuts, and keep them")
                    keep_still = gr.Checkbox(True, label="Keep text, logos and still pixels still")
                    unsure = gr.Radio(UNSURE, value="keep", label="Where the model is unsure")
                    mask = gr.UploadButton(NO_MASK, file_types=["image"], elem_id="mask")
                    no_mask = gr.Button("Remove the mask", visible=False)
                    draw = gr.Checkbox(False, label="Draw object proposals")
                go = gr.Button("Interpolate", variant="primary", elem_id="go")
            with gr.Column(scale=2):
                listed = gr.HTML(elem_id="queue", js_on_load=ON_CLICK)
                result = gr.HTML(elem_id="result", js_on_load=None)
        with gr.Tab("Two images"):
            with gr.Row():
                first = gr.Image(label="Frame 1", sources=["upload"], elem_id="first")
                second = gr.Image(label="Frame 2", sources=["upload"], elem_id="second")
            with gr.Row():
                num = gr.Slider(1, 15, 1, step=1, label="Frames between them")
                image_model = model_choice()
                image_draw = gr.Checkbox(False, label="Draw object proposals")
            go_images = gr.Button("Interpolate", variant="primary", elem_id="go-images")
            # Hidden while empty: Gradio names its empty state in a way that axe rejects.
            gallery = gr.Gallery(
                label="Result", columns=3, object_fit="contain", elem_id="gallery", visible=False
            )
            image_inputs = [first, second, num, image_model, image_draw]
            go_images.click(run_images, image_inputs, gallery, concurrency_limit=1)
        kind.change(numbers_of, kind, value)
        view = [listed, result, shown]
        quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
        wanted = [mask, kind, value, model, quality, cuts, keep_still, unsure, draw]
        refreshed: dict[str, Any] = {
            "fn": refresh,
            "inputs": [visitor, shown],
            "outputs": view,
            **quiet,
        }
        uploads.upload(choose, [visitor, uploads], [visitor, uploads]).then(**refreshed)
        go.click(start, [visitor, *wanted], None).success(**refreshed)
        mask.upload(name_mask, mask, [mask, no_mask])
        no_mask.click(lambda: name_mask(None), None, [mask, no_mask])
        listed.click(act, [visitor, shown], view, **quiet)
        gr.Timer(REFRESH).tick(**refreshed)
    return app


def launch_options() -> dict:
    """Options of every launch: our own style and script, no fonts from other servers, error
    messages shown."""
    import gradio as gr

    # Gradio's own orange and gray are too light to read: below WCAG's 4.5 : 1.
    theme = gr.themes.Default(
        primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["monospace"]
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        body_text_color_subdued="*neutral_600",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        body_text_color_subdued_dark="*neutral_300",
    )
    script = f"<script>{(HERE / 'compare.js').read_text()}</script>"
    options = {"theme": theme, "css_paths": [HERE / "page.css"], "head": script}
    return options | {"show_error": True, "footer_links": [], "ssr_mode": False}
