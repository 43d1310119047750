"use strict";
// The report without this script is complete. With it, readers explore: tables can be sorted,
// experiments are highlighted in every chart, and curves, confusions and runs can be compared. What
// they chose is in the address, behind the heading: #Learning-curves&curves=0,5.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const data = (id) => JSON.parse(document.querySelector(`#${id} > script`)?.textContent ?? "null");

function element(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "line", "text", "circle"].includes(tag);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

function choice(label, options, value, onchange) {
  const select = element("select", { onchange: () => onchange(select.value) });
  options.forEach(([key, text]) => select.append(new Option(text, key)));
  select.value = options.some(([key]) => String(key) === String(value)) ? value : options[0][0];
  return element("label", {}, `${label} `, select);
}

function tick(label, checked, onchange) {
  const box = element("input", { type: "checkbox", onchange: () => onchange(box.checked) });
  box.checked = checked;
  return element("label", {}, box, ` ${label}`);
}

// ---------------------------------------------------------------- state in the address
const [heading, ...pairs] = decodeURIComponent(location.hash.slice(1)).split("&");
const state = Object.fromEntries(pairs.map((pair) => pair.split("=")));

function remember(name, value) {
  if (value === undefined || value === "") delete state[name];
  else state[name] = value;
  const place = location.hash.slice(1).split("&")[0];
  const rest = Object.entries(state).map((pair) => `&${pair.join("=")}`).join("");
  history.replaceState(null, "", `#${place}${rest}`);
}

// ---------------------------------------------------------------- tables
all("table.sortable").forEach((table) => {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const names = heads.map((head) => head.textContent);
  function sort(column, up) {
    const key = ({ cells }) => cells[column].dataset.order ?? cells[column].dataset.value;
    const compare = (a, b) => {
      if (!key(a) || !key(b)) return !key(a) - !key(b); // what is missing stays last
      const order = isNaN(key(a)) || isNaN(key(b)) ? key(a).localeCompare(key(b)) : key(a) - key(b);
      return up ? order : -order;
    };
    body.append(...[...body.rows].sort(compare));
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    remember("sort", `${column}.${up ? "up" : "down"}`);
  }
  const next = (column) => sort(column, heads[column].getAttribute("aria-sort") !== "ascending");
  heads.forEach((head, column) => {
    head.replaceChildren(element("button", { type: "button", onclick: () => next(column) }, ...head.childNodes));
  });
  const options = names.flatMap((name, column) => [[`${column}.up`, `${name}, rising`], [`${column}.down`, `${name}, falling`]]);
  const parts = (value) => [Number(value.split(".")[0]), value.endsWith(".up")];
  const select = choice("Sort by", options, state.sort ?? "0.up", (value) => sort(...parts(value)));
  table.parentElement.before(element("p", { class: "on-phones" }, select));
  if (state.sort && parts(state.sort)[0] in heads) sort(...parts(state.sort));
  all("tr", body).forEach((row) => {
    const number = row.cells[0].dataset.order;
    for (const on of ["mouseenter", "focusin"]) row.addEventListener(on, () => light(number));
    for (const off of ["mouseleave", "focusout"]) row.addEventListener(off, () => light());
  });
});

function light(number) {
  document.body.classList.toggle("lit", number !== undefined);
  all(".lit-mark").forEach((mark) => mark.classList.remove("lit-mark"));
  if (number !== undefined) all(`[id*="-e${number}-"], [data-e="${number}"]`).forEach((mark) => mark.classList.add("lit-mark"));
}

