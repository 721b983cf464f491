// The plane: one flat cell a measured point, borders with their intervals, a cursor.

const state = { quantity: "", point: {}, open: false };
let drawing = null;  // what the map on the screen was made of: for the pointer, and to redraw

const PLANE = DOC.plane;
const MAP = { left: 66, bottom: 56, top: 10, right: 12 };

/** Axes beside those of the plane that a quantity varies with. */
function furtherAxes() {
  const found = [];
  const add = (name) => {
    if (!PLANE.includes(name) && sizeOf(name) > 1 && !found.includes(name)) found.push(name);
  };
  DOC.panels.forEach((one) => Object.keys(one.index).forEach(add));
  const order = [...DOC.order, ...Object.keys(DOC.observables)];
  for (const name of order) if (DOC.observables[name]) DOC.observables[name].dims.forEach(add);
  return found;
}

/** Axes that what is shown varies with: those of the plane, and those that have a slider. */
function shownAxes() {
  const found = new Set([...PLANE, ...DOC.panels.flatMap((one) => Object.keys(one.index))]);
  const id = state.quantity.slice(state.quantity.indexOf(":") + 1);
  for (const name of [id, state.curves, ...DOC.order]) {
    if (DOC.observables[name]) DOC.observables[name].dims.forEach((dim) => found.add(dim));
  }
  return found;
}

/** All that a map can show: [{id, title, group}]. */
function quantities() {
  const found = [];
  if (DOC.panels.length) {
    found.push({ id: "phase", title: "phase", group: "phases" });
    for (const [name, about] of Object.entries(DOC.quantities)) {
      const of = about.of ? `${DOC.quantities[about.of].title}: ` : "";
      found.push({ id: `cell:${name}`, title: of + about.title, group: about.of ? "fits" : "numbers of a cell" });
      for (const end of about.with.filter((e) => e === "_error")) {
        found.push({ id: `cell:${name}${end}`, title: `${about.title}: error`, group: "errors" });
      }
    }
  }
  for (const [name, about] of Object.entries(DOC.observables)) {
    const unit = about.unit === "1" || about.label.includes(about.unit) ? "" : ` (${about.unit})`;
    found.push({ id: `mean:${name}`, title: `${about.label}${unit}`, group: "measured" });
    found.push({ id: `error:${name}`, title: `${about.label}: error of the mean`, group: "errors" });
  }
  return found;
}

/** Values of a quantity over the plane at the point of the sliders: [x][y], NaN where unknown. */
async function valuesOver(id, point) {
  const [xs, ys] = [sizeOf(PLANE[0]), PLANE[1] ? sizeOf(PLANE[1]) : 1];
  const [kind, name] = id.includes(":") ? [id.slice(0, id.indexOf(":")), id.slice(id.indexOf(":") + 1)] : [id, ""];
  let dims = [];
  let numbers = null;
  const panel = panelAt(point);
  if (kind === "phase" || kind === "cell") {
    const column = kind === "phase" ? (panel && panel.columns.likely ? "likely" : "phase") : name;
    if (panel && panel.columns[column]) {
      dims = panel.dims;
      numbers = await array(panel.columns[column].array);
    }
  } else if (DOC.observables[name]) {
    dims = DOC.observables[name].dims;
    numbers = await array(DOC.observables[name][kind]);
  }
  return Array.from({ length: xs }, (_, i) => Array.from({ length: ys }, (_, j) => {
    if (!numbers) return NaN;
    const at = { ...point, [PLANE[0]]: i };
    if (PLANE[1]) at[PLANE[1]] = j;
    return numbers[place(dims, at)];
  }));
}

