// <zoomin-compare src still fps name>: one video that holds the source on its left half and the
// result on its right half, drawn as one picture with a divider. Both sides come from the same
// decoded frame, so they cannot drift apart.
const TEMPLATE = `
<style>
  :host { display: block; color: var(--body-text-color); }
  .stage { position: relative; cursor: ew-resize; touch-action: pan-y; user-select: none;
    margin: 0 auto; background: #000; }
  canvas { display: block; width: 100%; }
  .divider { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
    pointer-events: none; }
  .line { position: absolute; top: 0; bottom: 0; width: 4px; margin-left: -2px; background: #fff;
    box-shadow: 0 0 0 1px #000; pointer-events: none; }
  .line::after { content: "\\2194"; position: absolute; top: 50%; left: 2px; width: 44px;
    height: 44px; margin: -22px 0 0 -22px; border-radius: 50%; background: #fff; color: #000;
    box-shadow: 0 0 0 1px #000; font: 22px/44px sans-serif; text-align: center; }
  .divider:focus-visible ~ .line { background: #ffd400; }
  .divider:focus-visible ~ .line::after { background: #ffd400; box-shadow: 0 0 0 3px #000; }
  .side { position: absolute; top: 8px; padding: 2px 8px; border-radius: 4px; color: #fff;
    background: #000c; font-size: 14px; pointer-events: none; }
  .left { left: 8px; } .right { right: 8px; }
  .bar { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin: 8px 0; }
  button { min-width: 44px; min-height: 44px; padding: 0 14px; border-radius: 8px; cursor: pointer;
    border: 1px solid currentColor; background: transparent; color: inherit; font: inherit; }
  button:focus-visible { outline: 3px solid currentColor; outline-offset: 2px; }
  .time { flex: 1 1 6em; min-height: 44px; accent-color: #2563eb; }
  output { font-variant-numeric: tabular-nums; }
</style>
<div class="stage">
  <canvas role="img"></canvas>
  <span class="side left">Source</span><span class="side right">Result</span>
  <input class="divider" type="range" min="0" max="100" value="50"
    aria-label="Divider between source (left) and result (right)">
  <div class="line"></div>
</div>
<div class="bar">
  <button type="button" class="play">Play</button>
  <button type="button" class="step" value="-1" aria-label="Previous frame">&#9664;&#xFE0E;</button>
  <button type="button" class="step" value="1" aria-label="Next frame">&#9654;&#xFE0E;</button>
  <input class="time" type="range" min="0" step="any" value="0" aria-label="Time in the clip">
  <output></output>
</div>`;

class Compare extends HTMLElement {
  static observedAttributes = ["src"];

  attributeChangedCallback() {
    this.video?.pause();
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    root.innerHTML = TEMPLATE;
    const find = (selector) => root.querySelector(selector);
    this.canvas = find("canvas");
    this.divider = find(".divider");
    this.line = find(".line");
    this.time = find(".time");
    this.shown = find("output");
    this.button = find(".play");
    this.canvas.setAttribute("aria-label", `Source and result of ${this.getAttribute("name")}`);
    this.stage = find(".stage");
    this.listen(this.stage, root.querySelectorAll(".step"));
    this.open();
  }

  disconnectedCallback() {
    this.video.pause();
  }

  open() {
    const video = (this.video = document.createElement("video"));
    Object.assign(video, { muted: true, loop: true, playsInline: true, preload: "auto" });
    video.addEventListener("loadedmetadata", () => {
      this.canvas.width = video.videoWidth / 2;
      this.canvas.height = video.videoHeight;
      // As wide as the page, unless that is too high for the window.
      this.stage.style.width = `min(100%, ${(70 * this.canvas.width) / this.canvas.height}vh)`;
      this.time.max = video.duration;
      this.seek(Number(this.getAttribute("still")));
    });
    for (const event of ["loadeddata", "seeked", "pause"])
      video.addEventListener(event, () => this.draw());
    for (const event of ["play", "pause"])
      video.addEventListener(event, () => {
        this.button.textContent = video.paused ? "Play" : "Pause";
        if (!video.paused) this.follow();
      });
    video.src = this.getAttribute("src");
  }

  listen(stage, steps) {
    this.button.addEventListener("click", () =>
      this.video.paused ? this.video.play() : this.video.pause());
    for (const button of steps)
      button.addEventListener("click", () => this.step(Number(button.value)));
    this.time.addEventListener("input", () => this.seek(Number(this.time.value)));
    this.divider.addEventListener("input", () => this.draw());
    // By hand: not every browser moves a range to where its track is touched.
    const move = (event) => {
      if (!event.buttons) return;
      const box = stage.getBoundingClientRect();
      this.divider.value = (100 * (event.clientX - box.left)) / box.width;
      this.draw();
    };
    stage.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      this.divider.focus({ preventScroll: true, focusVisible: false });
      stage.setPointerCapture(event.pointerId);
      move(event);
    });
    stage.addEventListener("pointermove", move);
  }

  seek(seconds) {
    this.video.currentTime = Math.min(Math.max(seconds, 0), this.video.duration);
  }

  step(frames) {
    const [top, bottom = 1] = this.getAttribute("fps").split("/").map(Number);
    const length = bottom / top;
    this.video.pause();
    // The middle of a frame: its first tick may count as the frame before.
    this.seek((Math.floor(this.video.currentTime / length + 1e-6) + frames + 0.5) * length);
  }

  follow() {
    this.draw();
    if (!this.video.paused && this.isConnected) requestAnimationFrame(() => this.follow());
  }

  draw() {
    const { width, height } = this.canvas;
    const share = this.divider.value / 100;
    const split = Math.round(width * share);
    const pen = this.canvas.getContext("2d");
    if (this.video.readyState >= 2) {
      pen.drawImage(this.video, width, 0, width, height, 0, 0, width, height);
      if (split) pen.drawImage(this.video, 0, 0, split, height, 0, 0, split, height);
    }
    this.line.style.left = `${100 * share}%`;
    this.divider.setAttribute("aria-valuetext", `${Math.round(100 * share)} % source`);
    this.time.value = this.video.currentTime;
    this.shown.textContent = `${this.video.currentTime.toFixed(2)} s`;
  }
}

customElements.define("zoomin-compare", Compare);
