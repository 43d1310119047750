"use strict";
// The report without this script is complete; with it, its table can be sorted and two confusion
// matrices compared.

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      const key = (row) => row.cells[column].dataset.value;
      const compare = (a, b) => {
        if (!key(a) || !key(b)) return !key(a) - !key(b); // what is missing stays last
        const order = isNaN(key(a)) || isNaN(key(b))
          ? key(a).localeCompare(key(b)) : key(a) - key(b);
        return up ? order : -order;
      };
      body.append(...[...body.rows].sort(compare));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
    });
  });
}

const confusions = document.getElementById("confusions");
if (confusions) {
  const { classes, short, experiments } = JSON.parse(confusions.querySelector("script").textContent);
  const place = document.createElement("div");
  place.className = "compare";
  confusions.append(place);
  [0, experiments.length - 1].forEach((first, side) => {
    const part = place.appendChild(document.createElement("div"));
    const label = part.appendChild(document.createElement("label"));
    label.textContent = side ? "with " : "Compare ";
    const select = label.appendChild(document.createElement("select"));
    experiments.forEach((experiment, number) => select.append(new Option(experiment.name, number)));
    select.value = first;
    const scroll = part.appendChild(document.createElement("div"));
    scroll.className = "scroll";
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "group");
    const draw = () => {
      const experiment = experiments[select.value];
      scroll.setAttribute("aria-label", `Confusion matrix of ${experiment.name}`);
      scroll.replaceChildren(matrix(experiment));
    };
    select.addEventListener("change", draw);
    draw();
  });

  function matrix({ name, counts }) {
    const table = document.createElement("table");
    table.className = "matrix";
    const head = table.createTHead().insertRow();
    head.append(cell("th", "true \\ predicted"));
    classes.forEach((_, label) => head.append(named(label, "col")));
    const body = table.createTBody();
    counts.forEach((row, truth) => {
      const line = body.insertRow();
      line.append(named(truth, "row"));
      const total = row.reduce((sum, count) => sum + count, 0);
      row.forEach((count, predicted) => {
        const share = total ? (100 * count) / total : 0;
        const data = cell("td", share.toFixed(share && share < 9.95 ? 1 : 0));
        data.title = `${name}: ${count} of ${total} images of ${classes[truth]} taken for ${classes[predicted]}`;
        data.className = truth === predicted ? "right" : "wrong";
        data.style.setProperty("--share", `${Math.min(truth === predicted ? share / 2.5 : 2.5 * share, 40)}%`);
        line.append(data);
      });
    });
    return table;
  }

  function named(label, scope) {
    const element = cell("th", short[label], scope);
    element.dir = "auto";
    if (short[label] !== classes[label]) element.title = element.ariaLabel = classes[label];
    if (scope === "col" && short.join("").length > 80) element.style.writingMode = "vertical-rl";
    return element;
  }

  function cell(tag, text, scope) {
    const element = document.createElement(tag);
    element.textContent = text;
    if (scope) element.scope = scope;
    return element;
  }
}