// ---------------------------------------------------------------- learning curves
const runs = data("explorer")?.runs;
if (runs?.length) {
  const place = document.getElementById("explorer");
  place.classList.add("on-screen");
  all(".fallback.curves").forEach((part) => part.classList.add("on-paper"));
  const experiments = [...new Map(runs.map((run) => [run.e, run.name]))];
  const chosen = new Set((state.curves ?? experiments.map(([e]) => e).join()).split(",").map(Number));
  const view = { measure: state.measure ?? "accuracy", x: state.x ?? "epoch", layout: state.layout ?? "panels",
    train: state.train !== "no", val: state.val !== "no", seeds: state.seeds !== "no", full: state.full === "yes" };
  const set = (name, value, remembered) => { view[name] = value; remember(name, remembered); draw(); };
  const colors = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b", "#6a51a3", "#767676", "#a50f15", "#1b7837"];
  const chips = element("fieldset", { class: "chips" }, element("legend", {}, "Experiments"));
  experiments.forEach(([e, name]) => {
    const chip = tick(name, chosen.has(e), (on) => {
      on ? chosen.add(e) : chosen.delete(e);
      remember("curves", chosen.size < experiments.length ? [...chosen].sort((a, b) => a - b).join() || "none" : undefined);
      draw();
    });
    chips.append(element("span", { "data-e": e, onmouseenter: () => light(e), onmouseleave: () => light() }, chip));
  });
  const one = (label, name, options) => choice(label, options, view[name], (value) => set(name, value, value === options[0][0] ? undefined : value));
  const flag = (label, name, normal) => element("span", { class: name },
    tick(label, view[name], (on) => set(name, on, on === normal ? undefined : on ? "yes" : "no")));
  const panels = element("div", { class: "panels", tabindex: 0, role: "group", "aria-label": "Learning curves. Arrow keys move the read-out." });
  const readout = element("p", { class: "facts readout", role: "status" });
  place.append(chips, element("p", { class: "controls" },
    one("Show", "measure", [["accuracy", "accuracy (%)"], ["loss", "cross-entropy (nats)"]]),
    one("over", "x", [["epoch", "epochs"], ["minutes", "minutes"]]),
    one("as", "layout", [["panels", "one panel each"], ["overlay", "one panel"]]),
    flag("training (dashed in one panel)", "train", true), flag("validation", "val", true),
    flag("all seeds", "seeds", true), flag("full scale", "full", false)), panels, readout);

  let W, H;
  const left = 34, right = 8, top = 18, bottom = 20;
  let scales = [], at;
  const factor = () => (view.measure === "accuracy" ? 100 : 1);
  const xs = (run) => run.val_loss.map((_, n) => (view.x === "epoch" ? n + 1 : ((n + 1) * run.minutes) / run.val_loss.length));
  const series = () => [...(view.train ? [["", "training"]] : []), ...(view.val ? [["val_", "validation"]] : [])];

  function ticks(low, high, count) {
    const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    const found = [];
    for (let tick = Math.ceil(low / step) * step; tick <= high + 1e-9; tick += step) found.push(+tick.toFixed(6));
    return found;
  }

  function draw() {
    const wanted = runs.filter((run) => chosen.has(run.e));
    const values = wanted.flatMap((run) => series().flatMap(([key]) => run[key + view.measure])).map((value) => value * factor());
    let [low, high] = view.measure === "accuracy" ? [Math.min(...values), 100] : [0, Math.max(...values)];
    if (!view.full) [low, high] = view.measure === "accuracy" ? [Math.max(low, 30), high] : [0, Math.min(high, 2.4)];
    const groups = view.layout === "overlay" ? [wanted] : experiments.map(([e]) => wanted.filter((run) => run.e === e)).filter((group) => group.length);
    scales = [];
    [W, H] = view.layout !== "overlay" ? [280, 180] : innerWidth < 704 ? [360, 300] : [760, 400];
    all("[data-e]", chips).forEach((chip) => { chip.style.borderColor = view.layout === "overlay" ? colors[chip.dataset.e % colors.length] : "transparent"; });
    panels.classList.toggle("overlay", view.layout === "overlay");
    panels.replaceChildren(...groups.filter((group) => group.length).map((group) => panel(group, low, high)));
    if (!panels.childElementCount) panels.append(element("p", {}, "Choose an experiment."));
    at = undefined;
    readout.textContent = "Move over a panel, or use the arrow keys, to read the curves. A dashed vertical line marks the epoch whose weights were kept, ▲ or ▼ a curve that leaves the panel.";
  }

  function panel(group, low, high) {
    const end = Math.max(...group.map((run) => Math.max(...xs(run))));
    const start = view.x === "epoch" ? 1 : 0;
    const X = (x) => left + ((x - start) / Math.max(end - start, 1e-9)) * (W - left - right);
    const Y = (y) => H - bottom - ((y - low) / (high - low)) * (H - top - bottom);
    const svg = element("svg", { viewBox: `0 0 ${W} ${H}`, "aria-hidden": true });
    ticks(low, high, 4).forEach((y) => svg.append(
      element("line", { class: "grid", x1: left, x2: W - right, y1: Y(y), y2: Y(y) }),
      element("text", { x: left - 4, y: Y(y) + 3, "text-anchor": "end" }, String(y))));
    ticks(start, end, 4).filter((x) => view.x !== "epoch" || Number.isInteger(x)).forEach((x) => svg.append(
      element("text", { x: X(x), y: H - 6, "text-anchor": "middle" }, String(x))));
    const overlay = view.layout === "overlay";
    if (!overlay) {
      const best = X(xs(group[0])[group[0].best - 1]);
      svg.append(element("text", { class: "title", x: left, y: 11 }, group[0].name),
        element("line", { class: "best", x1: best, x2: best, y1: top, y2: H - bottom }));
    }
    group.filter((run) => run.first || view.seeds).forEach((run) => series().forEach(([key]) => {
      const points = run[key + view.measure].map((y, n) => [X(xs(run)[n]), y * factor()]);
      const color = overlay ? colors[run.e % colors.length] : key ? "var(--orange)" : "var(--blue)";
      const line = points.map(([x, y], n) => `${n ? "L" : "M"}${x.toFixed(1)} ${Y(Math.min(Math.max(y, low), high)).toFixed(1)}`).join("");
      svg.append(element("path", { d: points.length > 1 ? line : `${line}h2`, stroke: color, class: run.first ? "curve" : "curve faint",
        "stroke-dasharray": overlay && !key ? "3 2" : undefined, "data-e": run.e }));
      const cut = points.find(([, y]) => y > high || y < low);
      if (cut && run.first) svg.append(element("text", { class: "cut", x: cut[0] + 2, y: cut[1] > high ? top + 6 : H - bottom, fill: color }, cut[1] > high ? "▲" : "▼"));
    }));
    const cross = svg.appendChild(element("line", { class: "cross", y1: top, y2: H - bottom, x1: -9, x2: -9 }));
    scales.push({ group, X, start, end, cross });
    const here = (event) => {
      const box = svg.getBoundingClientRect();
      move(start + (((event.clientX - box.left) / box.width) * W - left) / (W - left - right) * (end - start));
    };
    svg.addEventListener("pointermove", here);
    svg.addEventListener("pointerdown", here);
    return element("div", { "data-e": overlay ? undefined : group[0].e }, svg);
  }

  function move(x) {
    const last = Math.max(...scales.map(({ end }) => end));
    at = Math.min(Math.max(view.x === "epoch" ? Math.round(x) : x, scales[0].start), last);
    const texts = [];
    scales.forEach(({ group, X, end, cross }) => {
      const inside = at <= end + 1e-9;
      cross.setAttribute("x1", inside ? X(at) : -9);
      cross.setAttribute("x2", inside ? X(at) : -9);
      group.filter((run) => run.first).forEach((run) => {
        const place = xs(run).findLastIndex((value) => value <= at + 1e-9);
        if (place < 0 || !inside || at > Math.max(...xs(run)) + 1e-9) return;
        const figures = series().map(([key, word]) => `${word} ${(run[key + view.measure][place] * factor()).toFixed(view.measure === "accuracy" ? 1 : 3)}`);
        if (figures.length) texts.push(`${run.name}: ${figures.join(", ")}`);
      });
    });
    readout.textContent = `${view.x === "epoch" ? `Epoch ${at}` : `${at.toFixed(1)} minutes`}. ${texts.join(" · ")}`;
  }
  panels.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!steps || !scales.length) return;
    event.preventDefault();
    const unit = view.x === "epoch" ? 1 : Math.max(...scales.map(({ end }) => end)) / 40;
    move(at === undefined ? scales[0].start : at + steps * unit);
  });
  draw();
}

