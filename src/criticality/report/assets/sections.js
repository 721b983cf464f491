// The rest of the page: head, borders, scaling, what is not decided, what was run, the numbers.

function heading(id, text) {
  return el("h2", { id: `${id}-title` }, text);
}

function drawHeader() {
  const { status, system } = DOC;
  const complete = status.done >= status.total;
  const progress = complete ? `complete: ${status.total} tasks` : `${status.done} of ${status.total} tasks`;
  document.getElementById("header").replaceChildren(
    el("div", { class: "top" },
      el("p", { class: "kicker" }, "Criticality · ", DOC.store),
      el("button", { type: "button", id: "theme", class: "plain", "aria-label": "Switch between light and dark", onclick: switchTheme }, isDark() ? "light" : "dark")),
    el("h1", {}, system.name),
    system.doc ? el("p", { class: "about" }, system.doc) : "",
    el("p", { class: "lead", id: "sentence" }, rich(DOC.sentence)),
    el("p", { class: "facts" },
      el("span", { class: complete ? "chip" : "chip strong", id: "progress" }, progress),
      Object.keys(DOC.select).length ? el("span", { class: "chip strong", id: "select" }, "only ", Object.entries(DOC.select).map(([name, value], i) => [i ? ", " : "", name, " = ", value])) : "",
      DOC.live ? el("span", { class: "chip live", id: "live" }, "live: this page follows the study") : "",
      Object.keys(status.failed).length ? el("span", { class: "chip strong" }, `${Object.keys(status.failed).length} failed`) : "",
      el("span", {}, `${status.realizations} realization${status.realizations === 1 ? "" : "s"} of each point`),
      el("span", {}, `written ${DOC.made}`)),
    el("p", { class: "source" }, system.source ? ["Source: ", rich(system.source), ". "] : "", system.here ? "" : "The system is not installed where this page was made; shown is what its card in the store tells."),
  );
  const sections = [["plane", "Plane"], ["boundaries", "Borders"], ["scaling", "Scaling"], ["unresolved", "Not decided"], ["run", "What was run"], ["numbers", "Numbers"]];
  document.getElementById("contents").replaceChildren(...sections
    .filter(([id]) => !document.getElementById(id).hidden)
    .map(([id, text]) => el("a", { href: `#${id}` }, text)));
}

/** A border's place: value with its interval, or why there is none. */
function drawBoundaries() {
  const section = document.getElementById("boundaries");
  const every = DOC.panels.flatMap((panel) => panel.boundaries.map((border, k) => ({ panel, border, at: { ...panel.index, ...panel.places[k] } })));
  section.hidden = !DOC.panels.length;
  if (section.hidden) return;
  const families = new Map();
  for (const one of every) {
    const id = `${one.border.along}|${one.border.quantity}|${one.border.between}`;
    if (!families.has(id)) families.set(id, []);
    families.get(id).push(one);
  }
  const symbolOf = (name) => (DOC.axes[name] ? rich(DOC.axes[name].symbol) : name);
  const tables = [...families.values()].map((members) => {
    const { border } = members[0];
    const others = [...new Set(members.flatMap(({ at }) => Object.keys(at)))];
    const sides = border.between.map((name, i) => name && [name, i ? " above" : " below"]).filter(Boolean);
    return el("figure", { class: "table" },
      el("figcaption", {}, symbolOf(border.along), "*, where ", el("b", {}, border.quantity), sides.length ? [": ", sides[0], sides[1] ? [", ", sides[1]] : ""] : "",
        members.length > 1 ? el("span", { class: "quiet" }, ` · ${members.filter(({ border: b }) => crossed(b)).length} of ${members.length} cross`) : ""),
      el("div", members.length > 24 ? { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "borders" } : { class: "scroll" }, el("table", { class: "numbers" },
        el("thead", {}, el("tr", {}, others.map((name) => el("th", { class: "number" }, symbolOf(name))),
          el("th", { class: "number" }, "estimate"), el("th", { class: "number" }, `${short(100 * border.estimate.level)} % interval`), el("th", {}, "status"))),
        el("tbody", {}, members.map(({ at, border: b }) => boundaryRow(at, others, b))))));
  });
  section.replaceChildren(heading("boundaries", "Borders"),
    every.length ? el("p", { class: "intro" }, "Where a quantity passes its threshold, with the interval that holds the place. An open end lies beyond the grid.")
      : el("p", { class: "quiet" }, "No border between phases is defined along these axes."),
    ...tables);
}

