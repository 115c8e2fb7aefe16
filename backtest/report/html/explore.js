"use strict";
// The run, unpacked: charts of price and of equity that share one time axis, and filters that all of them follow.
(async () => {
  const place = document.getElementById("explore");
  if (!place || !("DecompressionStream" in globalThis)) return;
  const bytes = Uint8Array.from(atob(place.dataset.packed), (one) => one.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = JSON.parse(await new Response(stream).text());
  const C = LightweightCharts;
  // Charts measure the room that they are given.
  place.hidden = false;
  document.getElementById("explore-missing").hidden = true;
  const find = (name) => place.querySelector(`.${name}`);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const when = (at) => new Date(at * 1000).toISOString().slice(0, 16).replace("T", " ");
  const short = (value) => (value == null ? "unknown" : Number(value.toPrecision(6)).toLocaleString("en", { maximumSignificantDigits: 6 }));
  const percent = (value, digits = 1) => (value == null ? "unknown" : `${value > 0 ? "+" : ""}${(100 * value).toFixed(digits)}%`);
  const large = (value) => (value == null ? "unknown" : Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value));
  const bars = data.coins[0].close.length;
  const timeOf = (row) => data.start + row * data.step;
  const rowOf = (time) => Math.round((time - data.start) / data.step);

  const trades = data.trades.map((row, number) => {
    const one = Object.fromEntries(data.fields.map((name, k) => [name, row[k]]));
    const cause = one.catalyst == null ? null : data.catalysts[one.catalyst];
    return { ...one, number, symbol: data.coins[one.coin].name, by: data.strategies[one.strategy].name,
      kind: cause ? cause.kind : "", actor: cause ? cause.actor : "", cause: cause ? cause.id : "" };
  });

  // Filters: what each trade is asked for.
  const asked = { coin: (one) => one.symbol, strategy: (one) => one.by, kind: (one) => one.kind, actor: (one) => one.actor };
  const filters = {};
  for (const [name, of] of Object.entries(asked)) {
    const select = place.querySelector(`select[name=${name}]`);
    const values = [...new Set(trades.map(of).filter(Boolean))];
    if (name === "kind" || name === "actor") values.sort();
    for (const value of ["", ...values]) select.add(new Option(value ? value.replaceAll(name === "kind" ? "_" : "\0", " ") : "all", value));
    select.addEventListener("change", () => show());
    filters[name] = select;
  }
  find("all").addEventListener("click", () => {
    for (const one of Object.values(filters)) one.value = "";
    show();
  });

  // Charts.
  const look = { autoSize: true, layout: { attributionLogo: false, fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 11 },
    timeScale: { timeVisible: true, secondsVisible: false, minBarSpacing: 0.05, tickMarkMaxCharacterLength: 8 },
    localization: { locale: "en", timeFormatter: (at) => `${when(at)} UTC` },
    rightPriceScale: { minimumWidth: 64 }, crosshair: { mode: C.CrosshairMode.Normal },
    handleScroll: { mouseWheel: true, vertTouchDrag: false }, handleScale: { axisPressedMouseMove: { price: false } } };
  const price = C.createChart(find("candles"), look);
  const still = { priceLineVisible: false, lastValueVisible: false };
  const candles = price.addSeries(C.CandlestickSeries, { ...still, borderVisible: false }, 0);
  const rate = { type: "custom", minMove: 0.000001, formatter: (one) => `${(100 * one).toFixed(3)}%` };
  const panes = [["volume", C.HistogramSeries, { type: "volume" }], ["open_interest", C.LineSeries, { type: "volume" }], ["funding", C.HistogramSeries, rate]]
    .map(([name, kind, priceFormat], k) => [name, price.addSeries(kind, { ...still, lineWidth: 1, priceFormat }, k + 1)]);
  price.panes().forEach((pane, k) => pane.setStretchFactor(k ? 1 : 3));
  const worth = C.createChart(find("worth"), look);
  const inPercent = { type: "custom", minMove: 0.0001, formatter: (one) => percent(one, 0) };
  const asGrowth = { ...inPercent, formatter: (one) => percent(one - 1, 0) };
  const lines = data.strategies.map((one) => {
    const [growth, fall] = [0, 1].map((k) => worth.addSeries(C.LineSeries, { ...still, lineWidth: 1, crosshairMarkerRadius: 3, priceFormat: k ? inPercent : asGrowth }, k));
    const ratio = worth.addSeries(C.LineSeries, { ...still, lineWidth: 1, crosshairMarkerRadius: 3 }, 2);
    growth.setData(one.growth.map((value, row) => point(row, value == null ? null : 1 + value)));
    fall.setData(one.drawdown.map((value, row) => point(row, value)));
    ratio.setData(one.sharpe.map(([row, value]) => point(row, value)));
    return [growth, fall, ratio];
  });
  worth.panes().forEach((pane, k) => pane.setStretchFactor(k ? 1 : 2));
  const named = [[price, ["price", "volume, coins", "open interest", "funding rate"]], [worth, ["equity since the start", "drawdown", `Sharpe ratio of ${data.window} days`]]]
    .flatMap(([chart, names]) => chart.panes().map((pane, k) => [names[k], C.createTextWatermark(pane, { horzAlign: "left", vertAlign: "top", lines: [] })]));
  // Equity that spans much is read as factors: equal heights are equal growth.
  const factors = data.strategies.flatMap((one) => one.growth).filter((one) => one != null).map((one) => 1 + one);
  const least = factors.reduce((a, b) => Math.min(a, b), 1), greatest = factors.reduce((a, b) => Math.max(a, b), 1);
  if (least > 0 && greatest / least > 3) worth.priceScale("right", 0).applyOptions({ mode: C.PriceScaleMode.Logarithmic });
  function point(row, value) { return value == null ? { time: timeOf(row) } : { time: timeOf(row), value }; }

  let coin = 0, shown = [], marked = [], at = 0;
  const markers = C.createSeriesMarkers(candles, []);
  const upright = {
    // Catalysts of the coin, as numbered lines at the instant when they were certain to be public.
    updateAllViews() {},
    paneViews: () => [{ zOrder: () => "bottom", renderer: () => ({ draw: (target) => target.useBitmapCoordinateSpace((space) => {
      const ink = space.context, ratio = space.horizontalPixelRatio;
      ink.font = `${11 * ratio}px ${look.layout.fontFamily}`;
      let free = [-99, -99, -99];
      for (const one of marked) {
        const x = price.timeScale().timeToCoordinate(timeOf(one.row));
        if (x == null || x < 0 || x * ratio > space.bitmapSize.width) continue;
        ink.fillStyle = colour("purple");
        ink.globalAlpha = 0.55;
        ink.fillRect(Math.round(x * ratio), 0, Math.max(1, Math.floor(ratio)), space.bitmapSize.height);
        ink.globalAlpha = 1;
        const level = free.findIndex((edge) => edge < x), text = String(one.number);
        if (level < 0) continue;
        ink.fillText(text, (x + 3) * ratio, (26 + 13 * level) * ratio);
        free[level] = x + 6 + 7 * text.length;
      }
    }) }) }],
  };
  candles.attachPrimitive(upright);

  function paint() {
    const [ink, paper, grid, gain, loss, blue, muted] = ["ink", "paper", "grid", "gain", "loss", "blue", "muted"].map(colour);
    for (const chart of [price, worth]) {
      chart.applyOptions({
        layout: { background: { type: "solid", color: paper }, textColor: ink, panes: { separatorColor: grid, separatorHoverColor: grid } },
        grid: { vertLines: { color: grid }, horzLines: { color: grid } },
        rightPriceScale: { borderColor: grid }, timeScale: { borderColor: grid },
        crosshair: { vertLine: { color: muted, labelBackgroundColor: muted }, horzLine: { color: muted, labelBackgroundColor: muted } },
      });
    }
    candles.applyOptions({ upColor: gain, downColor: loss, wickUpColor: gain, wickDownColor: loss });
    for (const [text, watermark] of named) watermark.applyOptions({ lines: [{ text, color: muted, fontSize: 11, fontFamily: look.layout.fontFamily }] });
    for (const [name, series] of panes) series.applyOptions({ color: name === "open_interest" ? blue : muted });
    const hues = ["blue", "orange", "green", "red", "purple", "sky"].map(colour);
    const chosen = data.strategies.findIndex((one) => one.name === filters.strategy.value);
    lines.forEach((series, k) => series.forEach((one) => one.applyOptions({
      color: hues[k % hues.length], lineStyle: k < hues.length ? 0 : 2, lineWidth: k === chosen ? 3 : 1, visible: chosen < 0 || k === chosen,
    })));
    mark();
    keyed(Math.max(0, worthAt));
  }

  // What is bought points up and stands below its bar, what is sold points down above it; a circle is an exit.
  function mark() {
    const [gain, loss] = ["gain", "loss"].map(colour);
    const fills = shown.filter((one) => one.coin === coin).flatMap((one) => [[one.entry, one.side > 0, true], [one.exit, one.side < 0, false]]);
    fills.sort((a, b) => a[0] - b[0]);
    markers.setMarkers(fills.map(([row, bought, entry]) => ({
      time: timeOf(row), position: bought ? "belowBar" : "aboveBar", color: bought ? gain : loss,
      shape: entry ? (bought ? "arrowUp" : "arrowDown") : "circle", size: entry ? 0.7 : 0.4,
    })));
    place.dataset.fills = fills.length;
  }

  function show() {
    shown = trades.filter((one) => Object.entries(filters).every(([name, select]) => !select.value || asked[name](one) === select.value));
    const counts = data.coins.map((_, k) => shown.filter((one) => one.coin === k).length);
    const wanted = filters.coin.value ? data.coins.findIndex((one) => one.name === filters.coin.value) : counts.indexOf(Math.max(...counts));
    draw(wanted);
    const median = (values) => { const known = values.filter((one) => one != null).sort((a, b) => a - b); const n = known.length;
      return n ? (known[(n - 1) >> 1] + known[n >> 1]) / 2 : null; };
    const won = shown.filter((one) => one.net > 0).length;
    find("count").textContent = `${shown.length} of ${trades.length} trades` + (shown.length
      ? `: ${Math.round(100 * won / shown.length)}% gained, median net ${percent(median(shown.map((one) => one.net)))}.` : ": nothing matches all filters.");
    find("coin").textContent = data.coins[coin].name + (filters.coin.value || shown.length === 0 ? "" : `, the coin with most of them (${counts[coin]})`);
    place.dataset.shown = shown.length;
    dispatchEvent(new CustomEvent("explore", { detail: { place, data, shown, percent, short, when, describe, go } }));
    paint();
  }

  function draw(wanted) {
    const kind = filters.kind.value, actor = filters.actor.value;
    marked = data.catalysts.map((one, k) => ({ ...one, number: k + 1, row: one.known == null ? -1 : Math.floor((one.known - data.start) / data.step) }))
      .filter((one) => one.coins.includes(wanted) && one.row >= 0 && one.row < bars && (!kind || one.kind === kind) && (!actor || one.actor === actor))
      .sort((a, b) => a.row - b.row);
    if (wanted !== coin || !place.dataset.ready) {
      coin = wanted;
      const one = data.coins[coin];
      candles.setData(one.close.map((close, row) => (close == null ? { time: timeOf(row) } : { time: timeOf(row), open: one.open[row], high: one.high[row], low: one.low[row], close })));
      const last = one.close.findLast((close) => close != null) ?? 1;
      const digits = Math.min(8, Math.max(0, 3 - Math.floor(Math.log10(last))));
      candles.applyOptions({ priceFormat: { type: "price", precision: digits, minMove: 10 ** -digits } });
      for (const [name, series] of panes) series.setData(one[name].map((value, row) => point(row, value)));
    }
  }

  const sided = (one) => (one.side > 0 ? "long" : "short");
  function describe(one) {
    return `${sided(one)} ${one.symbol} by ${one.by}${one.cause ? ` on ${one.cause}` : ""}: ${when(one.entry_at)} at ${short(one.entry_price)} to ` +
      `${when(one.exit_at)} at ${short(one.exit_price)} (${one.reason}), net ${percent(one.net)}`;
  }

  function tell(row) {
    if (row < 0 || row >= bars) return;
    at = row;
    const one = data.coins[coin], told = [];
    for (const cause of marked) if (cause.row === row) told.push(`catalyst ${cause.number}, ${cause.id} (${cause.kind.replaceAll("_", " ")}, ${cause.actor}), known ${when(cause.known)}`);
    for (const trade of shown) {
      if (trade.coin !== coin) continue;
      const on = trade.cause ? ` on ${trade.cause}` : "";
      if (trade.entry === row) told.push(`entry ${sided(trade)} at ${short(trade.entry_price)} by ${trade.by}${on}`);
      if (trade.exit === row) told.push(`exit of ${sided(trade)} at ${short(trade.exit_price)} by ${trade.by}${on}: ${trade.reason}, net ${percent(trade.net)}`);
    }
    write(find("bar"), [`${when(timeOf(row))} UTC`, `O ${short(one.open[row])}`, `H ${short(one.high[row])}`, `L ${short(one.low[row])}`, `C ${short(one.close[row])}`,
      `volume ${large(one.volume[row])}`, `open interest ${large(one.open_interest[row])}`, `funding ${one.funding[row] == null ? "unknown" : percent(one.funding[row], 4)}`]);
    write(find("events"), told.length > 6 ? [...told.slice(0, 6), `and ${told.length - 6} more`] : told);
  }

  function write(box, texts) {
    box.replaceChildren(...texts.map((text) => { const one = document.createElement("bdi"); one.textContent = text; return one; }));
  }

  // The key of the lines tells their values at a bar.
  let worthAt = bars - 1;
  function keyed(row) {
    worthAt = row;
    const ratioAt = (one) => one.sharpe.findLast(([ended]) => ended <= row)?.[1];
    const chosen = filters.strategy.value;
    find("moment").textContent = `${when(timeOf(row))} UTC`;
    find("keys").replaceChildren(...data.strategies.map((one, k) => [one, k]).filter(([one]) => !chosen || one.name === chosen)
      .sort(([a], [b]) => (b.growth[row] ?? -9) - (a.growth[row] ?? -9)).map(([one, k]) => {
        const item = document.createElement("li"), line = document.createElement("i"), name = document.createElement("bdi"), rest = document.createElement("span");
        line.style.borderTop = `3px ${k < 6 ? "solid" : "dashed"} ${lines[k][0].options().color}`;
        name.textContent = one.name;
        const ratio = ratioAt(one);
        rest.textContent = `${percent(one.growth[row])}, drawdown ${percent(one.drawdown[row])}${ratio == null ? "" : `, Sharpe ${ratio.toFixed(1)}`}`;
        item.append(line, name, rest);
        return item;
      }));
  }

  // A page that scrolls under a mouse at rest is not hovered.
  let leader = price, rest = null, mouse = null;
  function stretch(from, to) {
    leader = price;
    price.timeScale().setVisibleLogicalRange({ from, to });
  }
  function reveal(row) {
    const range = price.timeScale().getVisibleLogicalRange();
    if (range && (row < range.from || row > range.to)) {
      const half = (range.to - range.from) / 2;
      stretch(row - half, row + half);
    }
  }
  function move(row) {
    rest = mouse;
    row = Math.max(0, Math.min(bars - 1, row));
    reveal(row);
    cross(row);
    tell(row);
    keyed(row);
  }
  function cross(row) {
    const close = data.coins[coin].close[row];
    if (close != null) price.setCrosshairPosition(close, timeOf(row), candles);
    worth.setCrosshairPosition(1, timeOf(row), lines[0][0]);
  }
  function zoom(factor) {
    const range = price.timeScale().getVisibleLogicalRange();
    const middle = at >= range.from && at <= range.to ? at : (range.from + range.to) / 2, half = factor * (range.to - range.from) / 2;
    stretch(middle - half, middle + half);
    cross(at);
  }
  const whole = () => stretch(-1, bars);
  // One trade at close range, from a drawing elsewhere on the page.
  function go(one) {
    if (one.coin !== coin) { filters.coin.value = data.coins[one.coin].name; show(); }
    const first = Math.min(one.entry, one.catalyst == null ? one.entry : Math.floor((data.catalysts[one.catalyst].known - data.start) / data.step));
    const room = Math.max(12, one.exit - first);
    stretch(first - room, one.exit + room);
    move(one.entry);
    find("candles").scrollIntoView({ block: "center" });
    find("candles").focus({ preventScroll: true });
  }
  const rows = () => [...new Set(shown.filter((one) => one.coin === coin).flatMap((one) => [one.entry, one.exit]))].sort((a, b) => a - b);
  const causes = () => marked.map((one) => one.row);
  const next = (list) => { const found = list.find((row) => row > at); if (found !== undefined) move(found); };
  const previous = (list) => { const found = list.filter((row) => row < at).pop(); if (found !== undefined) move(found); };
  const acts = { in: () => zoom(0.5), out: () => zoom(2), whole, "next-fill": () => next(rows()), "previous-fill": () => previous(rows()),
    "next-catalyst": () => next(causes()), "previous-catalyst": () => previous(causes()) };
  for (const button of place.querySelectorAll("button[data-act]")) button.addEventListener("click", acts[button.dataset.act]);
  for (const name of ["candles", "worth"]) {
    find(name).addEventListener("keydown", (event) => {
      const far = event.shiftKey ? 24 : 1;
      const act = { ArrowLeft: () => move(at - far), ArrowRight: () => move(at + far), Home: () => move(0), End: () => move(bars - 1),
        "+": acts.in, "=": acts.in, "-": acts.out, 0: whole, n: acts["next-fill"], p: acts["previous-fill"],
        c: acts["next-catalyst"], C: acts["previous-catalyst"] }[event.key];
      if (event.ctrlKey || event.metaKey || event.altKey || !act) return;
      event.preventDefault();
      act();
    });
  }

  // Both charts show the same stretch of time, and each moves the other's crosshair.
  // Only the one that is moved by hand leads: an echo of the other would undo the move.
  for (const [one, other, name] of [[price, worth, "candles"], [worth, price, "worth"]]) {
    for (const kind of ["pointerenter", "pointerdown", "wheel", "touchstart"]) {
      find(name).addEventListener(kind, () => { leader = one; }, { capture: true, passive: true });
    }
    one.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && leader === one) other.timeScale().setVisibleLogicalRange(range);
    });
  }
  document.addEventListener("pointermove", (event) => { mouse = [event.clientX, event.clientY]; }, { capture: true });
  const hovered = ({ time, sourceEvent: event }) => {
    if (time === undefined || !event) return false;
    if (rest && Math.hypot(event.clientX - rest[0], event.clientY - rest[1]) < 3) return false;
    rest = null;
    return true;
  };
  price.subscribeCrosshairMove((point) => {
    if (!hovered(point)) return;
    const row = rowOf(point.time);
    tell(row); keyed(row);
    if (lines.length) worth.setCrosshairPosition(1, timeOf(row), lines[0][0]);
  });
  worth.subscribeCrosshairMove((point) => {
    if (!hovered(point)) return;
    const row = Math.min(bars - 1, rowOf(point.time)), close = data.coins[coin].close[row];
    tell(row); keyed(row);
    if (close != null) price.setCrosshairPosition(close, timeOf(row), candles);
  });

  new MutationObserver(paint).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  document.addEventListener("click", (event) => {
    const name = event.target.closest?.("[data-catalyst]")?.dataset.catalyst;
    const one = name && trades.find((trade) => trade.cause === name);
    if (!one) return;
    event.preventDefault();
    for (const select of Object.values(filters)) select.value = "";
    show();
    go(one);
  });
  show();
  whole();
  tell(bars - 1);
  place.dataset.ready = "yes";
  place.charts = { price, worth, rows, timeOf };
})();
