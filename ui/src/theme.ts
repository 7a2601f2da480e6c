// Light and dark: as the system has it, or as the switch says, which the browser keeps.

export type Theme = "system" | "light" | "dark";
const NAME = "perdure:theme";

/** Return what the switch says. */
export function theme(): Theme {
  try {
    const kept = localStorage.getItem(NAME);
    return kept === "light" || kept === "dark" ? kept : "system";
  } catch {
    return "system";
  }
}

/** Set the switch, and show it; says "theme" at the window, for what draws on a canvas. */
export function setTheme(chosen: Theme): void {
  try {
    if (chosen === "system") localStorage.removeItem(NAME);
    else localStorage.setItem(NAME, chosen);
  } catch {
    // Without storage it lasts as long as the page.
  }
  show(chosen);
}

/** Show the theme, from now on also when the system's changes. */
export function startTheme(): void {
  show(theme());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(theme()));
}

function show(chosen: Theme): void {
  const dark =
    chosen === "dark" ||
    (chosen === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  window.dispatchEvent(new Event("theme"));
}
