/** Guards: small functions that say whether a value from outside has the shape a type promises. */

export type Guard<T> = (value: unknown) => value is T;

export const isText: Guard<string> = (value): value is string => typeof value === "string";
export const isNumber: Guard<number> = (value): value is number => typeof value === "number";
export const isFlag: Guard<boolean> = (value): value is boolean => typeof value === "boolean";

/** Say whether `value` is an object with string keys. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Guard for `T` or null. */
export function maybe<T>(guard: Guard<T>): Guard<T | null> {
  return (value): value is T | null => value === null || guard(value);
}

/** Guard for an array of `T`. */
export function listOf<T>(guard: Guard<T>): Guard<T[]> {
  return (value): value is T[] => Array.isArray(value) && value.every(guard);
}

/** Guard for an object whose values are all `T`. */
export function mapOf<T>(guard: Guard<T>): Guard<Record<string, T>> {
  return (value): value is Record<string, T> => isObject(value) && Object.values(value).every(guard);
}

/** Guard for one of some words. */
export function oneOf<T extends string>(...words: readonly T[]): Guard<T> {
  return (value): value is T => words.some((word) => word === value);
}

/** One guard a key: the compiler checks that no key of `T` is forgotten. */
export type Fields<T> = { [K in keyof T]-?: Guard<T[K]> };

/** Guard for an object with at least these fields. */
export function objectOf<T>(fields: Fields<T>): Guard<T> {
  return (value): value is T => wrongField(fields, value) === null;
}

/** Name the first field that is missing or of another type; null when all are right. */
export function wrongField(fields: Record<string, Guard<unknown>>, value: unknown): string | null {
  if (!isObject(value)) return "(not an object)";
  for (const [key, guard] of Object.entries(fields)) {
    if (!guard(value[key])) return key;
  }
  return null;
}
