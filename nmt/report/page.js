"use strict";
// A box has a sentence pair: its words, views by name (how much each target word, a row, has to do with each source word, in percent), and
// gold links [source, target, sure].
for (const box of document.querySelectorAll(".explorer")) {
  const sentence = JSON.parse(box.querySelector("script").textContent);
  const select = box.querySelector("select");
  const rows = { source: box.querySelector(".source"), target: box.querySelector(".target") };
  const words = { source: [], target: [] };

  for (const name of Object.keys(sentence.views)) {
    select.add(new Option(name, name));
  }
  for (const side of ["source", "target"]) {
    for (const [place, text] of sentence[side].entries()) {
      const word = document.createElement("span");
      word.textContent = text;
      word.tabIndex = 0;
      for (const event of ["pointerenter", "focus"]) {
        word.addEventListener(event, () => point(side, place));
      }
      words[side].push(word);
      rows[side].append(word, " ");
    }
    rows[side].addEventListener("pointerleave", () => clear());
  }
  select.addEventListener("change", () => clear());
  box.hidden = false;

  function clear() {
    for (const word of [...words.source, ...words.target]) {
      word.className = "";
      word.removeAttribute("title");
      word.style.removeProperty("--share");
    }
  }

  function point(side, place) {
    clear();
    const view = sentence.views[select.value];
    const other = side === "target" ? "source" : "target";
    words[side][place].className = "pointed";
    for (const [there, word] of words[other].entries()) {
      const [t, s] = side === "target" ? [place, there] : [there, place];
      word.style.setProperty("--share", `${view[t][s]}%`);
      word.title = `${view[t][s]} %`;
      word.classList.add("lit");
      const gold = sentence.gold.find((link) => link[0] === s && link[1] === t);
      if (gold) {
        word.classList.add(gold[2] ? "sure" : "possible");
      }
    }
  }
}
