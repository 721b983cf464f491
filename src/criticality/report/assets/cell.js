// One cell: every number of it, and its curves.

/** Numbers of a cell: [{name, title, value, error, low, high, kind, doc}]. */
async function numbersAt(point) {
  const found = [];
  const panel = panelAt(point);
  if (panel) {
    const all = await columns(panel);
    const at = place(panel.dims, point);
    for (const [name, about] of Object.entries(DOC.quantities)) {
      if (!all[name]) continue;
      const end = (suffix) => about.with.includes(suffix) && all[`${name}${suffix}`] ? all[`${name}${suffix}`][at] : NaN;
      const value = all[name][at];
      found.push({
        name, title: about.title, doc: about.doc, truth: about.truth, value,
        error: end("_error"), low: end("_low"), high: end("_high"), dof: end("_dof"), of: about.of,
        shown: about.truth ? (value === 1 ? "yes" : "no") : about.meanings.length && about.meanings[value] || (name.endsWith("fit_probability") && Number.isFinite(value) ? probability(value) : ""),
      });
    }
  }
  return found;
}

/** Phase of a cell in words: {name, letter, colour, doubt}, or null without phases. */
async function phaseAt(point) {
  const panel = panelAt(point);
  if (!panel) return null;
  const at = place(panel.dims, point);
  const [phase, measured] = await Promise.all([array(panel.columns.phase.array), array(panel.measured)]);
  if (measured[at] !== 1) return { name: "not measured", colour: null, code: -1 };
  const own = DOC.phases[phase[at]];
  if (phase[at] === 0 && panel.columns.likely) {
    const likely = (await array(panel.columns.likely.array))[at];
    if (likely) return { name: "unresolved", note: `most are ${DOC.phases[likely].name}, not significantly`, colour: null, code: 0 };
  }
  return { name: own.name, colour: phase[at] ? own.colour : null, code: phase[at] };
}

/** Whether nothing but the axes that are shown says where on it one is. */
const placed = (about) => about.dims.every((dim) => sizeOf(dim) < 2 || shownAxes().has(dim));

/** Means at a point: [{name, about, value, error, n}]. */
async function meansAt(point) {
  return Promise.all(Object.entries(DOC.observables).filter(([, about]) => placed(about)).map(async ([name, about]) => {
    const at = place(about.dims, point);
    const [mean, error, n] = await Promise.all([array(about.mean), array(about.error), array(about.n)]);
    return { name, about, value: mean[at], error: error[at], n: n[at] };
  }));
}

/** Flags of a cell in words. */
async function flagsAt(point) {
  const found = [];
  for (const [name, fit] of Object.entries(DOC.fits)) {
    for (const number of fit.flags[place(fit.dims, point)] || []) {
      found.push(`${DOC.observables[name] ? DOC.observables[name].label : name}: ${fit.texts[number]}`);
    }
  }
  const panel = panelAt(point);
  if (panel && panel.columns.doubted) {
    const doubted = (await array(panel.columns.doubted.array))[place(panel.dims, point)];
    if (doubted === 1 && DOC.quantities.doubted.doc) found.unshift(DOC.quantities.doubted.doc);
  }
  return [...new Set(found)];
}

function coordinates(point, axes) {
  return axes.map((axis, i) => [i ? ", " : "", ...rich(DOC.axes[axis].symbol), " = ", told(axis, stepAt(point, axis))]);
}

