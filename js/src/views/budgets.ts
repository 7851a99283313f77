/** The budgets of a search as the page sees them: what the kernel told, and over it what was just asked for. */

const SETTLE_MS = 200; // moves within this time are one command

interface Asked {
  limit: number | null;
  /** What was sent already: told back late, it does not undo a newer wish. */
  sent: (number | null)[];
}

export class Budgets {
  readonly #send: (axis: string, limit: number | null) => void;
  readonly #asked = new Map<string, Asked>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  #told: Record<string, number> = {};

  constructor(send: (axis: string, limit: number | null) => void, signal: AbortSignal) {
    this.#send = send;
    const stop = (): void => {
      for (const timer of this.#timers.values()) clearTimeout(timer);
    };
    signal.addEventListener("abort", stop, { once: true });
  }

  /** Take what the kernel says; a wish ends when it is granted, or when somebody else decided otherwise. */
  take(told: Record<string, number>): void {
    for (const [axis, { limit, sent }] of this.#asked) {
      const now = told[axis] ?? null;
      if (same(now, this.#told[axis] ?? null)) continue;
      const waiting = this.#timers.has(axis) || sent.slice(0, -1).some((old) => same(now, old));
      if (same(now, limit) || !waiting) this.#asked.delete(axis);
    }
    this.#told = told;
  }

  /** The limit of a cost, in the unit of the payload. */
  get(axis: string): number | null {
    const asked = this.#asked.get(axis);
    return asked ? asked.limit : (this.#told[axis] ?? null);
  }

  /** All limits by cost. */
  all(): [string, number][] {
    const axes = new Set([...Object.keys(this.#told), ...this.#asked.keys()]);
    return [...axes].sort().flatMap((axis): [string, number][] => {
      const limit = this.get(axis);
      return limit === null ? [] : [[axis, limit]];
    });
  }

  /** Ask for a limit; it holds here at once, and the kernel hears of it when it stands still. */
  ask(axis: string, limit: number | null): void {
    const sent = this.#asked.get(axis)?.sent ?? [];
    this.#asked.set(axis, { limit, sent });
    clearTimeout(this.#timers.get(axis));
    const settle = (): void => {
      this.#timers.delete(axis);
      if (same(limit, this.#told[axis] ?? null)) {
        this.#asked.delete(axis);
        if (sent.length === 0) return;
      }
      sent.push(limit);
      this.#send(axis, limit);
    };
    this.#timers.set(axis, setTimeout(settle, SETTLE_MS));
  }
}

function same(a: number | null, b: number | null): boolean {
  if (a === null || b === null) return a === b;
  return Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b));
}