const crossed = (border) => border.status.startsWith("crossing");

function boundaryRow(at, others, b) {
  const e = b.estimate;
  const ends = ends3(e, b);
  const open = ends && e.low === null && e.high === null;
  const text = open ? "all of the grid"
    : ends ? interval(ends.low, ends.high, e.error === null ? NaN : e.error) : "none";
  const clean = crossed(b);
  return el("tr", { class: clean ? null : "open", "data-value": e.value, "data-low": e.low, "data-high": e.high },
    others.map((name) => el("td", { class: "number" }, told(name, at[name]))),
    el("td", { class: "number" }, e.value === null ? "–" : withError(e.value, e.error === null ? NaN : e.error)),
    el("td", { class: "number" }, text),
    el("td", { class: clean ? "status" : "status strong" }, b.status));
}

// --- scaling ---

function drawScaling() {
  const section = document.getElementById("scaling");
  section.hidden = !DOC.scaling.length && !DOC.threshold;
  if (section.hidden) return;
  const threshold = DOC.threshold ? el("figure", { id: "threshold" }, el("figcaption", {}, coded("Where it breaks down, as `criticality threshold` finds it")), el("pre", {}, DOC.threshold.text)) : "";
  if (!DOC.scaling.length) {
    section.replaceChildren(heading("scaling", "Critical points"), threshold);
    return;
  }
  const first = DOC.scaling[0];
  const more = first.of > DOC.scaling.length ? ` Of ${first.of} lines of the plane these ${DOC.scaling.length} were fitted.` : "";
  section.replaceChildren(heading("scaling", "Finite-size scaling"),
    el("p", { class: "intro" }, coded(`Curves of several sizes, collapsed by the forms that a transition would have, and the evidence for each form.${more} Each curve counts as a whole; far from a transition no form need hold, so that another range may have another verdict: \`criticality compare\` has \`--control-range\`, and \`--marginal\`, which integrates ranges out.`)),
    ...DOC.scaling.map((line) => (line.note ? noScaling(line) : scalingLine(line))), threshold);
}

function lineTitle(line) {
  const at = Object.entries(line.at);
  return at.length ? at.map(([name, value], i) => [i ? ", " : "", ...rich(DOC.axes[name] ? DOC.axes[name].symbol : name), ` = ${DOC.axes[name] ? valueText(DOC.axes[name], DOC.axes[name].values.indexOf(value)) : short(value)}`]) : "the line";
}

function noScaling(line) {
  return el("div", { class: "line" }, el("h3", {}, lineTitle(line)), el("p", { class: "strong" }, "not fitted: ", line.note));
}

const PARAMETERS = { p_c: "$p_c$", nu: "$\\nu$", beta: "$\\beta$", sigma: "$\\sigma$", L0: "$L_0$", p_0: "$p_0$", L_x: "$L_x$", theta: "$\\theta$" };
const FORM = { algebraic: "algebraic", bkt: "BKT" };

function scalingLine(line) {
  const { compare, labels } = line;
  const undecided = compare.verdict === "undecided";
  const colours = shades(line.curves.length);
  const points = (curves, wide) => curves.map((c, i) => ({ name: short(c.size), colour: colours[i], joined: wide, points: c.x.map((x, k) => ({ x, y: c.y[k], error: c.error[k] })) }));
  const holder = el("div", { class: "charts" });
  const best = compare.models.find((m) => line.collapse[family(m.name)]);
  const initial = best ? family(best.name) : Object.keys(line.collapse)[0];
  const draw = (form) => {
    const fit = line.collapse[form];
    const exponent = fit.params.nu ? "nu" : "sigma";
    const pc = fit.params.p_c;
    const sign = { nu: "$\\nu$", sigma: "$\\sigma$" }[exponent];
    const xLabel = form === "bkt" ? `$(p - p_c)\\,S(L)$, p = ${labels[0]}` : `$(p - p_c)\\,L^{1/\\nu}$, p = ${labels[0]}`;
    const map = line.landscape[form];
    holder.replaceChildren(
      chart({ title: "measured", xLabel: labels[0], yLabel: labels[2], series: points(line.curves, true), legend: labels[1],
        marks: [{ x: pc.value, low: pc.low, high: pc.high, text: "$p_c$" }] }),
      chart({ title: `collapsed, ${FORM[form]}`, note: `fit probability ${probability(fit.p_value)}`, xLabel, yLabel: labels[2], series: points(line.scaled[form], false), legend: labels[1] }),
      map ? landscapeChart(map, fit, sign) : "");
  };
  const forms = Object.keys(line.collapse);
  const select = el("select", { onchange: (e) => draw(e.target.value) }, forms.map((form) => el("option", { value: form, selected: form === initial }, FORM[form])));
  draw(initial);
  return el("div", { class: "line" },
    el("h3", {}, lineTitle(line)),
    el("p", { class: undecided ? "verdict strong" : "verdict", "data-verdict": compare.verdict }, el("b", {}, compare.verdict), ": ", compare.reason, "."),
    el("div", { class: "controls" }, el("label", {}, "collapsed by the form ", select)),
    holder, evidenceTable(compare));
}

