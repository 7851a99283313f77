/** All views by the name that a payload carries. */

import type { Drawn, Emit } from "../core/screen.js";
import type { Payload } from "../core/wire.js";
import { drawLayers } from "./layers.js";
import { drawPareto } from "./pareto.js";
import { drawSuggestions } from "./suggestions.js";

/** A view of any payload: says whether it could take a new one. */
export interface AnyDrawn {
  /** False when the payload is of another view, which then has to be drawn anew. */
  update(payload: Payload): boolean;
  select: Drawn<Payload>["select"];
}

/** Draw the view that a payload asks for. */
export function draw(el: HTMLElement, payload: Payload, emit: Emit, signal: AbortSignal): AnyDrawn {
  switch (payload.view) {
    case "layers": {
      const drawn = drawLayers(el, payload, emit, signal);
      return { ...selecting(drawn), update: (next) => next.view === "layers" && did(() => drawn.update(next)) };
    }
    case "suggestions": {
      const drawn = drawSuggestions(el, payload, emit, signal);
      return { ...selecting(drawn), update: (next) => next.view === "suggestions" && did(() => drawn.update(next)) };
    }
    case "pareto": {
      const drawn = drawPareto(el, payload, emit, signal);
      return { ...selecting(drawn), update: (next) => next.view === "pareto" && did(() => drawn.update(next)) };
    }
  }
}

function selecting(drawn: Pick<AnyDrawn, "select">): Pick<AnyDrawn, "select"> {
  return { select: (values) => drawn.select(values) };
}

function did(act: () => void): true {
  act();
  return true;
}