/** Fill the tooltip with the numbers of a cell. */
async function fillTooltip(point) {
  const tooltip = document.getElementById("tooltip");
  const [phase, numbers, means, flags] = await Promise.all([phaseAt(point), numbersAt(point), meansAt(point), flagsAt(point)]);
  const rows = numbers.filter((one) => !one.truth && !Number.isNaN(one.value)).map((one) =>
    el("tr", { class: one.of ? "part" : null, "data-name": one.name, "data-value": one.value, "data-error": one.error },
      el("th", {}, rich(one.title)), el("td", {}, one.shown || withError(one.value, one.error)),
      el("td", { class: "quiet" }, Number.isNaN(one.low) ? "" : interval(one.low, one.high, one.error))));
  const meanRows = means.filter((one) => !Number.isNaN(one.value)).slice(0, 8).map((one) =>
    el("tr", { "data-name": one.name, "data-value": one.value, "data-error": one.error },
      el("th", {}, rich(one.about.label)), el("td", {}, withError(one.value, one.error)), el("td", { class: "quiet" }, `n = ${short(one.n)}`)));
  const further = furtherAxes().filter((axis) => means.some((one) => one.about.dims.includes(axis)));
  tooltip.replaceChildren(
    el("p", { class: "where" }, coordinates(point, PLANE)),
    phase ? el("p", { class: "phase" }, phase.code > 0 ? patch(phase.colour) : phase.code === 0 ? patch(null, true) : null, " ", phase.name, phase.note ? ` (${phase.note})` : "") : "",
    rows.length ? el("table", {}, rows) : "",
    meanRows.length ? el("table", {}, further.length ? el("caption", {}, "at ", coordinates(point, further)) : null, meanRows) : "",
    ...flags.map((flag) => el("p", { class: "flag" }, rich(flag))),
  );
}

/** Show the opened cell: numbers beside the map, curves below. */
async function showCell() {
  const cell = document.getElementById("cell");
  const curves = document.getElementById("curves");
  cell.hidden = curves.hidden = !state.open;
  document.getElementById("hint").hidden = state.open;
  moveCursor();
  if (!state.open) {
    cell.replaceChildren();
    curves.replaceChildren();
    return;
  }
  const point = { ...state.point };
  const [phase, numbers, means, flags] = await Promise.all([phaseAt(point), numbersAt(point), meansAt(point), flagsAt(point)]);
  const row = (one) => el("tr", { class: one.of ? "part" : null, "data-name": one.name, "data-value": one.value, "data-error": one.error },
    el("th", { scope: "row", title: one.doc || null }, rich(one.title)),
    el("td", { class: "number" }, one.shown || withError(one.value, one.error)),
    el("td", { class: "number quiet" }, Number.isNaN(one.low) ? "" : interval(one.low, one.high, one.error)));
  const further = furtherAxes().filter((axis) => means.some((one) => one.about.dims.includes(axis)));
  const table = numbers.length ? el("table", { class: "numbers" },
    el("thead", {}, el("tr", {}, el("th", {}, "quantity"), el("th", { class: "number" }, "value"), el("th", { class: "number" }, numbers.some((one) => !Number.isNaN(one.low)) ? "interval" : ""))),
    el("tbody", {}, numbers.filter((one) => !one.of).map(row))) : null;
  const parts = numbers.filter((one) => one.of);
  const fits = parts.length ? el("details", { class: "fits" }, el("summary", {}, "more of the fits"), el("table", { class: "numbers" },
    [...new Set(parts.map((one) => one.of))].map((of) => el("tbody", {},
      el("tr", {}, el("th", { colspan: 3 }, rich(DOC.quantities[of].title))), parts.filter((one) => one.of === of).map(row))))) : "";
  const elsewhere = Object.values(DOC.observables).filter((about) => !placed(about));
  const measured = means.filter((one) => !Number.isNaN(one.value));
  const meanTable = el("table", { class: "numbers" },
    el("thead", {}, el("tr", {}, el("th", {}, "measured", further.length ? el("span", { class: "quiet" }, " at ", coordinates(point, further)) : null), el("th", { class: "number" }, "mean"), el("th", { class: "number" }, "n"))),
    el("tbody", {}, measured.map((one) => el("tr", { "data-name": one.name, "data-value": one.value, "data-error": one.error },
      el("th", { scope: "row", title: one.about.doc || null }, rich(one.about.label), one.about.unit === "1" || one.about.label.includes(one.about.unit) ? "" : el("span", { class: "quiet" }, ` ${one.about.unit}`), one.about.censored ? el("span", { class: "quiet" }, " (median)") : null),
      el("td", { class: "number" }, withError(one.value, one.error)),
      el("td", { class: "number quiet" }, short(one.n))))));
  cell.replaceChildren(
    el("div", { class: "cellhead" }, el("h3", {}, PLANE.length ? coordinates(point, PLANE) : "the one point"),
      el("button", { type: "button", class: "plain", "aria-label": "Close the cell", onclick: () => open(false) }, "×")),
    phase ? el("p", { class: phase.code ? "phase" : "phase strong" }, phase.code > 0 ? patch(phase.colour) : phase.code === 0 ? patch(null, true) : null, " ", phase.name, phase.note ? ` (${phase.note})` : "") : "",
    ...flags.map((flag) => el("p", { class: "flag" }, rich(flag))),
    table || "", fits,
    measured.length ? meanTable : el("p", { class: "quiet" }, "nothing measured here"),
    elsewhere.length ? el("p", { class: "quiet" }, "Over further axes, when chosen above: ", elsewhere.map((about, i) => [i ? ", " : "", rich(about.label)]), ".") : "",
  );
  await drawCurves(point);
}

