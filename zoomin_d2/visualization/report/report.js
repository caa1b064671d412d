// What moves on the report page. All numbers and paths come from the json in #data.
"use strict";
(() => {
  const { datasets, decimals, units } = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const option = (text, value) => make("option", { textContent: text, value });

  const format = (metric, value) => {
    if (value === null || value === undefined) return metric === "PSNR" ? "identical" : "–";
    if (typeof value === "string") return value;
    return value.toFixed(decimals[metric] ?? 3);
  };
  const withUnit = (metric, value) => {
    const text = format(metric, value);
    return units[metric] === "dB" && typeof value === "number" ? `${text} dB` : text;
  };

  // ---- every image ----------------------------------------------------------------------------
  const fillTable = (number) => {
    const dataset = datasets[number];
    const metric = document.querySelector(`.metric[data-dataset="${number}"]`).value;
    const words = document.querySelector(`.filter[data-dataset="${number}"]`).value.toLowerCase();
    const looked = new Map(dataset.triplets.map((triplet, i) => [triplet.name, i]));
    const rows = [];
    dataset.names.forEach((name, i) => {
      if (!name.toLowerCase().includes(words)) return;
      const first = make("td", { textContent: looked.has(name) ? "" : name });
      first.dataset.sort = name;
      if (looked.has(name)) {
        const button = make("button", { type: "button", textContent: name });
        button.addEventListener("click", () => {
          choose(number, looked.get(name));
          byId("look").scrollIntoView();
          byId("triplet").focus({ preventScroll: true });
        });
        first.append(button);
      }
      const cells = dataset.numbers[metric][i].map((value) => {
        const text = value === null ? "–" : format(metric, value);
        const cell = make("td", { className: "number", textContent: text });
        cell.dataset.sort = value === "identical" ? 1e9 : (value ?? "");
        return cell;
      });
      rows.push(make("tr", {}, first, ...cells));
    });
    const table = byId(`images-${number}`);
    table.tBodies[0].replaceChildren(...rows);
    table.querySelectorAll("th").forEach((th) => th.removeAttribute("aria-sort"));
    byId(`count-${number}`).textContent = `${rows.length} of ${dataset.names.length} images`;
  };
  datasets.forEach((_, number) => fillTable(number));
  document.querySelectorAll(".metric, .filter").forEach((input) => {
    input.addEventListener("input", () => fillTable(Number(input.dataset.dataset)));
  });

  // ---- the viewer -----------------------------------------------------------------------------
  if (!byId("look")) return;
  let triplet = null;
  let pinned = null; // index of the proposal that was clicked
  let shown = null; // index of the proposal whose zoom is shown
  let center = null; // where the zoom looks, as shares of the proposal

  const slider = byId("slider");
  const sources = () => {
    const list = [];
    const labels = { frame_1: "frame 1", frame_2: "frame 2", average: "average" };
    for (const [key, label] of Object.entries(labels)) {
      if (triplet.pictures[key] && !triplet.methods.some((m) => m.name === label)) list.push({ key, label, url: triplet.pictures[key] });
    }
    triplet.methods.forEach((method, i) => {
      list.push({ key: `method-${i}`, label: method.name, url: method.pictures.pred, method });
    });
    list.push({ key: "truth", label: "truth", url: triplet.pictures.truth });
    return list;
  };
  const source = (key) => sources().find((item) => item.key === key);

  const refill = (select, fallback) => {
    const before = select.value;
    const list = sources();
    select.replaceChildren(...list.map((item) => option(item.label, item.key)));
    select.value = list.some((item) => item.key === before) ? before : fallback;
  };

  const describe = (item) => {
    const psnr = item.method ? item.method.scores.PSNR : undefined;
    return psnr === undefined ? item.label : `${item.label}: ${withUnit("PSNR", psnr)}`;
  };
  const showPair = () => {
    for (const side of ["left", "right"]) {
      const item = source(byId(side).value);
      byId(`${side}-image`).src = item.url;
      byId(`${side}-image`).alt = item.label;
      byId(`${side}-caption`).textContent = describe(item);
    }
  };

  const showStage = () => {
    const item = source(byId("stage-source").value);
    byId("stage-image").src = item.url;
    byId("stage-image").alt = `${item.label} of ${triplet.name}`;
  };

  const crop = (item, roi, scores) => {
    const [x0, y0, x1, y1] = roi.box;
    const scale = Number(byId("scale").value);
    const isNarrow = matchMedia("(max-width: 48rem)").matches;
    const largest = isNarrow ? Math.floor((byId("zoom").clientWidth - 12) / 2) : 180;
    const width = Math.min((x1 - x0) * scale, largest);
    const height = Math.min((y1 - y0) * scale, largest);
    const position = (low, high, size, share) => {
      const middle = low + (high - low) * share;
      const from = Math.max(low, Math.min(middle - size / scale / 2, high - size / scale));
      return -Math.round(from) * scale;
    };
    const picture = make("div", { className: "crop" });
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", `${item.label}, magnified`);
    Object.assign(picture.style, {
      width: `${width}px`,
      height: `${height}px`,
      backgroundImage: `url("${item.url}")`,
      backgroundSize: `${triplet.width * scale}px ${triplet.height * scale}px`,
      backgroundPosition: `${position(x0, x1, width, center[0])}px ${position(y0, y1, height, center[1])}px`,
    });
    const lines = [item.label];
    for (const [metric, value] of Object.entries(scores ?? {})) {
      lines.push(`${metric} ${withUnit(metric, value)}`);
    }
    const caption = make("figcaption");
    lines.forEach((line, i) => caption.append(...(i ? [make("br"), line] : [make("b", {}, line)])));
    caption.style.width = `${Math.max(width, 100)}px`;
    return make("figure", {}, picture, caption);
  };

  const showZoom = (index, at) => {
    shown = index;
    const roi = triplet.rois[index];
    center = at ?? roi.focus;
    const [x0, y0, x1, y1] = roi.box;
    const title = make("p", {}, make("b", {}, `Proposal ${index + 1}`), `: ${x1 - x0} × ${y1 - y0} px`);
    const items = [source("truth"), ...sources().filter((item) => item.method || item.key === "average")];
    const figures = items.map((item) => {
      const number = triplet.methods.indexOf(item.method);
      return crop(item, roi, item.method ? roi.methods[number] : item.key === "average" ? roi.average : null);
    });
    byId("zoom").replaceChildren(title, ...figures);
    document.querySelectorAll(".roi").forEach((button, i) => {
      button.setAttribute("aria-pressed", String(i === index));
    });
  };

  const pointerShare = (event, button) => {
    const area = button.getBoundingClientRect();
    return [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height];
  };
  const addRoi = (roi, index) => {
    const [x0, y0, x1, y1] = roi.box;
    const button = make("button", { type: "button", className: "roi" }, make("span", {}, String(index + 1)));
    button.setAttribute("aria-label", `Proposal ${index + 1}`);
    button.setAttribute("aria-pressed", "false");
    const percent = (value, whole) => `${(100 * value) / whole}%`;
    Object.assign(button.style, {
      left: percent(x0, triplet.width),
      top: percent(y0, triplet.height),
      width: percent(x1 - x0, triplet.width),
      height: percent(y1 - y0, triplet.height),
      zIndex: 1000000 - (x1 - x0) * (y1 - y0), // the smaller lies above the larger
    });
    button.style.setProperty("--roi", roi.color);
    button.addEventListener("pointermove", (event) => {
      if (pinned === null || pinned === index) showZoom(index, pointerShare(event, button));
    });
    button.addEventListener("focus", () => { if (pinned === null) showZoom(index); });
    button.addEventListener("click", (event) => {
      pinned = pinned === index ? null : index;
      showZoom(index, event.detail ? pointerShare(event, button) : undefined);
    });
    button.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
      if (!step) return;
      event.preventDefault();
      showZoom(index, center.map((value, i) => Math.min(1, Math.max(0, value + step[i]))));
    });
    byId("stage").append(button);
  };

  const showRois = () => {
    pinned = shown = null;
    document.querySelectorAll(".roi").forEach((button) => button.remove());
    byId("zoom").replaceChildren(make("p", {}, "No proposals are saved for this triplet."));
    triplet.rois.forEach(addRoi);
    const moves = triplet.rois.map((roi) => roi.difficulty);
    if (moves.length) showZoom(moves.indexOf(Math.max(...moves)));
  };

  const showDetails = () => {
    const labels = { error: "Error", flow_1t: "Flow to frame 1", flow_2t: "Flow to frame 2", blend_mask: "Blend mask" };
    const parts = [];
    for (const [key, label] of Object.entries(labels)) {
      const methods = triplet.methods.filter((method) => method.pictures[key]);
      if (!methods.length) continue;
      const figures = methods.map((method) => {
        const isFlow = key.startsWith("flow");
        const text = isFlow ? `${method.name}, longest of both flows ${method.longest_flow.toFixed(1)} px` : method.name;
        const image = make("img", { src: method.pictures[key], alt: `${label} of ${method.name}` });
        return make("figure", {}, image, make("figcaption", {}, text));
      });
      parts.push(make("section", {}, make("h4", {}, label), make("div", { className: "maps" }, ...figures)));
    }
    byId("details").replaceChildren(...parts);
  };

  const bestMethod = () => {
    const psnr = triplet.methods.map(({ scores }) => ("PSNR" in scores ? (scores.PSNR ?? Infinity) : -1));
    return `method-${psnr.indexOf(Math.max(...psnr))}`;
  };
  const places = datasets.flatMap((dataset, number) => dataset.triplets.map((_, i) => [number, i]));
  const choose = (number, index) => {
    triplet = datasets[number].triplets[index];
    byId("triplet").value = `${number}/${index}`;
    refill(byId("left"), triplet.pictures.frame_1 ? "frame_1" : "truth");
    refill(byId("right"), bestMethod());
    refill(byId("stage-source"), "truth");
    showPair();
    showStage();
    showRois();
    showDetails();
  };
  const step = (by) => {
    const at = places.findIndex(([n, i]) => byId("triplet").value === `${n}/${i}`);
    choose(...places[(at + by + places.length) % places.length]);
  };

  datasets.forEach((dataset, number) => {
    if (!dataset.triplets.length) return;
    const group = make("optgroup", { label: dataset.name });
    const short = (name) => (name.startsWith(`${dataset.name}/`) ? name.slice(dataset.name.length + 1) : name);
    group.append(...dataset.triplets.map((item, i) => option(short(item.name), `${number}/${i}`)));
    byId("triplet").append(group);
  });
  byId("triplet").addEventListener("input", () => choose(...byId("triplet").value.split("/").map(Number)));
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  for (const side of ["left", "right"]) byId(side).addEventListener("input", showPair);
  byId("stage-source").addEventListener("input", showStage);
  byId("scale").addEventListener("input", () => { if (shown !== null) showZoom(shown, center); });
  slider.addEventListener("slide", () => slider.setAttribute("aria-valuenow", String(Math.round(slider.value))));
  choose(...places[0]);
})();