const family = (name) => (/bkt/i.test(name) ? "bkt" : name.startsWith("algebraic") ? "algebraic" : name);

function evidenceTable(compare) {
  const params = (m) => Object.entries(m.params).filter(([, p]) => !p.fixed)
    .map(([name, p], i) => [i ? ", " : "", ...rich(PARAMETERS[name] || name), ` = ${withError(p.value, p.error === null ? NaN : p.error)}`]);
  return el("div", { class: "scroll" }, el("table", { class: "numbers evidence" },
    el("thead", {}, el("tr", {}, el("th", {}, "form"), el("th", { class: "number" }, "Δ ln Z"), el("th", { class: "number" }, "fit p"), el("th", {}, "parameters"), el("th", {}, "doubts"))),
    el("tbody", {}, compare.models.map((m) => el("tr", { "data-name": m.name, "data-value": m.delta },
      el("th", { scope: "row" }, m.name),
      el("td", { class: "number" }, m.delta === null ? "–" : minus(m.delta.toFixed(1))),
      el("td", { class: "number" }, probability(m.p_value)),
      el("td", {}, params(m)),
      el("td", { class: "quiet" }, m.flags.map((f) => f.text).join("; ")))))));
}

/** The objective around a fit: -ln posterior over p_c and the exponent. */
function landscapeChart(map, fit, sign) {
  const [W, H] = [440, 300];
  const box = { x: 62, y: 12, w: 364, h: 238 };
  const most = 8;  // beyond which all is excluded alike
  const rows = map.values;
  const [nx, ny] = [map.p_c.length, map.exponent.length];
  const image = el("canvas", { width: nx, height: ny });
  const g = image.getContext("2d");
  const pixels = g.createImageData(nx, ny);
  rows.forEach((row, j) => row.forEach((value, i) => {
    const colour = shade("values", 1 - Math.min(most, value === null ? most : value) / most);
    const k = 4 * ((ny - 1 - j) * nx + i);
    pixels.data.set([parseInt(colour.slice(1, 3), 16), parseInt(colour.slice(3, 5), 16), parseInt(colour.slice(5, 7), 16), 255], k);
  }));
  g.putImageData(pixels, 0, 0);
  const [x0, x1, y0, y1] = [map.p_c[0], map.p_c[nx - 1], map.exponent[0], map.exponent[ny - 1]];
  const px = (v) => box.x + ((v - x0) / (x1 - x0)) * box.w;
  const py = (v) => box.y + box.h - ((v - y0) / (y1 - y0)) * box.h;
  const parts = [svg("image", { href: image.toDataURL(), x: box.x, y: box.y, width: box.w, height: box.h, preserveAspectRatio: "none" }),
    svg("rect", { class: "frame", x: box.x, y: box.y, width: box.w, height: box.h })];
  for (const t of linearTicks(x0, x1, 4)) parts.push(svg("text", { class: "tick", x: px(t), y: box.y + box.h + 17, "text-anchor": "middle" }, tickText(t)));
  for (const t of linearTicks(y0, y1, 4)) parts.push(svg("text", { class: "tick", x: box.x - 7, y: py(t), dy: "0.32em", "text-anchor": "end" }, tickText(t)));
  const exponent = fit.params[map.exponent_name];
  parts.push(svg("path", { class: "best", d: `M${px(fit.params.p_c.value) - 6} ${py(exponent.value)}h12M${px(fit.params.p_c.value)} ${py(exponent.value) - 6}v12` }));
  parts.push(svg("text", { class: "label", x: box.x + box.w / 2, y: H - 9, "text-anchor": "middle" }, richSvg("$p_c$")));
  parts.push(svg("text", { class: "label", x: 15, y: box.y + box.h / 2, "text-anchor": "middle", transform: `rotate(-90 15 ${box.y + box.h / 2})` }, richSvg(sign)));
  return el("figure", { class: "chart" },
    el("figcaption", {}, "landscape: −ln posterior above its least", el("span", { class: "quiet" }, ` bright 0, dark ${most} and more`)),
    svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "landscape of the fit" }, parts));
}

