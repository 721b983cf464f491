// What happens when: the page is drawn once, and again where something was chosen.

const KEPT = `criticality ${location.pathname}`;

/** Keep what was chosen, for when the page is read again. */
function keep() {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify({ ...state, theme: document.documentElement.dataset.theme || "", scroll: window.scrollY }));
  } catch { /* a browser that keeps nothing */ }
}

function recall() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) || {};
  } catch {
    return {};
  }
}

function switchTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  keep();
  drawAll();
}

/** Open the cell under the cursor, or close it. */
async function open(shown) {
  state.open = shown;
  keep();
  await showCell();
}

function drawPlane() {
  const section = document.getElementById("plane");
  const every = quantities();
  const groups = new Map();
  for (const one of every) {
    if (!groups.has(one.group)) groups.set(one.group, []);
    groups.get(one.group).push(one);
  }
  const select = el("select", { id: "quantity", autocomplete: "off", onchange: (e) => { state.quantity = e.target.value; keep(); showSliders(); drawMap(); drawLine(); showCell(); } },
    [...groups].map(([name, members]) => el("optgroup", { label: name }, members.map((one) =>
      el("option", { value: one.id, selected: one.id === state.quantity }, plainText(one.title))))));
  const sliders = furtherAxes().map((axis) => {
    const output = el("output", { for: `axis-${axis}` }, told(axis, stepAt(state.point, axis)));
    return el("label", { class: "slider", "data-axis": axis }, el("span", {}, rich(DOC.axes[axis].symbol)),
      el("input", {
        type: "range", autocomplete: "off", id: `axis-${axis}`, min: 0, max: sizeOf(axis) - 1, step: 1, value: stepAt(state.point, axis),
        "aria-label": plainText(DOC.axes[axis].label), "aria-valuetext": told(axis, stepAt(state.point, axis)),
        oninput: (e) => {
          state.point[axis] = Number(e.target.value);
          output.textContent = told(axis, state.point[axis]);
          e.target.setAttribute("aria-valuetext", output.textContent);
          keep();
          drawMap();
          drawLine();
          showCell();
          if (hovered) fillTooltip({ ...state.point, ...hovered });
        },
      }), output);
  });
  const canvas = PLANE.length ? el("canvas", {
    tabindex: 0, role: "application",
    "aria-label": `Map over ${PLANE.map((axis) => plainText(DOC.axes[axis].label)).join(" and ")}: arrow keys move over the cells, Enter opens one, Escape closes it`,
    "aria-describedby": "tooltip",
    onpointermove: hover, onpointerleave: hideTooltip, onclick: chooseCell, onkeydown: onKey,
    onfocus: () => { moveCursor(); if (canvas.matches(":focus-visible")) tooltipAtCursor(); },
    onblur: () => { moveCursor(); hideTooltip(); },
  }) : null;
  const title = DOC.panels.length ? "Phases" : PLANE.length ? "What was measured" : "The point";
  section.replaceChildren(heading("plane", title),
    DOC.no_phases ? el("p", { class: DOC.no_phases.startsWith("No phases here") ? "intro strong" : "intro" }, DOC.no_phases) : "",
    el("div", { class: "controls" }, PLANE.length ? el("label", {}, "Show ", select) : "", sliders,
      DOC.panels.some((one) => one.boundaries.length) ? el("label", {}, el("input", { type: "checkbox", id: "borders", checked: !state.bare, onchange: (e) => { state.bare = !e.target.checked; keep(); drawMap(); } }), " borders") : ""),
    el("div", { class: PLANE.length ? "plane" : "plane single" },
      PLANE.length ? el("div", {}, PLANE.length === 1 ? el("div", { id: "line" }) : "", el("div", { id: "map", class: PLANE.length === 1 ? "map strip" : "map" }, canvas), el("div", { id: "key", class: "key" })) : "",
      el("div", {}, el("p", { id: "hint", class: "quiet" }, "Point at a cell for its numbers; click it for its curves. With the keyboard: Tab to the map, arrow keys, Enter."),
        el("aside", { id: "cell", "aria-label": "Opened cell", hidden: true }))),
    el("div", { id: "curves", hidden: true }));
  showSliders();
}

