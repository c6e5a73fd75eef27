"use strict";
// Tables sort by the column that is clicked; without this script they stand as they are.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numeric = head.classList.contains("n");
      const sorted = head.getAttribute("aria-sort");
      const falling = sorted === null ? numeric : sorted === "ascending";
      for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.n ?? row.cells[column].textContent;
      const compare = (one, other) =>
        numeric ? Number(value(one)) - Number(value(other)) : value(one).localeCompare(value(other));
      const rows = [...body.rows].sort((one, other) => (falling ? -1 : 1) * compare(one, other));
      body.append(...rows);
    });
  });
}
