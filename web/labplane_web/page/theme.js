// Light, dark, or as the system: kept in this browser.

import { find } from "./dom.js";
import { T } from "./text.js";

const CHOICES = ["auto", "light", "dark"];

function stored() {
  try {
    return localStorage.getItem("theme") ?? "auto";
  } catch {
    return "auto"; // a browser that keeps nothing
  }
}

function show(choice) {
  if (choice === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
  const button = find("theme");
  if (!button) return;
  button.title = `${T.theme}: ${T.themes[choice]}`;
  button.setAttribute("aria-label", button.title);
  dispatchEvent(new Event("themechange"));
}

export function useTheme() {
  let choice = CHOICES.includes(stored()) ? stored() : "auto";
  show(choice);
  find("theme")?.addEventListener("click", () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
    try {
      localStorage.setItem("theme", choice);
    } catch {
      // it holds for this page, then
    }
    show(choice);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(choice));
}