/** Show the sliders of axes that what is shown varies with, and no others. */
function showSliders() {
  const needed = shownAxes();
  document.querySelectorAll(".slider").forEach((slider) => { slider.hidden = !needed.has(slider.dataset.axis); });
}

/** Name of what is drawn as a curve along a plane of one axis. */
function lineQuantity() {
  return state.quantity.includes(":") ? state.quantity.slice(state.quantity.indexOf(":") + 1) : DOC.order[0];
}

/** Of a plane of one axis: the quantity as a curve, a line for each size. */
async function drawLine() {
  const holder = document.getElementById("line");
  if (!holder) return;
  const name = lineQuantity();
  const about = DOC.observables[name];
  if (about && about.dims.includes(PLANE[0]) && !state.quantity.startsWith("error:")) {
    const figure = await curveAlong(name, PLANE[0], state.point, true);
    holder.replaceChildren(figure);
    return;
  }
  const panel = panelAt(state.point);
  if (panel && panel.columns[name] && DOC.axes[PLANE[0]].numbers) {
    const all = await columns(panel);
    const points = DOC.axes[PLANE[0]].values.map((x, i) => {
      const k = place(panel.dims, { ...state.point, [PLANE[0]]: i });
      return { x, y: all[name][k], error: all[`${name}_error`] ? all[`${name}_error`][k] : NaN };
    });
    const titled = DOC.quantities[name] ? DOC.quantities[name].title : name;
    holder.replaceChildren(chart({ wide: true, title: titled, xLabel: DOC.axes[PLANE[0]].label, yLabel: titled, xLog: DOC.axes[PLANE[0]].scale === "log" && points.every((p) => p.x > 0), series: [{ name: "", colour: "var(--accent)", points }], marks: borderMarks(PLANE[0], state.point) }));
    return;
  }
  holder.replaceChildren();
}

// --- pointer and keys ---

let hovered = null;  // cell that the tooltip is about

async function hover(event) {
  const cell = cellUnder(event);
  if (!cell) return hideTooltip();
  const tooltip = document.getElementById("tooltip");
  const [x, y] = [event.clientX, event.clientY];
  if (tooltip.hidden || JSON.stringify(cell) !== JSON.stringify(hovered)) {
    hovered = cell;
    await fillTooltip({ ...state.point, ...cell });
    if (hovered !== cell) return undefined;  // the pointer went on
  }
  return showTooltip(x, y);
}

function showTooltip(x, y) {
  const tooltip = document.getElementById("tooltip");
  tooltip.hidden = false;
  const { width, height } = tooltip.getBoundingClientRect();
  const left = x + 18 + width > window.innerWidth ? Math.max(4, x - width - 14) : x + 18;
  const top = Math.max(4, Math.min(y + 14, window.innerHeight - height - 6));
  Object.assign(tooltip.style, { left: `${left}px`, top: `${top}px` });
}

function hideTooltip() {
  const tooltip = document.getElementById("tooltip");
  tooltip.hidden = true;
  hovered = null;
}

async function tooltipAtCursor() {
  const canvas = document.querySelector("#map canvas");
  await fillTooltip(state.point);
  if (!drawing || document.activeElement !== canvas) return;
  const rect = drawing.rects[stepAt(state.point, PLANE[0])][PLANE[1] ? stepAt(state.point, PLANE[1]) : 0];
  const frame = canvas.getBoundingClientRect();
  showTooltip(frame.left + rect.x + rect.w, frame.top + rect.y + rect.h / 2);
}

async function chooseCell(event) {
  const cell = cellUnder(event);
  if (!cell) return;
  Object.assign(state.point, cell);
  event.currentTarget.focus({ preventScroll: true });
  hideTooltip();
  await open(true);
}

