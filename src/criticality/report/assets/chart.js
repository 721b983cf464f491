// Curves with error bars, as SVG: sharp in print, read by what reads aloud.

const MARKERS = ["circle", "square", "diamond", "up", "down"];
let charts = 0;

function marker(kind, x, y, attributes) {
  const r = 3.2;
  if (kind === "square") {
    return svg("rect", { x: x - r + 0.3, y: y - r + 0.3, width: 2 * r - 0.6, height: 2 * r - 0.6, ...attributes });
  }
  if (kind === "diamond") return svg("path", { d: `M${x} ${y - r - 1}l${r + 1} ${r + 1}l${-r - 1} ${r + 1}l${-r - 1} ${-r - 1}z`, ...attributes });
  if (kind === "up") return svg("path", { d: `M${x} ${y - r - 0.6}l${r + 0.4} ${2 * r}h${-2 * r - 0.8}z`, ...attributes });
  if (kind === "down") return svg("path", { d: `M${x} ${y + r + 0.6}l${r + 0.4} ${-2 * r}h${-2 * r - 0.8}z`, ...attributes });
  return svg("circle", { cx: x, cy: y, r, ...attributes });
}

/**
 * Draw curves.
 *
 * series: [{name, colour, points: [{x, y, error}], joined, fit}]; a fit is a line without points.
 * xTicks: [{at, text}] in place of round numbers; marks: [{x, low, high, text}], upright lines.
 */
