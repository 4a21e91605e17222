(function () {
  "use strict";
  var root = document.documentElement, theme = document.getElementById("theme");
  function dark() {
    return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }
  function name() { theme.textContent = dark() ? "Light" : "Dark"; }
  theme.hidden = false;
  name();
  theme.addEventListener("click", function () { root.dataset.theme = dark() ? "light" : "dark"; name(); });

  document.addEventListener("click", function (event) {
    var button = event.target.closest("button.copy");
    if (!button) return;
    var code = button.parentNode.querySelector("code"), range = document.createRange();
    range.selectNodeContents(code);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    var done = function () { button.textContent = "Copied"; setTimeout(function () { button.textContent = "Copy"; }, 1500); };
    if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(done, function () {});
    else if (document.execCommand("copy")) done();
  });

  var table = document.getElementById("items");
  if (!table) return;
  var PAGE = 50, body = table.tBodies[0], rows = Array.from(body.rows), shown = rows, at = 0;
  var filters = document.querySelector(".filters"), find = filters.querySelector("input");
  var selects = Array.from(filters.querySelectorAll("select")), count = filters.querySelector(".count");
  var turn = filters.querySelectorAll("button");
  var texts = rows.map(function (row) { return row.textContent.toLowerCase(); });
  rows.forEach(function (row, index) { row.number = index; });
  filters.hidden = false;

  function draw() {
    rows.forEach(function (row) { row.hidden = true; });
    shown.slice(at, at + PAGE).forEach(function (row) { row.hidden = false; });
    var last = Math.min(at + PAGE, shown.length);
    count.textContent = shown.length ? at + 1 + "–" + last + " of " + shown.length : "none";
    turn[0].disabled = at === 0;
    turn[1].disabled = last >= shown.length;
  }
  function filter() {
    var wanted = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = rows.filter(function (row) {
      return selects.every(function (select) { return !select.value || row.dataset[select.name] === select.value; }) &&
        wanted.every(function (word) { return texts[row.number].includes(word); });
    });
    at = 0;
    draw();
  }
  function sort(head) {
    var column = head.cellIndex, down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    Array.from(head.parentNode.cells).forEach(function (cell) { cell.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", down === 1 ? "ascending" : "descending");
    var numbers = head.dataset.sort === "number";
    var keys = rows.map(function (row) {
      var value = row.cells[column].dataset.value;
      return numbers ? Number(value) : value;
    });
    var order = rows.map(function (row, index) { return index; });
    order.sort(function (a, b) {
      var left = keys[a], right = keys[b];
      return (left < right ? -1 : left > right ? 1 : 0) * down || a - b;
    });
    rows = order.map(function (index) { return rows[index]; });
    rows.forEach(function (row) { body.appendChild(row); });
    filter();
  }
  find.addEventListener("input", filter);
  selects.forEach(function (select) { select.addEventListener("change", filter); });
  turn[0].addEventListener("click", function () { at = Math.max(0, at - PAGE); draw(); });
  turn[1].addEventListener("click", function () { at += PAGE; draw(); });
  Array.from(table.tHead.rows[0].cells).forEach(function (head) {
    if (!head.dataset.sort) return;
    head.tabIndex = 0;
    head.addEventListener("click", function () { sort(head); });
    head.addEventListener("keydown", function (event) { if (event.key === "Enter") sort(head); });
  });
  draw();
})();
