// The document, and its arrays: unpacked when they are first looked at.

const DOC = JSON.parse(document.getElementById("document").textContent);
// names are anybody's: nothing is found in these but what was put there
for (const part of ["axes", "observables", "quantities", "fits"]) Object.setPrototypeOf(DOC[part], null);
for (const panel of DOC.panels) Object.setPrototypeOf(panel.columns, null);
const unpacked = new Map();

/** Numbers of an array of the document. */
function array(number) {
  if (!unpacked.has(number)) unpacked.set(number, unpack(DOC.arrays[number]));
  return unpacked.get(number);
}

async function unpack(about) {
  const text = atob(about.data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = await new Response(stream).arrayBuffer();
  return about.code === "f8" ? new Float64Array(raw) : new Float32Array(raw);
}

const sizeOf = (axis) => DOC.axes[axis].values.length;

/** Number of the value of an axis at a point {axis: number}. */
const stepAt = (point, axis) => (Number.isInteger(point[axis]) ? point[axis] : 0);

/** Place in an array over these dimensions, last one fastest, of a point {axis: number}. */
function place(dims, point) {
  let at = 0;
  for (const dim of dims) at = at * sizeOf(dim) + stepAt(point, dim);
  return at;
}

/** Panel of phases at a point, or none. */
function panelAt(point) {
  return DOC.panels.find((one) => Object.entries(one.index).every(([n, i]) => stepAt(point, n) === i));
}

/** Columns of a panel: {name: numbers}. */
async function columns(panel) {
  const names = Object.keys(panel.columns);
  const values = await Promise.all(names.map((name) => array(panel.columns[name].array)));
  return Object.fromEntries(names.map((name, i) => [name, values[i]]));
}

const digits = new Map();  // by axis, as many as tell its values apart

/** Value of an axis in as many digits as tell it from the others. */
function valueText(about, number) {
  const value = about.values[number];
  if (typeof value !== "number") return String(value);
  if (!digits.has(about)) {
    const numbers = [...new Set(about.values)];
    let enough = 4;
    while (enough < 17 && new Set(numbers.map((v) => short(v, enough))).size < numbers.length) enough += 1;
    digits.set(about, enough);
  }
  return short(value, digits.get(about));
}

/** Value of a coordinate, as it is told; one that comes again, with its number. */
function told(axis, number) {
  const about = DOC.axes[axis];
  const again = about.values.filter((v) => v === about.values[number]).length > 1;
  return valueText(about, number) + (again ? ` (no. ${number + 1})` : "");
}

/** Rows of a panel's cells, as `criticality phases --json` has them. */
async function rowsOf(panel) {
  const all = await columns(panel);
  const total = panel.dims.reduce((n, dim) => n * sizeOf(dim), 1);
  const rows = [];
  for (let i = 0; i < total; i += 1) {
    const row = {};
    let rest = i;
    const at = {};
    for (const dim of [...panel.dims].reverse()) {
      at[dim] = rest % sizeOf(dim);
      rest = Math.floor(rest / sizeOf(dim));
    }
    for (const dim of panel.dims) row[dim] = DOC.axes[dim].values[at[dim]];
    for (const [name, { kind }] of Object.entries(panel.columns)) {
      const value = all[name][i];
      if (kind === "phase") row[name] = DOC.phases[value].name;
      else if (kind === "truth") row[name] = value === 1;
      else row[name] = Number.isFinite(value) ? value : null;
    }
    rows.push(row);
  }
  return rows;
}
