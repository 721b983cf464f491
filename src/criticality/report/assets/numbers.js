// Numbers as people read them, and scales of axes.

/** Value with its standard error in the last digits, 0.4516(30): as the commands print it. */
function withError(value, error) {
  if (value === null || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (!(Number.isFinite(error) && error > 0)) return short(value);
  const power = Number(error.toExponential(1).split("e")[1]);
  const digits = Math.max(0, 1 - power);
  if (digits > 12 || Math.abs(value) >= 1e9) {
    const known = Math.floor(Math.log10(Math.abs(value) || error)) - power + 1;
    return minus(`${value.toExponential(Math.min(12, Math.max(1, known)))} ± ${error.toExponential(1)}`);
  }
  return minus(`${value.toFixed(digits)}(${Math.round(error * 10 ** digits)})`);
}

/** So many significant digits, four by default. */
function short(value, digits = 4) {
  if (typeof value !== "number") return value === null || value === undefined ? "–" : String(value);
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return minus(String(value));
  const size = Math.abs(value);
  if (size && (size < 1e-3 || size >= 1e6)) return minus(Number(value.toPrecision(Math.max(3, digits - 1))).toExponential());
  return minus(String(Number(value.toPrecision(digits))));
}

/** Number at a tick: all its digits, where four would not tell it from the next. */
function tickText(value) {
  const text = short(value);
  const same = Math.abs(Number(text.replaceAll("−", "-")) - value) <= 1e-9 * Math.abs(value);
  return same ? text : minus(String(value));
}

/** A probability: two digits say enough. */
function probability(value) {
  return typeof value === "number" ? short(Number(value.toPrecision(2))) : short(value);
}

function minus(text) {
  return text.replaceAll("-", "−");
}

/** An interval, with two digits of what is between its ends; of one, those of its error. */
function interval(low, high, error) {
  const width = Number.isFinite(low) && Number.isFinite(high) ? high - low : error;
  const digits = width > 0 ? 1 - Math.floor(Math.log10(width)) : NaN;
  const end = (value) => {
    if (value === Infinity || value === -Infinity) return "beyond the grid";
    return digits >= 0 && digits <= 15 ? minus(value.toFixed(digits)) : short(value, 12);
  };
  return `[${end(low)}, ${end(high)}]`;
}

/** Value on the scale of an axis. */
function scaled(value, scale) {
  if (scale === "log") return Math.log(value);
  if (scale === "logit") return Math.log(value / (1 - value));
  return value;
}

/** Ticks of a linear axis: round numbers, about so many. */
function linearTicks(low, high, number) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / Math.max(1, number);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough) || 10 * power;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * span; i += 1) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}

/** Ticks of a logarithmic axis, between two positive numbers. */
function logTicks(low, high) {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const every = Math.max(1, Math.ceil((last - first) / 6));
  for (const parts of [[1], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]]) {
    const found = [];
    for (let power = first; power <= last; power += every) {
      for (const part of parts) {
        const tick = part * 10 ** power;
        if (tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)) found.push(tick);
      }
    }
    if (found.length >= 3) return found;
  }
  return linearTicks(low, high, 4);
}

/** Colour at a fraction of a colour map. */
function shade(map, fraction) {
  const colours = COLOUR_MAPS[map];
  const at = Math.round(Math.min(1, Math.max(0, fraction)) * (colours.length - 1));
  return colours[at];
}

/** Colours of so many curves that have an order; all of them seen on the page's ground. */
function shades(number) {
  const [first, last] = isDark() ? [0.5, 1] : [0, 0.86];
  return Array.from({ length: number }, (_, i) =>
    shade("values", number > 1 ? first + (last - first) * (i / (number - 1)) : isDark() ? 0.7 : 0.25));
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen) return chosen === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}