function chart({ title, note, xLabel, yLabel, xLog, yLog, xTicks, series, marks = [], legend, wide }) {
  charts += 1;
  const [W, H] = wide ? [720, 330] : [440, 300];
  const [top, right, bottom] = [12, 14, 50];
  const fx = xLog ? Math.log10 : (v) => v;
  const fy = yLog ? Math.log10 : (v) => v;
  const ok = (p) => Number.isFinite(fx(p.x)) && Number.isFinite(fy(p.y));
  const xs = [];
  const ys = [];
  for (const one of series) {
    for (const p of one.points.filter(ok)) {
      xs.push(fx(p.x));
      ys.push(fy(p.y));
      if (one.fit || !Number.isFinite(p.error)) continue;
      for (const end of [p.y - p.error, p.y + p.error]) {
        if (Number.isFinite(fy(end)) && (!yLog || end > p.y / 10)) ys.push(fy(end));
      }
    }
  }
  for (const tick of xTicks || []) xs.push(fx(tick.at));
  if (!ys.length) return el("figure", { class: "chart" }, el("figcaption", {}, rich(title)), el("p", { class: "quiet" }, "nothing measured"));
  const range = (values, pad) => {
    let low = values.reduce((a, b) => Math.min(a, b), Infinity);
    let high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!(high > low)) [low, high] = [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
    return [low - pad * (high - low), high + pad * (high - low)];
  };
  const [x0, x1] = range(xs, 0.045);
  const [y0, y1] = range(ys, 0.07);
  const yTicks = yLog ? logTicks(10 ** y0, 10 ** y1) : linearTicks(y0, y1, 5);
  const left = 34 + 6.4 * Math.max(3, ...yTicks.map((tick) => tickText(tick).length));
  const box = { x: left, y: top, w: W - left - right, h: H - top - bottom };
  const px = (v) => box.x + ((fx(v) - x0) / (x1 - x0)) * box.w;
  const py = (v) => box.y + box.h - ((fy(v) - y0) / (y1 - y0)) * box.h;
  const clip = `clip-${charts}`;
  const parts = [
    svg("clipPath", { id: clip }, svg("rect", { x: box.x, y: box.y, width: box.w, height: box.h })),
    svg("rect", { class: "frame", x: box.x, y: box.y, width: box.w, height: box.h }),
  ];
  for (const tick of yTicks) {
    const at = py(tick);
    if (at < box.y - 0.5 || at > box.y + box.h + 0.5) continue;
    parts.push(svg("line", { class: "grid", x1: box.x, x2: box.x + box.w, y1: at, y2: at }));
    parts.push(svg("text", { class: "tick", x: box.x - 7, y: at, dy: "0.32em", "text-anchor": "end" }, tickText(tick)));
  }
  const ticks = xTicks || (xLog ? logTicks(10 ** x0, 10 ** x1) : linearTicks(x0, x1, 6))
    .map((at) => ({ at, text: tickText(at) }));
  let last = -Infinity;
  for (const { at, text } of ticks) {
    const x = px(at);
    if (x < box.x - 0.5 || x > box.x + box.w + 0.5) continue;
    parts.push(svg("line", { class: "tickmark", x1: x, x2: x, y1: box.y + box.h, y2: box.y + box.h + 4 }));
    const half = 3.4 * String(text).length;
    if (x - half < last + 5) continue;
    last = x + half;
    parts.push(svg("text", { class: "tick", x, y: box.y + box.h + 17, "text-anchor": "middle" }, text));
  }
  parts.push(svg("text", { class: "label", x: box.x + box.w / 2, y: H - 9, "text-anchor": "middle" }, richSvg(xLabel)));
  parts.push(svg("text", { class: "label", x: 15, y: box.y + box.h / 2, "text-anchor": "middle", transform: `rotate(-90 15 ${box.y + box.h / 2})` }, richSvg(clipped(yLabel, 46))));
  const inside = svg("g", { "clip-path": `url(#${clip})` });
  for (const mark of marks) {
    const clamp = (v, edge) => Number.isFinite(v) ? Math.min(box.x + box.w, Math.max(box.x, px(v))) : edge;
    if (mark.low !== undefined && mark.low !== null) {
      const [a, b] = [clamp(mark.low, box.x), clamp(mark.high, box.x + box.w)];
      inside.append(svg("rect", { class: "band", x: a, y: box.y, width: Math.max(0, b - a), height: box.h }));
    }
    if (Number.isFinite(mark.x)) {
      inside.append(svg("line", { class: mark.here ? "here" : "mark", x1: px(mark.x), x2: px(mark.x), y1: box.y, y2: box.y + box.h }));
    }
  }
  series.forEach((one, number) => {
    const points = one.points.filter(ok);
    const g = svg("g", {});
    if (one.joined !== false && points.length > 1) {
      let drawn = false;  // a line does not lead through infinity
      const d = one.points.map((p) => {
        if (!ok(p)) {
          drawn = drawn && Math.abs(p.y) !== Infinity;
          return "";
        }
        const step = `${drawn ? "L" : "M"}${px(p.x).toFixed(1)} ${py(p.y).toFixed(1)}`;
        drawn = true;
        return step;
      }).join("");
      g.append(svg("path", { d, class: one.fit ? "fit" : "curve", stroke: one.colour }));
    }
    if (!one.fit) {
      for (const p of points) {
        const [x, y] = [px(p.x), py(p.y)];
        if (Number.isFinite(p.error) && p.error > 0) {
          const high = py(p.y + p.error);
          const below = p.y - p.error;
          const low = yLog && below <= 0 ? box.y + box.h : py(below);
          g.append(svg("path", { class: "bar", stroke: one.colour, d: `M${x} ${high}V${low}M${x - 2.5} ${high}h5M${x - 2.5} ${low}h5` }));
        }
        const dot = marker(MARKERS[number % MARKERS.length], x, y, { class: "dot", fill: p.hollow ? "var(--paper)" : one.colour, stroke: one.colour });
        dot.append(svg("title", {}, `${one.name ? `${plainText(one.name)}, ` : ""}${short(p.x)}: ${withError(p.y, p.error)}`));
        g.append(dot);
      }
    }
    inside.append(g);
  });
  parts.push(inside);
  for (const mark of marks) {
    if (!mark.text || !Number.isFinite(mark.x)) continue;
    const late = px(mark.x) > box.x + box.w - 24;  // no room on its right
    parts.push(svg("text", { class: "marktext", x: px(mark.x) + (late ? -4 : 4), y: box.y + 12, "text-anchor": late ? "end" : null }, richSvg(mark.text)));
  }
  const named = series.filter((one) => one.name && !one.silent);
  const caption = [rich(title)];
  if (note) caption.push(el("span", { class: "note" }, note));
  return el("figure", { class: wide ? "chart wide" : "chart" },
    el("figcaption", {}, caption),
    svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": plainText(`${title}: ${yLabel} against ${xLabel}`) }, parts),
    named.length > 1 || legend ? el("div", { class: "key" },
      legend ? el("span", { class: "keytitle" }, el("span", {}, rich(legend))) : null,
      named.map((one) => el("span", {}, swatch(one, series.indexOf(one)), el("span", {}, rich(one.name))))) : null);
}

function swatch(one, number) {
  const inner = one.fit
    ? svg("line", { x1: 0, x2: 18, y1: 6, y2: 6, class: "fit", stroke: one.colour })
    : [svg("line", { x1: 0, x2: 18, y1: 6, y2: 6, class: "curve", stroke: one.colour }),
       marker(MARKERS[number % MARKERS.length], 9, 6, { fill: one.colour, stroke: one.colour })];
  return svg("svg", { class: "swatch", viewBox: "0 0 18 12", width: 18, height: 12, "aria-hidden": "true" }, inner);
}

function clipped(text, most) {
  return plainText(text).length > most && !text.includes("$") ? `${text.slice(0, most - 1)}…` : text;
}
