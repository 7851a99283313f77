/** The static table that stands beside a live view is hidden while the live one lives. */

const HIDING = "data-effdl-hides";

/** Hide the static twin of a view; what is returned shows it again. Results of finished searches always stay. */
export function hideTwin(origin: string, view: string): () => void {
  const which = `[data-effdl-origin="${CSS.escape(origin)}"][data-effdl-view="${CSS.escape(view)}"]`;
  const style = document.createElement("style");
  style.setAttribute(HIDING, view);
  style.textContent = `.effdl-static${which}:not(.effdl-result){display:none}`;
  document.head.append(style);
  return () => style.remove();
}