/** Which cells are hatched (no phase), crossed (doubted) and measured at all. */
async function marksOver(point) {
  const panel = panelAt(point);
  if (!panel) return null;
  const one = async (name) => panel.columns[name] && array(panel.columns[name].array);
  const [phase, doubted, measured] = await Promise.all([one("phase"), one("doubted"), array(panel.measured)]);
  return (i, j) => {
    const at = { [PLANE[0]]: i };
    if (PLANE[1]) at[PLANE[1]] = j;
    const k = place(panel.dims, at);
    return {
      measured: measured[k] === 1,
      hatched: measured[k] === 1 && phase[k] === 0,
      crossed: Boolean(doubted) && measured[k] === 1 && doubted[k] === 1,
    };
  };
}

/** How numbers become colours: {colour(v), low, high, kind}. */
function colouring(id, values) {
  if (id === "phase") return { kind: "phase", colour: (code) => DOC.phases[code] && (code ? DOC.phases[code].colour : null) };
  const known = values.flat().filter(Number.isFinite);
  if (!known.length) return { kind: "none", colour: () => null };
  let [low, high] = [Math.min(...known), Math.max(...known)];
  if (low < 0 && high > 0) {
    const most = Math.max(-low, high);
    return { kind: "signed", low: -most, high: most, colour: (v) => !Number.isFinite(v) ? null : shade("signed", 0.5 + v / most / 2) };
  }
  const log = low > 0 && high / low > 100;
  const f = log ? Math.log : (v) => v;
  const [a, b] = [f(low), f(high)];
  return { kind: log ? "log" : "linear", low, high, colour: (v) => !Number.isFinite(v) ? null : shade("values", b > a ? (f(v) - a) / (b - a) : 0.5) };
}

/** Where a value stands on a drawn axis, in units of its cells; an open end at its edge. */
function stands(axis, value) {
  const about = DOC.axes[axis];
  const edges = about.edges;
  if (!about.numbers) return about.centres[about.values.indexOf(value)] ?? edges[0];
  if (value === Infinity) return edges[edges.length - 1];
  if (value === -Infinity) return edges[0];
  const pairs = about.values.map((v, i) => [scaled(v, about.scale), about.centres[i]]).sort((a, b) => a[0] - b[0]);
  const at = scaled(value, about.scale);
  if (!(at > pairs[0][0])) return pairs.length > 1 ? pairs[0][1] : edges[0];
  for (let i = 1; i < pairs.length; i += 1) {
    if (at <= pairs[i][0]) {
      const [[a, p], [b, q]] = [pairs[i - 1], pairs[i]];
      return p + ((at - a) / (b - a)) * (q - p);
    }
  }
  return pairs[pairs.length - 1][1];
}

function notToScale(axis) {
  const about = DOC.axes[axis];
  return about.numbers && about.values.length > 1 && about.values.some((v, i) => Math.abs(scaled(v, about.scale) - about.centres[i]) > 1e-9);
}

function axisTitle(axis) {
  return DOC.axes[axis].label + (notToScale(axis) ? " (not to scale)" : "");
}

