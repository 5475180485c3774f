/** One planted bug: a place in a file, and what stands there instead. */

export interface Mutant {
  readonly name: string;
  /** The file, from the project's root. */
  readonly file: string;
  /**
   * Code that the file contains exactly once. White space and trailing commas do not count, so a formatter may move it.
   */
  readonly find: string;
  readonly replace: string;
  /** A test file that catches it and is tried first; the tests of `core/` unless given. */
  readonly by?: string;
}

/** @returns `source` with the bug in it; `undefined` unless the place stands there exactly once. */
export function plant(source: string, { find, replace }: Mutant): string | undefined {
  const tokens = find.match(/\w+|[^\w\s]/g) ?? [];
  const pattern = tokens
    .map((token) => (/[)\]}]/.test(token) ? `,?\\s*\\${token}` : token.replace(/\W/, '\\$&')))
    .join('\\s*');
  const [place, ...others] = source.matchAll(new RegExp(pattern, 'g'));
  if (place === undefined || others.length > 0) return undefined;
  return source.slice(0, place.index) + replace + source.slice(place.index + place[0].length);
}
