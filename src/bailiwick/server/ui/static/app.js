// Comfort only: every page works without this file. Theme button, searches, parts of a page that follow events, and MLflow's
// addresses.
(() => {
  // MLflow's clients print addresses of MLflow's own pages, which are all in the fragment: they lead to ours.
  const [place] = location.pathname === "/" && location.hash.startsWith("#/") ? location.hash.slice(1).split("?") : [""];
  const [, kind, id, part, piece] = place.replace(/^\/workspaces\/[^/]+/, "").split("/");
  const ours = {
    experiments: id && (part === "runs" && piece ? `/runs/${piece}`
      : part === "models" ? (piece ? `/logged-models/${piece}` : `/experiments/${id}/models`) : `/experiments/${id}`),
    models: id ? `/models/${id}${part === "versions" && piece ? `/versions/${piece}` : ""}` : "/models",
  };
  if (place && (ours[kind] || kind === "experiments")) location.replace(ours[kind] || "/experiments");

  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const shown = () => root.dataset.theme || (dark.matches ? "dark" : "light");

  const button = document.querySelector("[data-theme-button]");
  if (button) {
    const label = () => { button.textContent = shown() === "dark" ? "Light theme" : "Dark theme"; };
    button.hidden = false;
    label();
    dark.addEventListener("change", label);
    button.addEventListener("click", () => {
      const next = shown() === "dark" ? "light" : "dark";
      root.dataset.theme = next;
      try { localStorage.setItem("bailiwick-theme", next); } catch { /* kept for this page only */ }
      label();
    });
  }

  // On a narrow screen the navigation is a strip that scrolls: show the item that is lit.
  const lit = document.querySelector(".nav [aria-current]");
  if (lit) lit.parentElement.scrollLeft = lit.offsetLeft - 16;

  // <form data-smooth="list"> searches as one types: what it finds replaces the element of that id, and the address follows.
  for (const form of document.querySelectorAll("form[data-smooth]")) {
    let waiting = 0, asked = 0;
    const search = async () => {
      const fields = [...new FormData(form)].filter(([, value]) => value);
      const address = `${location.pathname}${fields.length ? `?${new URLSearchParams(fields)}` : ""}`;
      const mine = asked += 1;
      const answer = await fetch(address, { headers: { Accept: "text/html" } }).catch(() => null);
      if (!answer || !answer.ok || mine !== asked) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(form.dataset.smooth);
      if (!fresh || mine !== asked) return;
      document.getElementById(form.dataset.smooth).replaceChildren(...fresh.childNodes);
      history.replaceState(null, "", address);
    };
    form.addEventListener("input", ({ target }) => {
      if (target.name === "against") return form.requestSubmit();  // what stands above the list changes with it
      clearTimeout(waiting);
      waiting = setTimeout(search, target.type === "search" ? 200 : 0);
    });
  }

  // <main data-refresh="10"> asks for the page again and replaces each [data-live] part that changed, but never one that
  // someone is using: a focused field, an open <details> or a text selection stays as it is.
  const main = document.querySelector("main[data-refresh]");
  if (!main) return;
  const seconds = Number(main.dataset.refresh);
  const inUse = (part) => part.contains(document.activeElement) || part.querySelector("details[open]")
    || (String(getSelection()) && part.contains(getSelection().anchorNode));

  const refresh = async () => {
    if (document.hidden) return;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (!answer || !answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      if (next && !inUse(part) && next.innerHTML !== part.innerHTML) part.replaceChildren(...next.childNodes);
    }
  };
  setInterval(refresh, Math.max(seconds, 2) * 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
})();
