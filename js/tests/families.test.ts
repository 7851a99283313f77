import { describe, expect, it } from "vitest";
import { familyOf } from "../src/core/families";
import { format, goldens } from "./fake";

describe("families", () => {
  it("have the titles and shapes that Python gives them", () => {
    const { families } = format();
    expect(families.length).toBeGreaterThan(3);
    expect(
      families.map(([name]) => {
        const { id, title, shape } = familyOf(name);
        return [id, title, shape];
      }),
    ).toEqual(families);
  });

  it("of the payloads that Python writes are all known", () => {
    const written = goldens().flatMap(([, payload]) => {
      if (payload.view === "suggestions") return payload.rows.map((row) => row.family);
      return payload.view === "pareto" ? payload.candidates.map((candidate) => candidate.family) : [];
    });
    expect(written.length).toBeGreaterThan(3);
    for (const name of written) expect(familyOf(name).id).toBe(name);
  });
});