/** Draw the map into its figure, at the width that there is. */
async function drawMap() {
  const holder = document.getElementById("map");
  if (!holder || !PLANE.length) return;
  const flat = PLANE.length === 1;
  const W = state.printing ? 480 : Math.max(280, Math.min(holder.clientWidth || 600, 720));
  const H = flat ? 118 : Math.max(300, Math.min(Math.round(W * 0.82), 580));
  const box = { x: MAP.left, y: MAP.top, w: W - MAP.left - MAP.right, h: H - MAP.top - MAP.bottom };
  const [X, Y] = [DOC.axes[PLANE[0]], flat ? { edges: [-0.5, 0.5], centres: [0], values: [""] } : DOC.axes[PLANE[1]]];
  const along = (axis, from, length) => {
    const [a, b] = [axis.edges[0], axis.edges[axis.edges.length - 1]];
    return (v) => from + ((v - a) / (b - a)) * length;
  };
  const px = along(X, 0, box.w);
  const py = along(Y, box.h, -box.h);
  const point = { ...state.point };
  const wanted = state.quantity;
  const [values, marks] = await Promise.all([valuesOver(wanted, point), marksOver(point)]);
  if (wanted !== state.quantity) return;  // another was chosen since
  const colours = colouring(wanted, values);
  let canvas = holder.querySelector("canvas");
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(box.w * ratio);
  canvas.height = Math.round(box.h * ratio);
  Object.assign(canvas.style, { left: `${box.x}px`, top: `${box.y}px`, width: `${box.w}px`, height: `${box.h}px` });
  holder.style.height = `${H}px`;
  const g = canvas.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  const style = getComputedStyle(document.documentElement);
  const paper = style.getPropertyValue("--paper").trim();
  const ink = style.getPropertyValue("--ink").trim();
  g.fillStyle = paper;
  g.fillRect(0, 0, box.w, box.h);
  const rects = [];
  for (let i = 0; i < X.values.length; i += 1) {
    rects.push([]);
    for (let j = 0; j < Y.values.length; j += 1) {
      const [x0, x1] = [px(X.edges[i]), px(X.edges[i + 1])].sort((a, b) => a - b);
      const [y0, y1] = [py(Y.edges[j]), py(Y.edges[j + 1])].sort((a, b) => a - b);
      const rect = { x: Math.round(x0), y: Math.round(y0), w: Math.round(x1) - Math.round(x0), h: Math.round(y1) - Math.round(y0) };
      rects[i].push(rect);
      const mark = marks ? marks(i, j) : { measured: !Number.isNaN(values[i][j]) };
      const colour = mark.measured || !Number.isNaN(values[i][j]) ? colours.colour(values[i][j]) : null;
      const measured = mark.measured || (wanted !== "phase" && !Number.isNaN(values[i][j]));
      if (colour && measured) {
        g.fillStyle = colour;
        g.fillRect(rect.x, rect.y, rect.w, rect.h);
      }
      if (mark.hatched) hatch(g, rect, colour ? luminance(colour) < 0.45 ? "#ffffffb0" : "#00000075" : ink);
      if (mark.crossed) cross(g, rect, colour && luminance(colour) < 0.35 ? "#ffffff" : colour ? "#000000" : ink);
      if (!measured) gone(g, rect, style.getPropertyValue("--quiet").trim());
      else if (Math.abs(values[i][j]) === Infinity) infinite(g, rect, ink, values[i][j]);
    }
  }
  const overlay = svg("svg", { class: "overlay", viewBox: `0 0 ${W} ${H}`, width: W, height: H, "aria-hidden": "true" });
  overlay.append(svg("rect", { class: "frame", x: box.x, y: box.y, width: box.w, height: box.h }));
  axisTicks(overlay, X, box, (v) => box.x + px(v), true, W);
  if (!flat) axisTicks(overlay, Y, box, (v) => box.y + py(v), false, H);
  overlay.append(svg("text", { class: "label", x: box.x + box.w / 2, y: H - 12, "text-anchor": "middle" }, richSvg(axisTitle(PLANE[0]))));
  if (!flat) overlay.append(svg("text", { class: "label", x: 16, y: box.y + box.h / 2, "text-anchor": "middle", transform: `rotate(-90 16 ${box.y + box.h / 2})` }, richSvg(axisTitle(PLANE[1]))));
  drawBorders(overlay, panelAt(point), box, px, py, flat);
  const cursor = svg("rect", { class: "cursor", rx: 1 });
  overlay.append(cursor);
  holder.querySelectorAll("svg.overlay").forEach((old) => old.remove());
  holder.append(overlay);
  drawing = { rects, box, values, cursor, colours };
  moveCursor();
  drawKey(colours, marks);
}

