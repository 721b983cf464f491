// Elements. Whatever is written in a store enters the page as text, never as markup.

/** Make an HTML element; `children` are nodes, texts, or nothing. */
function el(name, attributes, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Make an SVG element. */
function svg(name, attributes, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

// --- the little TeX of labels: $p_\mathrm{eval}$, $N \to \infty$, $\langle\mathcal{L}\rangle$ ---

const SIGNS = {
  alpha: "α", beta: "β", gamma: "γ", delta: "δ", epsilon: "ε", varepsilon: "ε", zeta: "ζ", eta: "η",
  theta: "θ", kappa: "κ", lambda: "λ", mu: "μ", nu: "ν", xi: "ξ", pi: "π", rho: "ρ", sigma: "σ",
  tau: "τ", phi: "φ", varphi: "φ", chi: "χ", psi: "ψ", omega: "ω", Gamma: "Γ", Delta: "Δ",
  Theta: "Θ", Lambda: "Λ", Sigma: "Σ", Phi: "Φ", Psi: "Ψ", Omega: "Ω", ell: "ℓ", infty: "∞",
  to: " → ", langle: "⟨", rangle: "⟩", cdot: "·", times: "×", pm: "±", ln: "ln ", log: "log ",
  max: "max", min: "min", partial: "∂", nabla: "∇", sim: "∼", approx: "≈", leq: "≤", geq: "≥",
  le: "≤", ge: "≥", neq: "≠", ldots: "…", dots: "…", prime: "′", sqrt: "√", star: "∗", ast: "∗",
  circ: "°", sum: "∑", mid: "|", vert: "|", quad: " ", left: "", right: "", hbar: "ħ",
};
const FONTS = new Set(["mathrm", "mathcal", "mathit", "mathbf", "text", "operatorname", "rm", "bar",
  "hat", "tilde", "overline", "mathbb", "mathsf", "boldsymbol"]);
const ACCENTS = { bar: "\u0304", overline: "\u0304", hat: "\u0302", tilde: "\u0303" };
const SCRIPTS = { L: "ℒ", A: "𝒜", O: "𝒪", E: "ℰ", F: "ℱ", H: "ℋ", N: "𝒩", Z: "𝒵", D: "𝒟", S: "𝒮" };

/** Cut a text into runs {text, italic, level}: level 1 is raised, -1 is lowered. */
function runs(text) {
  const found = [];
  String(text).split("$").forEach((part, i, all) => {
    const closed = i % 2 === 1 && i < all.length - 1;
    if (closed) found.push(...mathRuns(part));
    else if (part || i % 2) found.push({ text: (i % 2 ? "$" : "") + part, italic: false, level: 0 });
  });
  return found;
}

function mathRuns(source) {
  const found = [];
  let at = 0;
  const put = (text, italic, level, script) => {
    if (text) found.push({ text, italic, level, script });
  };
  const group = () => {  // what stands in braces, or one sign
    if (source[at] === "{") {
      let depth = 0;
      const from = at + 1;
      for (; at < source.length; at += 1) {
        if (source[at] === "{") depth += 1;
        if (source[at] === "}") depth -= 1;
        if (!depth) break;
      }
      at += 1;
      return source.slice(from, at - 1);
    }
    if (source[at] === "\\") {
      const sign = /^\\([a-zA-Z]+|.)/.exec(source.slice(at));
      at += sign ? sign[0].length : 1;
      if (sign && FONTS.has(sign[1])) return sign[0] + "{" + group() + "}";
      return sign ? sign[0] : "";
    }
    at += 1;
    return source[at - 1] || "";
  };
  while (at < source.length) {
    const sign = source[at];
    if (sign === "_" || sign === "^") {
      at += 1;
      for (const run of mathRuns(group())) put(run.text, run.italic, sign === "^" ? 1 : -1);
    } else if (sign === "\\") {
      const name = (/^\\([a-zA-Z]+)/.exec(source.slice(at)) || [])[1];
      if (!name) {
        const next = source[at + 1] || "";
        put(" ,;:!".includes(next) ? (next === "!" ? "" : "\u2009") : next, false, 0);
        at += 2;
        continue;
      }
      at += name.length + 1;
      if (name === "frac") {
        while (source[at] === " ") at += 1;
        const top = mathRuns(group());
        const below = mathRuns(group());
        found.push(...top, { text: "/", italic: false, level: 0 }, ...below);
      } else if (FONTS.has(name)) {
        while (source[at] === " ") at += 1;
        const inside = name === "rm" ? source.slice(at) : group();  // to the end of its braces
        if (name === "rm") at = source.length;
        const upright = !["bar", "hat", "tilde", "overline", "mathit"].includes(name);
        for (const run of mathRuns(inside)) {
          let shown = run.text;
          if (name === "mathcal") shown = SCRIPTS[shown] || shown;
          put(shown + (ACCENTS[name] || ""), !upright && run.italic, run.level);
        }
      } else put(SIGNS[name] === undefined ? name : SIGNS[name], /^[a-z]/.test(name) && (SIGNS[name] || "").length === 1 && /[α-ω]/.test(SIGNS[name]), 0);
    } else if (sign === "{" || sign === "}") at += 1;
    else if (sign === "~" || sign === " ") {
      if (sign === "~") put("\u00a0", false, 0);
      at += 1;
    } else {
      const letters = /^[a-zA-Z]/.test(sign);
      put(sign === "-" ? "−" : sign === "'" ? "′" : sign, letters, 0);
      at += 1;
    }
  }
  return found;
}

/** Text with its formulas, as HTML nodes. */
function rich(text) {
  return runs(text).map((run) => {
    const inner = run.italic ? el("i", {}, run.text) : document.createTextNode(run.text);
    if (!run.level) return inner;
    return el(run.level > 0 ? "sup" : "sub", {}, inner);
  });
}

/** Text with what stands between backticks as code. */
function coded(text) {
  return String(text).split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part));
}

/** Text with its formulas, as SVG tspans. */
function richSvg(text) {
  let level = 0;
  return runs(text).map((run) => {
    const shift = (level - run.level) * 0.32;  // in em of the base line
    level = run.level;
    return svg("tspan", {
      dy: shift ? `${shift.toFixed(2)}em` : null,
      class: [run.italic && "it", run.level && "small"].filter(Boolean).join(" ") || null,
    }, run.text);
  });
}

/** Text with its formulas, as plain text: for labels that are read aloud. */
function plainText(text) {
  return runs(text).map((run) => run.text).join("");
}
