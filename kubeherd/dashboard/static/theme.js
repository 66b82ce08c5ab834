// Light or dark: as the system is, or as was chosen here.

const chosen = () => document.documentElement.dataset.theme ?? "";

function choose(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

/** What comes after what is chosen: as the system is, light, dark. */
export function nextTheme() {
  const next = { "": "light", light: "dark", dark: "" }[chosen()];
  choose(next);
  if (next) localStorage.setItem("theme", next); else localStorage.removeItem("theme");
}

const kept = localStorage.getItem("theme");
if (["light", "dark"].includes(kept)) choose(kept); // before anything reads a colour
