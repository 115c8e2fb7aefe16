"use strict";
(() => {
  const order = new Intl.Collator("en", { numeric: true });

  // Unknown values have no data-value and come last in either direction.
  function sortBy(table, place, numeric, ascending) {
    const sign = ascending ? 1 : -1;
    const keyed = [...table.tBodies[0].rows].map((row) => {
      const cell = row.cells[place];
      const text = numeric ? cell.dataset.value : cell.textContent.trim();
      return { row, known: text !== "" && text !== "-", key: numeric ? Number(text) : text };
    });
    keyed.sort((a, b) => {
      if (a.known !== b.known) return a.known ? -1 : 1;
      if (!a.known) return 0;
      return sign * (numeric ? a.key - b.key : order.compare(a.key, b.key));
    });
    table.tBodies[0].append(...keyed.map((one) => one.row));
  }

  // A narrow screen shows each row as a card, whose numbers need their names.
  const narrow = matchMedia("(max-width: 600px)");
  function label() {
    if (!narrow.matches) return;
    for (const table of document.querySelectorAll(".table table:not(.labelled)")) {
      const names = [...table.tHead.rows[0].cells].map((one) => one.textContent.trim());
      for (const row of table.tBodies[0].rows) [...row.cells].forEach((cell, place) => { cell.dataset.label = names[place]; });
      table.classList.add("labelled");
    }
  }
  label();
  narrow.addEventListener("change", label);
  for (const drawing of document.querySelectorAll(".drawing")) {
    const enlarge = () => { if (narrow.matches) drawing.classList.toggle("enlarged"); };
    drawing.addEventListener("click", enlarge);
    drawing.addEventListener("keydown", (event) => { if (event.key === "Enter") enlarge(); });
  }

  for (const table of document.querySelectorAll(".scroll table")) {
    if (table.tBodies[0].rows.length < 2) continue;
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, place) => {
      const numeric = head.classList.contains("number");
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        // Numbers are wanted largest first, texts from A.
        const ascending = before === "none" ? !numeric : before === "descending";
        for (const other of heads) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        sortBy(table, place, numeric, ascending);
      });
    });
  }

  // Without scripts the link saves the packed file; with them, the file itself.
  async function unpacked(link) {
    const bytes = Uint8Array.from(atob(link.href.split(",")[1]), (one) => one.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Blob([await new Response(stream).arrayBuffer()], { type: "text/csv;charset=utf-8" });
  }
  for (const link of document.querySelectorAll("a[data-packed]")) {
    link.addEventListener("click", async (event) => {
      if (!("DecompressionStream" in globalThis)) return;
      event.preventDefault();
      const plain = document.createElement("a");
      plain.href = URL.createObjectURL(await unpacked(link));
      plain.download = link.download.replace(/\.gz$/, "");
      plain.click();
      setTimeout(() => URL.revokeObjectURL(plain.href), 60000);
    });
  }

  const root = document.documentElement;
  const toggle = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const name = () => { toggle.textContent = isDark() ? "Light" : "Dark"; };
  toggle.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; name(); });
  system.addEventListener("change", name);
  toggle.hidden = false;
  name();

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
    opened = [];
  });
})();