/** Curves of the opened cell, of one observable: against the size, and against each other axis. */
async function drawCurves(point) {
  const holder = document.getElementById("curves");
  const names = Object.keys(DOC.observables).filter((name) => DOC.observables[name].dims.some((dim) => sizeOf(dim) > 1));
  if (!names.length) return;
  const wanted = state.curves && names.includes(state.curves) ? [state.curves]
    : DOC.order.filter((name) => names.includes(name)).slice(0, 2);
  const shown = wanted.length ? wanted : names.slice(0, 1);
  const select = el("select", { id: "curve-quantity", onchange: (e) => { state.curves = e.target.value; keep(); showSliders(); drawCurves(state.point); } },
    el("option", { value: "" }, "order parameters"),
    names.map((name) => el("option", { value: name, selected: state.curves === name }, plainText(DOC.observables[name].label))));
  const parts = [];
  for (const name of shown) {
    const about = DOC.observables[name];
    const axes = about.dims.filter((dim) => sizeOf(dim) > 1);
    axes.sort((a, b) => (b === DOC.size) - (a === DOC.size));
    for (const axis of axes) {
      const drawn = PLANE.length === 1 && axis === PLANE[0] && name === lineQuantity();
      if (!drawn) parts.push(await curveAlong(name, axis, point));
    }
  }
  holder.replaceChildren(
    el("div", { class: "controls" }, el("h3", {}, "Curves through this cell"), el("label", {}, "of ", select)),
    parts.some(Boolean) ? el("div", { class: "charts" }, parts) : el("p", { class: "quiet" }, "Along no other axis is there a second point."));
}

/** Axis that has a curve for each of its values: the size, or another of few values. */
function seriesAxis(about, axis) {
  const several = (dim) => dim !== axis && about.dims.includes(dim) && sizeOf(dim) > 1;
  if (several(DOC.size)) return DOC.size;
  if (axis === DOC.size) return "";
  return about.dims.find((dim) => several(dim) && !PLANE.includes(dim) && !DOC.axes[dim].inner && sizeOf(dim) <= 6) || "";
}