// ---------------------------------------------------------------- two runs: changed parameters
const settings = data("explorer")?.settings, place = document.getElementById("compare-runs");
if (settings?.length > 1 && place) {
  const options = settings.map(({ name }, number) => [number, name]);
  let pair = (state.runs ?? "0,1").split(",").map(Number).map((n) => (n in settings ? n : 0));
  const table = element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Parameters that differ" });
  const show = () => {
    const [one, other] = pair.map((number) => settings[number]);
    const names = [...new Set([...Object.keys(one.parameters), ...Object.keys(other.parameters)])];
    const lines = names.map((name) => [name, String(one.parameters[name] ?? "–"), String(other.parameters[name] ?? "–")]).filter(([, a, b]) => a !== b);
    const rows = [["test accuracy", one.accuracy, other.accuracy], ...lines];
    table.replaceChildren(element("table", { class: "rows" },
      element("thead", {}, element("tr", {}, ...["parameter", one.name, other.name].map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...rows.map((cells) => element("tr", {}, ...cells.map((text) => element("td", {}, text)))))));
  };
  const select = (side) => choice(side ? "with" : "Compare", options, pair[side], (value) => { pair[side] = Number(value); remember("runs", pair.join()); show(); });
  place.classList.add("on-screen");
  place.append(element("p", { class: "controls" }, select(0), select(1)), table);
  show();
}

// ---------------------------------------------------------------- confusions
const predictions = data("confusions"), sprite = data("pictures");
if (predictions) {
  const place = document.getElementById("confusions"), { classes, short, experiments } = predictions;
  all(".fallback", place).forEach((part) => part.classList.add("on-paper"));
  const labels = (run) => run.labels ?? predictions.labels;
  experiments.forEach((run) => {
    run.counts = classes.map(() => classes.map(() => 0));
    [...run.named].forEach((named, n) => { run.counts[parseInt(labels(run)[n], 36)][parseInt(named, 36)] += 1; });
  });
  let pair = (state.matrices ?? `0,${experiments.length - 1}`).split(",").map(Number).map((n) => (n in experiments ? n : 0));
  const shares = (run) => run.counts.map((row) => { const total = row.reduce((a, b) => a + b, 0); return row.map((count) => (total ? (100 * count) / total : 0)); });
  const parts = [0, 1, 2].map(() => element("div", { class: "scroll", role: "group" }));
  const options = experiments.map(({ name }, number) => [number, name]);
  const select = (side) => choice(side ? "with" : "Compare", options, pair[side], (value) => { pair[side] = Number(value); remember("matrices", pair.join()); show(); });
  place.append(element("div", { class: "compare on-screen" }, element("div", {}, select(0), parts[0]), element("div", {}, select(1), parts[1]),
    element("div", {}, element("p", {}, "The second minus the first, points"), parts[2])));

  function show() {
    const [one, other] = pair.map((number) => experiments[number]), [a, b] = [one, other].map(shares);
    const difference = b.map((row, truth) => row.map((share, named) => share - a[truth][named]));
    [[one, a], [other, b]].forEach(([run, values], side) => matrix(parts[side], `Confusion matrix of ${run.name}`, values, run));
    matrix(parts[2], `${other.name} minus ${one.name}`, difference, other, true);
  }

  function matrix(part, caption, values, run, signed = false) {
    part.setAttribute("aria-label", caption);
    const head = (label, scope) => {
      const long = short[label] !== classes[label] ? classes[label] : undefined;
      const style = scope === "col" && short.join("").length > 80 ? "writing-mode: vertical-rl" : undefined;
      return element("th", { scope, dir: "auto", title: long, "aria-label": long, style }, short[label]);
    };
    const table = element("table", { class: "matrix" }, element("thead", {}, element("tr", {}, element("th", {}, "true \\ predicted"), ...classes.map((_, n) => head(n, "col")))));
    const body = table.appendChild(element("tbody"));
    values.forEach((row, truth) => body.append(element("tr", {}, head(truth, "row"), ...row.map((share, named) => {
      const good = signed ? (share > 0) === (truth === named) : truth === named;
      const strong = Math.min(signed ? 8 * Math.abs(share) : good ? share / 2.5 : 2.5 * share, 40);
      const text = signed ? (Math.abs(share) < 0.05 ? "0" : share.toFixed(1).replace("-", "−")) : share.toFixed(share && share < 9.95 ? 1 : 0);
      const count = run.counts[truth][named];
      const title = `${run.name}: ${count} of ${run.counts[truth].reduce((x, y) => x + y, 0)} images of ${classes[truth]} taken for ${classes[named]}`;
      const cell = element("button", { type: "button", tabindex: truth || named ? -1 : 0, title, "data-at": `${truth},${named}`, onclick: () => images(run, truth, named) }, text);
      return element("td", { class: good ? "right" : "wrong", style: `--share: ${strong}%` }, cell);
    }))));
    table.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      const next = step && table.querySelector(`[data-at="${event.target.dataset.at?.split(",").map((n, axis) => Number(n) + step[axis])}"]`);
      if (!next) return;
      event.preventDefault();
      event.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
    part.replaceChildren(table);
  }

  const dialog = document.body.appendChild(element("dialog", { "aria-label": "Test images" }));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  function picture(number) {
    const index = sprite?.numbers.indexOf(number) ?? -1;
    if (index < 0) return `test image ${number}`;
    const [x, y] = [index % sprite.columns, Math.floor(index / sprite.columns)].map((n) => -48 * n);
    const style = `background: url(${sprite.sheet}) ${x}px ${y}px / ${48 * sprite.columns}px auto`;
    return element("span", { class: "picture", role: "img", "aria-label": `test image ${number}`, style });
  }

  function images(run, truth, named) {
    const found = [...labels(run)].flatMap((label, n) => (parseInt(label, 36) === truth && parseInt(run.named[n], 36) === named ? [n] : []));
    found.sort((a, b) => (sprite?.numbers.includes(b) ?? 0) - (sprite?.numbers.includes(a) ?? 0));
    const what = truth === named ? "recognized" : `taken for ${classes[named]}`;
    const list = element("div", { class: "pictures" }, ...found.slice(0, 60).map((number) =>
      element("button", { type: "button", title: `test image ${number}`, onclick: () => one(number) }, picture(number))));
    const answers = element("div", { role: "status" });
    const one = (number) => {
      [...list.children].forEach((button) => button.setAttribute("aria-pressed", button.title === `test image ${number}`));
      answers.replaceChildren(
      element("h3", {}, `Test image ${number}: ${classes[parseInt(labels(run)[number], 36)]}`),
      element("table", { class: "rows" }, element("tbody", {}, ...experiments.map((each) => {
        const right = each.named[number] === labels(each)[number];
        return element("tr", {}, element("td", {}, each.name), element("td", {}, `${right ? "✓" : "✗"} ${classes[parseInt(each.named[number], 36)]}`));
      }))));
    };
    dialog.replaceChildren(element("form", { method: "dialog" }, element("button", { "aria-label": "Close" }, "×")),
      element("h2", {}, `${run.name}: ${found.length} images of ${classes[truth]} ${what}`),
      element("p", { class: "facts" }, `${found.length > 60 ? "The first 60. " : ""}Choose an image to see what each experiment says. The page has pictures of some images only.`), list, answers);
    dialog.showModal();
    if (found.length) one(found[0]);
  }
  show();
}

// ---------------------------------------------------------------- downloads
function download(name, text, type) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}
const fileName = (part) => (all("h1, h2, h3").filter((title) => title.compareDocumentPosition(part) & 4).pop()?.id ?? "report").toLowerCase();
all(".charts").forEach((charts) => charts.append(element("button", { type: "button", class: "save", onclick: () => {
  const shown = all("svg", charts).find((svg) => svg.checkVisibility());
  download(`${charts.dataset.name}.svg`, new XMLSerializer().serializeToString(shown), "image/svg+xml");
} }, "SVG")));
all("main .scroll > table").forEach((table) => {
  if (table.classList.contains("matrix")) return;
  const quoted = (cell) => `"${(cell.dataset.value ?? cell.textContent).trim().replaceAll('"', '""')}"`;
  table.parentElement.after(element("button", { type: "button", class: "save", onclick: () =>
    download(`${fileName(table)}.csv`, [...table.rows].map((row) => [...row.cells].map(quoted).join()).join("\n") + "\n", "text/csv") }, "CSV"));
});

if (heading && pairs.length) document.getElementById(heading)?.scrollIntoView();