// --- doubts, provenance ---

function drawUnresolved() {
  const section = document.getElementById("unresolved");
  section.replaceChildren(heading("unresolved", "What the data do not decide"),
    DOC.unresolved.length ? el("ul", { class: "doubts" }, DOC.unresolved.map((one) => el("li", {},
      el("p", {}, el("b", {}, coded(one.what))),
      one.places.length ? el("p", { class: "places" }, one.places.map((p, i) => [i ? " · " : "", p])) : "",
      one.settles ? el("p", {}, el("span", { class: "quiet" }, "What would settle it: "), coded(one.settles)) : "")))
      : el("p", {}, "Nothing that was asked is left open."));
}

function drawRun() {
  const { run, status } = DOC;
  const exact = (value) => typeof value === "boolean" ? (value ? "yes" : "no") : value === null ? "–" : typeof value === "number" ? minus(String(value)) : String(value);
  const said = (value) => Array.isArray(value) ? (value.length > 24 ? `${value.slice(0, 23).map(exact).join(", ")}, … (${value.length} values)` : value.map(exact).join(", ")) : exact(value);
  const rows = [...run.controls].sort((a, b) => b.swept - a.swept);
  const pairs = [
    ["tasks", `${status.done} of ${status.total} done${status.missing ? `, ${status.missing} missing` : ""}`],
    ["realizations", `${run.realizations} of each point, study seed ${run.seed}`],
    ["cost", `${(status.core_seconds / 3600).toFixed(2)} core hours, of which ${short(Math.round(status.compile_seconds))} s compiling`],
    ["computed", run.created.length ? run.created.map((t) => t.slice(0, 16).replace("T", " ")).filter((t, i, all) => all.indexOf(t) === i).join(" to ") + " UTC" : "–"],
    ...Object.entries(run.made_by).map(([name, all]) => [{ data: "data (sha256)", dtype: "precision", criticality: "version" }[name] || name,
      all.map((one) => (all.length > 1 ? `${one.value} (${one.results})` : one.value)).join("; ")]),
  ];
  document.getElementById("run").replaceChildren(heading("run", "What was run"),
    el("div", { class: "two" },
      el("div", {}, el("h3", {}, "Controls"), el("div", { class: "scroll" }, el("table", { class: "numbers controls-table" },
        el("thead", {}, el("tr", {}, el("th", {}, "control"), el("th", {}, "value"), el("th", {}, "unit"), el("th", {}, "what it is"))),
        el("tbody", {}, rows.map((one) => el("tr", { class: one.swept ? "swept" : null, "data-name": one.name },
          el("th", { scope: "row" }, rich(one.symbol), plainText(one.symbol) === one.name ? "" : el("code", {}, one.name)),
          el("td", {}, said(one.value)), el("td", { class: "quiet" }, one.unit === "1" ? "" : one.unit), el("td", {}, rich(one.doc)))))))),
      el("div", {}, el("h3", {}, "Provenance and cost"),
        el("dl", {}, pairs.map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)])),
        run.failed_in_all ? [el("h3", { class: "strong" }, `${run.failed_in_all} failed`), el("ul", { class: "failed" }, run.failed.map((text) => el("li", {}, text)), run.failed_in_all > run.failed.length ? el("li", {}, `and ${run.failed_in_all - run.failed.length} more`) : "")] : "",
        el("h3", {}, "To make it again"),
        el("pre", {}, el("code", {}, run.command)),
        run.study.map((text, i) => el("details", { open: i === 0 }, el("summary", {}, run.study.length > 1 ? `study.toml, ${i + 1} of ${run.study.length}` : "study.toml"), el("pre", {}, el("code", {}, text)))))));
}

