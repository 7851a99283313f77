/** Making elements. Text only ever becomes a text node: names of layers come from strangers. */

type Attribute = string | number | boolean | null | undefined;
type Attributes = Record<string, Attribute>;
type Child = Node | string | null;

const SVG = "http://www.w3.org/2000/svg";

/** Make an HTML element. `true` writes an empty attribute; false, null and undefined write none. */
export function html<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  setAll(node, attributes);
  add(node, children);
  return node;
}

/** Make an SVG element. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const node = document.createElementNS(SVG, tag);
  setAll(node, attributes);
  add(node, children);
  return node;
}

/** Write attributes; a null takes one away. */
export function setAll(node: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) node.removeAttribute(name);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Replace what is in an element. */
export function fill(node: Element, ...children: Child[]): void {
  node.replaceChildren();
  add(node, children);
}

function add(node: Element, children: readonly Child[]): void {
  for (const child of children) if (child !== null) node.append(child);
}

/** Write a text only where it changed, so that a reader is not told twice. */
export function setText(node: Element, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

/** Show or hide an element. */
export function show(node: HTMLElement | SVGElement, shown: boolean): void {
  node.toggleAttribute("hidden", !shown);
}

let count = 0;

/** An id that no other element of the page has. */
export function freshId(stem: string): string {
  count += 1;
  return `effdl-${stem}-${count}`;
}

const SUPPRESS = "data-lm-suppress-shortcuts";

/**
 * The root of a view: keys typed in it do not reach Jupyter's shortcuts. JupyterLab looks for the attribute from the
 * focused element upwards, but a shortcut for `:focus` in a notebook matches that element first: so it carries it too.
 */
export function viewRoot(name: string, signal: AbortSignal): HTMLElement {
  const root = html("div", {
    role: "group", // two views of one model would be two landmarks of one name
    class: `effdl-view effdl-${name}`,
    "data-view": name,
    [SUPPRESS]: "true",
  });
  const mark = (event: FocusEvent): void => {
    if (event.target instanceof Element) event.target.setAttribute(SUPPRESS, "true");
  };
  root.addEventListener("focusin", mark, { signal });
  return root;
}

/** Remember what an element shows and draw it again only when that changed: clicks and focus survive updates. */
export function memo(): (key: unknown, draw: () => void) => void {
  let last: string | undefined;
  return (key, draw) => {
    const now = JSON.stringify(key);
    if (now === last) return;
    last = now;
    draw();
  };
}
