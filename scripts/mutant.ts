/** One planted bug: a piece of code in a file, and its replacement. */

export interface Mutant {
  readonly name: string;
  /** The file, relative to the project's root. */
  readonly file: string;
  /**
   * Code that the file contains exactly once. White space and trailing commas are ignored, so that a formatter may
   * change them.
   */
  readonly find: string;
  readonly replace: string;
  /** A test file that catches the bug and is run first; the tests of `core/` by default. */
  readonly by?: string;
}

/** @returns `source` with the bug in it, or `undefined` unless `find` occurs exactly once. */
export function plant(source: string, { find, replace }: Mutant): string | undefined {
  const tokens = find.match(/\w+|[^\w\s]/g) ?? [];
  const pattern = tokens
    .map((token) => (/[)\]}]/.test(token) ? `,?\\s*\\${token}` : token.replace(/\W/, '\\$&')))
    .join('\\s*');
  const [place, ...others] = source.matchAll(new RegExp(pattern, 'g'));
  if (place === undefined || others.length > 0) return undefined;
  return source.slice(0, place.index) + replace + source.slice(place.index + place[0].length);
}