// --- numbers to take away ---

function drawNumbers() {
  const section = document.getElementById("numbers");
  const button = (id, text, note, onclick) => el("div", { class: "download" }, el("button", { type: "button", id, onclick }, text), el("span", { class: "quiet" }, coded(note)));
  section.replaceChildren(heading("numbers", "Numbers"),
    el("p", { class: "intro" }, "All of these are in this file; nothing is fetched."),
    ...DOC.left_out.map((text) => el("p", { class: "quiet" }, `Not in this page: ${text}; with --select AXIS=VALUE there are fewer.`)),
    DOC.panels.length ? button("download-cells", "cells.csv", "every cell of the plane: phase and numbers, as `criticality phases`", async () => save("cells.csv", csv(await allRows()))) : "",
    DOC.panels.length ? button("download-boundaries", "boundaries.csv", "every border with its interval and flags", () => save("boundaries.csv", csv(boundaryRows()))) : "",
    button("download-means", "means.csv", "every measured quantity: mean over realizations, standard error, number", async () => save("means.csv", csv(await meanRows()))),
    button("download-json", "report.json", "all of it, as `phases --json`, `collapse --json`, `compare --json` and `status --json` give it", async () => save("report.json", JSON.stringify(await everything(), null, 1))));
}

async function allRows() {
  const found = [];
  for (const panel of DOC.panels) for (const row of await rowsOf(panel)) found.push({ ...panel.at, ...row });
  return found;
}

function boundaryRows() {
  return DOC.panels.flatMap((panel) => panel.boundaries.map((b) => ({
    ...panel.at, ...b.at, along: b.along, quantity: b.quantity, below: b.between[0], above: b.between[1],
    ...Object.fromEntries(["value", "error", "low", "high", "level", "n"].map((n) => [n, b.estimate[n]])), status: b.status, flags: b.flags.map((flag) => flag.text).join("; "),
  })));
}

/** Numbers as they are written down: those of 32 bits with the digits that they have. */
async function written(number) {
  const values = await array(number);
  return DOC.arrays[number].code === "f8" ? values : Array.from(values, (v) => Number(v.toPrecision(8)));
}

async function meanRows() {
  const found = [];
  for (const [name, about] of Object.entries(DOC.observables)) {
    const [mean, error, n] = await Promise.all([about.mean, about.error, about.n].map(written));
    for (let i = 0; i < mean.length; i += 1) {
      const at = {};
      let rest = i;
      for (const dim of [...about.dims].reverse()) {
        at[dim] = DOC.axes[dim].values[rest % sizeOf(dim)];
        rest = Math.floor(rest / sizeOf(dim));
      }
      if (n[i]) found.push({ quantity: name, ...Object.fromEntries(about.dims.map((d) => [d, at[d]])), mean: mean[i], error: error[i], n: n[i] });
    }
  }
  return found;
}

async function everything() {
  const panels = [];
  for (const panel of DOC.panels) panels.push({ at: panel.at, cells: await rowsOf(panel), boundaries: panel.boundaries, method: panel.method });
  const single = panels.length === 1 && !Object.keys(panels[0].at).length;
  if (single) delete panels[0].at;
  return {
    store: DOC.store, select: DOC.select, system: DOC.system, made: DOC.made, sentence: DOC.sentence,
    status: DOC.status, phases: panels.length ? (single ? panels[0] : { panels }) : null,
    threshold: DOC.threshold && DOC.threshold.points,
    scaling: DOC.scaling.map(({ at, note, collapse, compare }) => (note ? { at, note } : { at, collapse, compare })),
    unresolved: DOC.unresolved, left_out: DOC.left_out, run: DOC.run,
  };
}

function csv(rows) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  const field = (value) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "";
    const text = String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => line.map(field).join(",")).join("\n") + "\n";
}

function save(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: name.endsWith(".csv") ? "text/csv" : "application/json" }));
  const link = el("a", { href: address, download: `${DOC.store}-${name}` });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
