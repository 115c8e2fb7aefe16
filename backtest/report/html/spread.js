"use strict";
// How the trades shown are spread: returns, excursions, months. Each drawing is walked with the arrow keys.
addEventListener("explore", ({ detail: { place, data, shown, percent, describe, go } }) => {
  const MOST = 3000, W = 420, H = 240, L = 44, B = 30, T = 8, R = 10;
  const node = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const steps = (low, high, count) => {
    const rough = (high - low) / count || 0.01, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((one) => one * power >= rough);
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9; k += 1) found.push(k * step);
    return [found, Math.max(0, Math.ceil(-Math.log10(step * 100) - 1e-9))];
  };

  // Axes, then marks; hovering or an arrow key says what a mark stands for, Enter follows it.
  function sheet(box, spans, names, percentUp) {
    const svg = node("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": box.getAttribute("aria-label") });
    const [x0, x1, y0, y1] = spans;
    const x = (value) => L + (W - L - R) * (value - x0) / (x1 - x0), y = (value) => H - B - (H - B - T) * (value - y0) / (y1 - y0);
    const [across, digits] = steps(x0, x1, 5), [up, upDigits] = steps(y0, y1, 4);
    for (const value of across) {
      svg.append(node("line", { x1: x(value), x2: x(value), y1: T, y2: H - B, class: value === 0 ? "axis" : "rule" }),
        node("text", { x: x(value), y: H - B + 13, "text-anchor": "middle" }, percent(value, digits)));
    }
    for (const value of up) {
      if (!percentUp && value % 1) continue;
      svg.append(node("line", { x1: L, x2: W - R, y1: y(value), y2: y(value), class: value === 0 ? "axis" : "rule" }),
        node("text", { x: L - 4, y: y(value) + 4, "text-anchor": "end" }, percentUp ? percent(value, upDigits) : String(value)));
    }
    svg.append(node("text", { x: W - R, y: H - 3, "text-anchor": "end", class: "name" }, names[0]), node("text", { x: L + 4, y: T + 8, class: "name" }, names[1]));
    return { svg, x, y };
  }
  function walk(box, svg, marks) {
    const said = box.nextElementSibling;
    const say = (mark) => {
      for (const one of svg.querySelectorAll(".here")) one.classList.remove("here");
      mark?.node.classList.add("here");
      said.textContent = mark ? mark.text : "";
    };
    let now = -1;
    for (const [k, mark] of marks.entries()) {
      mark.node.addEventListener("pointerenter", () => { now = k; say(mark); });
      if (mark.follow) mark.node.addEventListener("click", mark.follow);
    }
    box.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (step && marks.length) { now = Math.max(0, Math.min(marks.length - 1, now + step)); say(marks[now]); } else if (event.key === "Enter" && marks[now]?.follow) marks[now].follow();
      else return;
      event.preventDefault();
    };
    box.replaceChildren(svg);
    say(null);
    box.dataset.marks = marks.length;
  }
  const empty = (box) => { const told = document.createElement("p"); told.className = "missing"; told.textContent = "No trade is shown."; box.replaceChildren(told); box.nextElementSibling.textContent = ""; box.dataset.marks = 0; };

  function returns(box) {
    const known = shown.filter((one) => one.net != null);
    if (!known.length) return empty(box);
    // The outermost hundredth on either side is put into the last bars, so that one trade does not flatten the rest.
    const sorted = known.map((one) => one.net).sort((a, b) => a - b), n = sorted.length;
    const low = Math.min(sorted[Math.floor(0.01 * n)], -0.01), high = Math.max(sorted[Math.ceil(0.99 * n) - 1], 0.01);
    const wide = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10].find((one) => (high - low) / one <= 28) ?? 20;
    const first = Math.floor(low / wide), last = Math.max(first + 1, Math.ceil(high / wide));
    const bins = Array.from({ length: last - first }, () => []);
    for (const one of known) bins[Math.max(0, Math.min(bins.length - 1, Math.floor(one.net / wide + 1e-9) - first))].push(one);
    const most = Math.max(...bins.map((one) => one.length));
    const { svg, x, y } = sheet(box, [first * wide, last * wide, 0, most * 1.08], ["net return of a trade", "trades"], false);
    const digits = wide < 0.01 ? 1 : 0;
    const marks = bins.map((held, k) => {
      const [from, to] = [(first + k) * wide, (first + k + 1) * wide];
      const bar = node("rect", { x: x(from) + 0.5, width: Math.max(0.5, x(to) - x(from) - 1), y: y(held.length), height: y(0) - y(held.length), class: from < -1e-9 ? "lost" : "won" });
      svg.append(bar);
      const beyond = k === 0 && sorted[0] < from ? `, the least ${percent(sorted[0])}` : k === bins.length - 1 && sorted[n - 1] > to ? `, the greatest ${percent(sorted[n - 1])}` : "";
      return { node: bar, text: `${held.length} trades with net ${percent(from, digits)} to ${percent(to, digits)}${beyond}` };
    });
    walk(box, svg, marks.filter((_, k) => bins[k].length));
  }

  function scatter(box) {
    const known = shown.filter((one) => one.adverse != null).slice(0, MOST);
    if (!known.length) return empty(box);
    // Marks beyond the outermost fiftieth stand at the edge: their own figures are told.
    const edge = (values, far) => { const sorted = [...values].sort((a, b) => a - b); return sorted[Math.min(sorted.length - 1, Math.ceil(0.98 * sorted.length) - 1)] * (sorted.length < 50 ? 1 : far); };
    const left = -Math.max(0.01, edge(known.map((one) => -one.adverse), 1.15)), top = Math.max(0.01, edge(known.map((one) => one.favourable), 1.15));
    const { svg, x, y } = sheet(box, [left * 1.04, -left * 0.04, -top * 0.04, top * 1.06], ["furthest against (MAE)", "furthest ahead (MFE)"], true);
    const ordered = [...known].sort((a, b) => a.net - b.net);
    const marks = ordered.map((one) => {
      const [cx, cy] = [x(Math.max(one.adverse, left)), y(Math.min(one.favourable, top))];
      const mark = one.net > 0 ? node("circle", { cx, cy, r: 3.4, class: "won" }) : node("path", { d: `M${cx - 3} ${cy - 3}l6 6m0 -6l-6 6`, class: "lost cross" });
      svg.append(mark);
      return { node: mark, text: `${describe(one)}; furthest against ${percent(one.adverse)}, furthest ahead ${percent(one.favourable)}`, follow: () => go(one) };
    });
    walk(box, svg, marks);
    if (known.length < shown.length) box.nextElementSibling.textContent = `The first ${known.length} trades are drawn.`;
  }

  function months(box) {
    if (!shown.length) return empty(box);
    const cells = new Map(), names = [...new Set(shown.map((one) => one.symbol))];
    const month = (one) => new Date((one.exit_at - 1) * 1000).toISOString().slice(0, 7);
    for (const one of shown) {
      const key = `${one.symbol} ${month(one)}`;
      if (one.net != null) cells.set(key, [...(cells.get(key) ?? []), one.net]);
    }
    const all = [...new Set(shown.map(month))].sort();
    const mean = (values) => values.reduce((sum, one) => sum + one, 0) / values.length;
    const most = Math.max(...[...cells.values()].map((one) => Math.abs(mean(one))));
    const table = document.createElement("table"), head = table.createTHead().insertRow();
    for (const text of ["", ...all]) { const cell = document.createElement("th"); cell.scope = "col"; cell.textContent = text; head.append(cell); }
    const body = table.createTBody();
    for (const name of names) {
      const row = body.insertRow(), title = document.createElement("th");
      title.scope = "row";
      const base = name.split("/")[0];
      title.textContent = names.filter((one) => one.split("/")[0] === base).length > 1 ? name : base;
      title.title = name;
      row.append(title);
      for (const at of all) {
        const held = cells.get(`${name} ${at}`), cell = row.insertCell();
        if (!held) continue;
        const value = mean(held), count = document.createElement("small");
        count.textContent = `${held.length} ${held.length === 1 ? "trade" : "trades"}`;
        cell.append(percent(value), count);
        cell.style.background = `color-mix(in srgb, var(--${value > 0 ? "green" : "red"}) ${Math.round(45 * Math.sqrt(Math.abs(value) / most))}%, var(--paper))`;
      }
    }
    box.replaceChildren(table);
    box.dataset.marks = cells.size;
  }

  returns(place.querySelector(".returns"));
  scatter(place.querySelector(".scatter"));
  months(place.querySelector(".months"));
});