function luminance(colour) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16) / 255);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function hatch(g, { x, y, w, h }, colour) {
  g.save();
  g.beginPath();
  g.rect(x, y, w, h);
  g.clip();
  g.strokeStyle = colour;
  g.lineWidth = 1;
  g.beginPath();
  const step = 6;
  for (let c = Math.floor((x + y) / step) * step; c <= x + y + w + h; c += step) {
    g.moveTo(c - y, y);
    g.lineTo(c - y - h, y + h);
  }
  g.stroke();
  g.restore();
}

function cross(g, { x, y, w, h }, colour) {
  const r = Math.min(4, w / 3, h / 3);
  const [cx, cy] = [x + w / 2, y + h / 2];
  g.strokeStyle = colour;
  g.lineWidth = 1.2;
  g.beginPath();
  g.moveTo(cx - r, cy - r);
  g.lineTo(cx + r, cy + r);
  g.moveTo(cx - r, cy + r);
  g.lineTo(cx + r, cy - r);
  g.stroke();
}

function gone(g, { x, y, w, h }, colour) {
  g.fillStyle = colour;
  g.beginPath();
  g.arc(x + w / 2, y + h / 2, 1.5, 0, 7);
  g.fill();
}

function infinite(g, { x, y, w, h }, colour, value) {
  g.fillStyle = colour;
  g.font = `${Math.max(8, Math.min(15, h))}px sans-serif`;
  g.textAlign = "center";
  g.textBaseline = "middle";
  g.fillText(short(value), x + w / 2, y + h / 2);
}

function axisTicks(overlay, axis, box, at, across, room) {
  const every = [];
  let last = -Infinity;
  axis.values.forEach((value, i) => {
    const where = at(axis.centres[i]);
    const text = valueText(axis, i);
    const half = across ? 3.5 * text.length + 5 : 8;
    every.push({ where, text, half });
  });
  every.sort((a, b) => a.where - b.where);
  for (const { where, text, half } of every) {
    if (across) overlay.append(svg("line", { class: "tickmark", x1: where, x2: where, y1: box.y + box.h, y2: box.y + box.h + 4 }));
    else overlay.append(svg("line", { class: "tickmark", x1: box.x - 4, x2: box.x, y1: where, y2: where }));
    if (where - half < last) continue;
    last = where + half;
    overlay.append(across
      ? svg("text", { class: "tick", x: where, y: box.y + box.h + 17, "text-anchor": "middle" }, text)
      : svg("text", { class: "tick", x: box.x - 7, y: where, dy: "0.32em", "text-anchor": "end" }, clipped(text, 9)));
  }
}