async function onKey(event) {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] }[event.key];
  if (step) {
    const axis = PLANE[PLANE.length > 1 ? step[0] : 0];
    const edges = DOC.axes[axis].edges;
    const way = edges[edges.length - 1] >= edges[0] ? step[1] : -step[1];
    const next = stepAt(state.point, axis) + way;
    event.preventDefault();
    if (next >= 0 && next < sizeOf(axis)) {
      state.point[axis] = next;
      keep();
      moveCursor();
      if (state.open) await showCell();
      await tooltipAtCursor();
    }
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    hideTooltip();
    await open(true);
  } else if (event.key === "Escape") {
    if (!document.getElementById("tooltip").hidden) hideTooltip();
    await open(false);
  }
}

// --- the whole ---

async function drawAll() {
  drawPlane();
  drawBoundaries();
  drawScaling();
  drawUnresolved();
  drawRun();
  drawNumbers();
  drawHeader();
  document.getElementById("footer").replaceChildren(el("p", {}, `Made by criticality ${(DOC.run.made_by.criticality || [{ value: "" }])[0].value} from the store ${DOC.store}, ${DOC.made}. Errors are standard errors, given in the last digits; the methods are told with the numbers.`));
  await Promise.all([drawMap(), drawLine(), showCell()]);
}

/** A cell to begin with: the middle one that was measured. */
async function firstCell() {
  const panel = DOC.panels[0];
  if (panel) Object.assign(state.point, panel.index);
  for (const axis of furtherAxes()) if (state.point[axis] === undefined) state.point[axis] = axis === DOC.size || DOC.axes[axis].inner ? largest(axis) : 0;
  for (const axis of PLANE) state.point[axis] = Math.floor((sizeOf(axis) - 1) / 2);
  if (!panel || !PLANE.length) return;
  const measured = await array(panel.measured);
  let best = null;
  for (let i = 0; i < sizeOf(PLANE[0]); i += 1) {
    for (let j = 0; j < (PLANE[1] ? sizeOf(PLANE[1]) : 1); j += 1) {
      const at = PLANE[1] ? { [PLANE[0]]: i, [PLANE[1]]: j } : { [PLANE[0]]: i };
      if (measured[place(panel.dims, at)] !== 1) continue;
      const far = Math.hypot(i - state.point[PLANE[0]], PLANE[1] ? j - state.point[PLANE[1]] : 0);
      if (!best || far < best.far) best = { far, at };
    }
  }
  if (best) Object.assign(state.point, best.at);
}

function largest(axis) {
  const { values, numbers } = DOC.axes[axis];
  return numbers ? values.indexOf(Math.max(...values)) : values.length - 1;
}

async function begin() {
  const kept = recall();
  if (kept.theme) document.documentElement.dataset.theme = kept.theme;
  const every = quantities();
  await firstCell();
  state.open = true;
  if (kept.point) {
    for (const [axis, at] of Object.entries(kept.point)) if (DOC.axes[axis] && at < sizeOf(axis)) state.point[axis] = at;
    state.open = Boolean(kept.open);
    state.curves = kept.curves;
    state.bare = kept.bare;
  }
  const first = DOC.panels.length ? "phase" : `mean:${DOC.order[0] || Object.keys(DOC.observables)[0]}`;
  state.quantity = every.some((one) => one.id === kept.quantity) ? kept.quantity : every.some((one) => one.id === first) ? first : every[0] ? every[0].id : "";
  await drawAll();
  if (kept.scroll) window.scrollTo({ top: kept.scroll, behavior: "instant" });  // not seen to move
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    drawMap();
  });
  window.addEventListener("scroll", keep, { passive: true });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  let before = null;
  window.addEventListener("beforeprint", () => {
    before = document.documentElement.dataset.theme || "";
    document.documentElement.dataset.theme = "light";
    state.printing = true;
    drawAll();
  });
  window.addEventListener("afterprint", () => {
    state.printing = false;
    if (before) document.documentElement.dataset.theme = before;
    else delete document.documentElement.dataset.theme;
    drawAll();
  });
  if (DOC.live) {
    document.documentElement.dataset.live = "1";
    setTimeout(() => { keep(); location.reload(); }, 1000 * DOC.live);
  }
  document.documentElement.dataset.ready = "1";
}

begin();
