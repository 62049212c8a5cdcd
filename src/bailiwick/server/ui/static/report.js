// Comfort only: the report is whole without it. Finds, narrows and sorts columns, whose places the file has written down.
(() => {
  const [tools, find, only, sort, shown] = ["tools", "find", "only", "sort", "shown"].map((id) => document.getElementById(id));
  const lists = [...document.querySelectorAll(".column-cards")].map((list) => ({
    list,
    cards: [...list.children].map((card) => ({
      card,
      name: card.querySelector("h3").textContent.toLowerCase(),
      ranks: card.dataset.ranks.split(" ").map(Number),
      tags: card.dataset.tags.split(" "),
    })),
  }));
  const look = () => {
    const wanted = find.value.trim().toLowerCase();
    const place = Number(sort.value);
    lists.forEach(({ list, cards }, at) => {
      let left = 0;
      for (const { card, name, tags } of cards) {
        card.hidden = !(name.includes(wanted) && (only.value === "all" || tags.includes(only.value)));
        if (!card.hidden) left += 1;
      }
      if (list.dataset.place !== sort.value) {
        list.dataset.place = sort.value;
        list.append(...cards.sort((one, other) => one.ranks[place] - other.ranks[place]).map(({ card }) => card));
      }
      if (at === 0) shown.textContent = left === cards.length ? `${left} columns` : `${left} of ${cards.length} columns`;
    });
  };
  tools.hidden = false;
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.addEventListener("input", look);
  look();
})();
