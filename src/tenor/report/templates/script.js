"use strict";
// Moves the threshold of a level: counts come from a table in the page, nothing is fetched.
for (const panel of document.querySelectorAll(".threshold")) {
  const table = JSON.parse(panel.querySelector('script[type="application/json"]').textContent);
  const digits = Number(panel.dataset.digits);
  const slider = panel.querySelector("input");
  const back = panel.querySelector("button");
  const level = panel.dataset.level;
  const cell = (name, text) => { panel.querySelector(`[data-cell="${name}"]`).textContent = text; };
  const ratio = (part, whole) => (whole ? (part / whole).toFixed(3) : "–");
  const count = (value) => value.toLocaleString("en-US");

  const move = (name, x, y) => {
    const mark = document.querySelector(`[data-mark="${level}-${name}"]`);
    if (!mark) return;
    const { x: x0, y: y0, dx, dy } = mark.dataset;
    mark.setAttribute("transform", `translate(${((x - x0) * dx).toFixed(2)} ${((y - y0) * dy).toFixed(2)})`);
  };

  const show = (index) => {
    const threshold = table.cuts[index];
    cell("threshold", threshold.toFixed(digits));
    slider.setAttribute("aria-valuetext", threshold.toFixed(digits));
    back.disabled = index === table.chosen;
    for (const [split, { positives, negatives, hits, falseAlarms }] of Object.entries(table.splits)) {
      const hit = hits[index], wrong = falseAlarms[index], alarms = hit + wrong;
      cell(`${split}-hits`, count(hit));
      cell(`${split}-misses`, count(positives - hit));
      cell(`${split}-falseAlarms`, count(wrong));
      cell(`${split}-passes`, count(negatives - wrong));
      cell(`${split}-precision`, ratio(hit, alarms));
      cell(`${split}-recall`, ratio(hit, positives));
      cell(`${split}-f1`, positives ? ratio(2 * hit, alarms + positives) : "–");
      cell(`${split}-alarms`, ((1000 * alarms) / (positives + negatives)).toFixed(1));
      if (split === "test") {
        move("roc-point", negatives ? wrong / negatives : 0, positives ? hit / positives : 0);
        move("pr-point", positives ? hit / positives : 0, alarms ? hit / alarms : 1);
      }
    }
    move("histogram-line", threshold, 0);
  };

  slider.addEventListener("input", () => show(Number(slider.value)));
  back.addEventListener("click", () => { slider.value = table.chosen; show(table.chosen); });
  panel.querySelector(".slider").hidden = false;
}
