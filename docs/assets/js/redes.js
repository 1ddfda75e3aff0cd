/* La tabla de las redes, ordenada por la columna que se pulse; al principio, por historia. */
for (const table of document.querySelectorAll("table.redes")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    if (!("valor" in cell.dataset)) return cell.textContent;
    return cell.dataset.valor === "" ? null : Number(cell.dataset.valor);
  };
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, "es", { numeric: true }) : a - b);

  const sort = (column) => {
    const ascending = heads[column].getAttribute("aria-sort") !== "ascending";
    for (const head of heads) head.removeAttribute("aria-sort");
    heads[column].setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const rows = [...body.rows].map((row) => [valueOf(row, column), row]);
    /* Lo que falta va al final en los dos sentidos; los empates conservan su orden. */
    rows.sort(([a], [b]) => (a === null || b === null
      ? (a === null) - (b === null)
      : (ascending ? 1 : -1) * compare(a, b)));
    body.append(...rows.map(([, row]) => row));
  };

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sort(column));
    head.replaceChildren(button);
  });
  heads[0].setAttribute("aria-sort", "ascending");
}