/** A chart of an observable along an axis, through a point; a curve for each size. */
async function curveAlong(name, axis, point, wide) {
  const about = DOC.observables[name];
  const [mean, error] = await Promise.all([array(about.mean), array(about.error)]);
  const coordinate = DOC.axes[axis];
  const by = seriesAxis(about, axis);
  const texts = !coordinate.numbers;
  const onSize = axis === DOC.size;
  const positive = coordinate.numbers && coordinate.values.every((v) => v > 0);
  const xLog = positive && (onSize || coordinate.scale === "log" || (coordinate.scale === "linear" && notToScale(axis)));
  const logit = coordinate.scale === "logit" && coordinate.values.every((v) => v > 0 && v < 1);
  const at = (i) => texts ? i : logit ? scaled(coordinate.values[i], "logit") : coordinate.values[i];
  const again = new Set(coordinate.values).size < coordinate.values.length;  // a sweep up and down
  const along = (where) => coordinate.values.map((_, i) => {
    const k = place(about.dims, { ...where, [axis]: i });
    return { x: at(i), y: mean[k], error: error[k], hollow: coordinate.values.indexOf(coordinate.values[i]) < i };
  });
  const series = [];
  if (sizeOf(axis) < 2) return "";
  if (by) {
    const colours = shades(sizeOf(by));
    DOC.axes[by].values.forEach((_, i) => series.push({ name: told(by, i), colour: colours[i], joined: !texts, points: along({ ...point, [by]: i }) }));
  } else series.push({ name: "", colour: "var(--accent)", points: along(point), joined: !texts && (!onSize || !DOC.fits[name]) });
  const measured = series.flatMap((one) => one.points).filter((p) => Number.isFinite(p.y));
  if (new Set(measured.map((p) => p.x)).size < 2) return "";  // nothing to see along it
  const yLog = onSize && measured.length > 0 && measured.every((p) => p.y > 0);
  let note = again ? "open points: on the way back" : "";
  const fit = DOC.fits[name];
  if (onSize && fit) {
    const k = place(fit.dims, point);
    const [b, db, a, q] = await Promise.all([fit.exponent, fit.error, fit.log_amplitude, fit.fit_probability].map(array));
    if (Number.isFinite(b[k]) && yLog) {
      const ends = [Math.min(...coordinate.values), Math.max(...coordinate.values)];
      series.push({ name: "", silent: true, fit: true, colour: "var(--ink)", points: ends.map((x) => ({ x, y: Math.exp(a[k] + b[k] * Math.log(x)) })) });
      note = `power law, exponent ${withError(b[k], db[k])}${Number.isFinite(q[k]) ? `, fit probability ${probability(q[k])}` : ""}`;
    } else if (!yLog) series[0].joined = true;
  }
  const others = about.dims.filter((dim) => dim !== axis && sizeOf(dim) > 1 && dim !== by);
  const where = others.length ? ` at ${others.map((dim) => `${DOC.axes[dim].symbol} = ${told(dim, stepAt(point, dim))}`).join(", ")}` : "";
  const ticks = texts || logit ? coordinate.values.map((value, i) => ({ at: at(i), text: typeof value === "number" ? valueText(coordinate, i) : clipped(value, 12) }))
    : coordinate.values.length <= 9 && ((onSize && xLog) || (!again && coordinate.values.every(Number.isInteger))) ? coordinate.values.map((value) => ({ at: value, text: short(value) })) : null;
  const unit = about.unit === "1" || about.label.includes(about.unit) ? "" : ` (${about.unit})`;
  return chart({
    title: `${about.label}${where}`, note, xLabel: coordinate.label, yLabel: `${about.label}${unit}`,
    xLog, yLog, xTicks: ticks, series, wide, legend: by ? DOC.axes[by].symbol : "",
    marks: onSize || texts ? [] : [{ x: at(stepAt(point, axis)), here: true }, ...borderMarks(axis, point)],
  });
}

/** Borders along an axis at a point, as upright lines with their intervals. */
function borderMarks(axis, point) {
  const panel = panelAt(point);
  if (!panel || DOC.axes[axis].scale === "logit" || !DOC.axes[axis].numbers) return [];
  return panel.boundaries.filter((border, k) => border.along === axis && Object.entries(panel.places[k]).every(
    ([name, number]) => stepAt(point, name) === number))
    .map((border) => ({ border, ...(ends3(border.estimate, border) || { value: NaN }) }))
    .filter((one) => Number.isFinite(one.value))
    .map((one) => ({ x: one.value, low: one.low, high: one.high }));
}