/** Borders: a point with its interval each, joined; an open end is an arrow. */
function drawBorders(overlay, panel, box, px, py, flat) {
  if (!panel || state.bare) return;
  const likely = Boolean(panel.columns.likely);
  const pairs = new Set(panel.boundaries.map((b) => b.between.join("|")));
  if (likely && pairs.size > 1) return;  // those of several pairs would hide each other
  const clip = svg("clipPath", { id: "map-clip" }, svg("rect", { x: box.x - 5, y: box.y - 5, width: box.w + 10, height: box.h + 10 }));
  const g = svg("g", { "clip-path": "url(#map-clip)", class: "borders" });
  overlay.append(clip, g);
  const families = new Map();
  for (const [k, border] of panel.boundaries.entries()) {
    const e = border.estimate;
    const ends = ends3(e, border);
    if (!PLANE.includes(border.along) || ends === null) continue;
    const id = `${border.along}|${border.quantity}|${border.between}`;
    if (!families.has(id)) families.set(id, []);
    families.get(id).push({ border, place: panel.places[k], ...ends });
  }
  for (const members of families.values()) {
    const upright = !flat && members[0].border.along === PLANE[1];
    const path = [];
    let before = NaN;  // only neighbours are joined
    for (const { border, place: index, value, low, high } of members) {
      const [other, number] = Object.entries(index).find(([n]) => PLANE.includes(n)) || ["", 0];
      const to = (v) => stands(border.along, v);
      const c = other ? DOC.axes[other].centres[number] : 0;
      const at = (v) => upright ? [box.x + px(c), box.y + py(v)] : [box.x + px(v), box.y + py(c)];
      const [a, b] = [at(to(low)), at(to(high))];
      const cap = upright ? "h" : "v";
      const d = `M${a}L${b}${[a, b].map(([x, y]) => upright ? `M${x - 3} ${y}${cap}6` : `M${x} ${y - 3}${cap}6`).join("")}`;
      g.append(svg("path", { class: "halo", d }), svg("path", { class: "interval", d }));
      for (const [end, spot, sign] of [[low, a, -1], [high, b, 1]]) {
        if (Number.isFinite(end)) continue;
        const [x, y] = spot;
        const tip = upright ? `M${x - 4} ${y + 4 * sign}L${x} ${y - 3 * sign}L${x + 4} ${y + 4 * sign}z` : `M${x - 4 * sign} ${y - 4}L${x + 3 * sign} ${y}L${x - 4 * sign} ${y + 4}z`;
        g.append(svg("path", { class: "tip", d: tip }));
      }
      if (Number.isFinite(value)) {
        path.push([...at(to(value)), Math.abs(number - before) === 1]);
        before = number;
      }
    }
    const line = path.map(([x, y, joined]) => `${joined ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
    if (path.length > 1) g.append(svg("path", { class: "halo", d: line }), svg("path", { class: "border", d: line }));
    for (const [x, y] of path) g.append(marker(upright ? "circle" : "square", x, y, { class: "borderdot" }));
  }
}

/** Value and ends of an interval, where JSON has null for what is not finite; null: no bound. */
function ends3(e, border) {
  const named = border.flags.map((f) => f.name);
  const value = e.value === null ? NaN : e.value;
  if (e.low === null && e.high === null && Number.isNaN(value)) return null;
  if (named.includes("no error") || named.includes("wrong way")) return null;
  return { value, low: e.low === null ? -Infinity : e.low, high: e.high === null ? Infinity : e.high };
}

/** What the colours mean. */
function drawKey(colours, marks) {
  const key = document.getElementById("key");
  const items = [];
  let hatched = false;
  let crossed = false;
  let blank = drawing.values.flat().some(Number.isNaN);
  if (marks) {
    blank = false;
    for (let i = 0; i < sizeOf(PLANE[0]); i += 1) {
      for (let j = 0; j < (PLANE[1] ? sizeOf(PLANE[1]) : 1); j += 1) {
        const mark = marks(i, j);
        hatched = hatched || mark.hatched;
        crossed = crossed || mark.crossed;
        blank = blank || !mark.measured;
      }
    }
  }
  if (colours.kind === "phase") {
    const seen = new Set(drawing.values.flat());
    DOC.phases.forEach((phase, code) => {
      if (code && seen.has(code)) items.push(el("span", {}, patch(phase.colour), phase.name));
    });
  } else if (colours.kind !== "none") items.push(colourBar(colours));
  if (hatched) items.push(el("span", { class: "strong" }, patch(null, true), "unresolved: the data do not decide"));
  if (crossed) {
    const doubted = DOC.quantities.doubted;
    items.push(el("span", {}, el("b", {}, "× "), doubted && doubted.doc ? doubted.doc : "doubted"));
  }
  const panel = panelAt(state.point);
  if (blank) {
    const dot = svg("circle", { cx: 8, cy: 6, r: 1.5, class: "blank" });
    items.push(el("span", {}, svg("svg", { class: "patch", viewBox: "0 0 16 12", width: 16, height: 12, "aria-hidden": "true" }, dot), "not measured"));
  }
  if (drawing.values.flat().some((v) => Math.abs(v) === Infinity)) items.push(el("span", {}, el("b", {}, "∞ "), "beyond all that was looked at"));
  if (DOC.panels.length && !panel) items.push(el("span", { class: "strong" }, "not measured at this choice of the other axes"));
  if (document.querySelector("#map .border, #map .interval")) {
    items.push(el("span", {}, svg("svg", { class: "swatch", viewBox: "0 0 18 14", width: 18, height: 14, "aria-hidden": "true" },
      svg("path", { class: "interval", d: "M9 1v12M6 1h6M6 13h6" }), marker("circle", 9, 7, { class: "borderdot" })),
      `border, ${short(100 * (panel.method.level || 0.95))} % interval`));
  }
  key.replaceChildren(...items);
}

function patch(colour, hatched) {
  const box = svg("svg", { class: "patch", viewBox: "0 0 16 12", width: 16, height: 12, "aria-hidden": "true" },
    svg("rect", { x: 0.5, y: 0.5, width: 15, height: 11, fill: colour || "none", class: "edge" }));
  if (hatched) box.append(svg("path", { class: "hatching", d: "M0 6L6 0M1 11L12 0M7 12L16 3M13 12L16 9" }));
  return box;
}

function colourBar({ kind, low, high }) {
  const map = kind === "signed" ? "signed" : "values";
  const colours = COLOUR_MAPS[map];
  const [W, h] = [220, 10];
  const cells = colours.map((colour, i) => svg("rect", { x: (i * W) / colours.length + 10, y: 0, width: W / colours.length + 0.5, height: h, fill: colour }));
  const log = kind === "log";
  const at = (v) => 10 + W * (log ? Math.log(v / low) / Math.log(high / low) : (v - low) / (high - low || 1));
  const ticks = (log ? logTicks(low, high) : linearTicks(low, high, 4)).filter((v) => v >= low && v <= high);
  let last = -Infinity;
  const texts = ticks.map((v) => {
    const text = tickText(v);
    const half = 3.3 * text.length;
    if (at(v) - half < last + 4) return null;
    last = at(v) + half;
    return [svg("line", { class: "tickmark", x1: at(v), x2: at(v), y1: h, y2: h + 3 }), svg("text", { class: "tick", x: at(v), y: h + 14, "text-anchor": "middle" }, text)];
  });
  const word = { log: "logarithmic", signed: "from below zero to above" }[kind];
  return el("span", { class: "bar-key" }, svg("svg", { viewBox: `0 0 ${W + 20} 26`, width: W + 20, height: 26, role: "img", "aria-label": `colours from ${short(low)} to ${short(high)}` }, cells, texts), word ? el("span", { class: "quiet" }, word) : null);
}

/** Bring the frame of the cursor to its cell. */
function moveCursor() {
  if (!drawing) return;
  const rect = (drawing.rects[stepAt(state.point, PLANE[0])] || [])[PLANE[1] ? stepAt(state.point, PLANE[1]) : 0];
  if (!rect) return;
  const { cursor, box } = drawing;
  const shown = state.open || document.activeElement === document.querySelector("#map canvas");
  cursor.style.display = shown ? "" : "none";
  cursor.setAttribute("x", box.x + rect.x + 1);
  cursor.setAttribute("y", box.y + rect.y + 1);
  cursor.setAttribute("width", Math.max(1, rect.w - 2));
  cursor.setAttribute("height", Math.max(1, rect.h - 2));
}

/** Cell under the pointer: {axis: number}, or null. */
function cellUnder(event) {
  if (!drawing) return null;
  const frame = event.currentTarget.getBoundingClientRect();
  const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
  for (let i = 0; i < drawing.rects.length; i += 1) {
    for (let j = 0; j < drawing.rects[i].length; j += 1) {
      const r = drawing.rects[i][j];
      if (x >= r.x && x < r.x + r.w && y >= r.y && y < r.y + r.h) {
        return PLANE[1] ? { [PLANE[0]]: i, [PLANE[1]]: j } : { [PLANE[0]]: i };
      }
    }
  }
  return null;
}
