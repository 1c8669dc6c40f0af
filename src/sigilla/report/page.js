"use strict";
// Tables sort, search, filter and save themselves; without this script all rows simply stand there.
const collator = new Intl.Collator(undefined, { numeric: true });
const valueOf = (cell) => cell.dataset.value ?? cell.textContent;
// More rows than this at once make a browser slow; a reader may ask for them.
const AT_ONCE = 200;
const written = (n) => n.toLocaleString("en");
const isNumber = (head) => head.classList.contains("n");

function compareBy(index, head, down) {
  const sign = down ? -1 : 1;
  const compare = isNumber(head) ? (a, b) => a - b : collator.compare;
  // What is missing stands last in either order.
  return (a, b) => {
    const p = a.values[index], q = b.values[index];
    if (p === "" || q === "") return (p === "") - (q === "");
    return sign * compare(p, q);
  };
}

// The same guard as in the files beside the page: no cell acts as a spreadsheet's formula.
function csvCell(text, number) {
  const safe = !number && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function save(heads, rows, name) {
  const lines = [
    heads.map((head) => csvCell(head.dataset.name, false)),
    ...rows.map((row) => row.values.map((value, i) => csvCell(value, isNumber(heads[i])))),
  ];
  const text = lines.map((cells) => `${cells.join(",")}\n`).join("");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function enliven(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows].map((element) => ({
    element,
    values: [...element.cells].map(valueOf),
    text: element.textContent.toLowerCase(),
  }));

  let found = rows;
  let update = () => {};

  heads.forEach((head, i) => {
    if (head.dataset.sort === "no") return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const down = now === null ? head.dataset.first === "descending" : now === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      rows.sort(compareBy(i, head, down));
      // Out of the page meanwhile: moved one by one within it, thousands of rows take seconds.
      body.remove();
      body.replaceChildren(...rows.map((row) => row.element));
      table.append(body);
      update();
    });
  });

  const tools = document.querySelector(`[data-tools="${table.id}"]`);
  if (!tools) return;
  tools.hidden = false;
  const search = tools.querySelector("input");
  const choice = tools.querySelector("select");
  const status = tools.querySelector("[role=status]");
  const more = tools.querySelector(".more");
  let limit = AT_ONCE;
  update = () => {
    const wanted = search.value.trim().toLowerCase();
    const kind = choice?.value ?? "";
    let elsewhere = 0;
    found = rows.filter(({ element, text }) => {
      const named = text.includes(wanted);
      const chosen = kind === "" || element.classList.contains(kind);
      elsewhere += named && !chosen;
      return named && chosen;
    });
    for (const { element } of rows) element.hidden = true;
    for (const { element } of found.slice(0, limit)) element.hidden = false;
    more.hidden = found.length <= limit;
    const first = more.hidden ? "" : `, the first ${limit} shown`;
    const others = wanted && elsewhere ? `; ${written(elsewhere)} more among all` : "";
    const count = `${written(found.length)} of ${written(rows.length)} rows`;
    status.textContent = `${count}${first}${others}`;
  };
  search.addEventListener("input", update);
  choice?.addEventListener("change", update);
  more.addEventListener("click", () => {
    limit = Infinity;
    update();
    search.focus();
  });
  tools.querySelector(".save")?.addEventListener("click", () => save(heads, found, tools.dataset.csv));
  update();
}

document.querySelectorAll("table.sortable").forEach(enliven);

// A link into another table finds its row also where a search has hidden it.
document.addEventListener("click", ({ target }) => {
  const link = target.closest("td a[href^='#']");
  if (link) document.getElementById(link.hash.slice(1)).hidden = false;
});
