// Paints where the pixel that is asked looks. Everything was computed beforehand: the
// script looks up one row a scale and colours it.
function askAnyPixel(figure) {
  const data = JSON.parse(figure.querySelector("[type='application/json']").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const colours = bytes(data.colours);
  const panels = figure.querySelector(".ask-panels");
  const words = figure.querySelector(".ask-said p");
  const lines = figure.querySelectorAll(".ask-said tbody tr");
  const [rows, columns] = [data.rows.length, data.columns.length];
  let [row, column] = data.start;

  const scales = data.scales.map((scale) => ({
    ...scale, looks: bytes(scale.looks), canvas: addPanel(scale),
  }));
  const marks = panels.querySelectorAll(".ask-mark");

  // The panel of the slice once more, with a canvas of one pixel a cell over it.
  function addPanel({ name, cells }) {
    const panel = panels.firstElementChild.cloneNode(true);
    const canvas = document.createElement("canvas");
    [canvas.height, canvas.width] = cells;
    panel.classList.add("ask-map");
    panel.querySelector("img").alt = "";
    panel.querySelector("img").after(canvas);
    panel.querySelector(".ask-name").textContent = name;
    panels.append(panel);
    return canvas;
  }

  function ask(newRow, newColumn) {
    row = Math.min(Math.max(newRow, 0), rows - 1);
    column = Math.min(Math.max(newColumn, 0), columns - 1);
    const asking = row * columns + column;
    for (const mark of marks) {
      mark.style.top = `${(100 * (data.rows[row] + 0.5)) / data.height}%`;
      mark.style.left = `${(100 * (data.columns[column] + 0.5)) / data.width}%`;
    }
    scales.forEach((scale, k) => {
      paint(scale, asking);
      scale.shares[asking].forEach((share, i) => {
        lines[k].cells[i + 1].textContent = share.toFixed(1);
      });
    });
    words.textContent =
      `Asked: row ${data.rows[row]}, column ${data.columns[column]} ` +
      `(${data.tissues[data.labels[asking]]}). Gathered from, in %:`;
  }

  // Colours count times the even share, on a logarithm: none below 1, the last where
  // all comes from one cell.
  function paint({ canvas, looks, highest }, asking) {
    const n = canvas.width * canvas.height;
    const context = canvas.getContext("2d");
    const picture = context.createImageData(canvas.width, canvas.height);
    for (let cell = 0; cell < n; cell++) {
      const times = (looks[asking * n + cell] / 255) * highest[asking];
      if (times >= 1) colour(picture, cell, Math.log(times) / Math.log(n));
    }
    context.putImageData(picture, 0, 0);
  }

  function colour(picture, place, part) {
    const first = 3 * Math.min(Math.floor(256 * part), 255);
    picture.data.set([...colours.subarray(first, first + 3), 255], 4 * place);
  }

  function askUnder(event) {
    const picture = event.target.closest(".ask-picture");
    if (!picture) return;
    const box = picture.getBoundingClientRect();
    ask(
      Math.floor((rows * (event.clientY - box.top)) / box.height),
      Math.floor((columns * (event.clientX - box.left)) / box.width),
    );
  }

  function askByKey(event) {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const step = steps[event.key];
    if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault(); // the page would scroll
    ask(row + step[0], column + step[1]);
  }

  const bar = figure.querySelector(".ask-scale canvas").getContext("2d");
  const ramp = bar.createImageData(256, 1);
  for (let i = 0; i < 256; i++) colour(ramp, i, i / 256);
  bar.putImageData(ramp, 0, 0);

  panels.addEventListener("pointerdown", askUnder);
  panels.addEventListener("pointermove", askUnder);
  panels.addEventListener("keydown", askByKey);
  figure.querySelector(".ask-strip").hidden = true;
  figure.querySelector(".ask-live").hidden = false;
  ask(row, column);
}
