/** What docs/coming-from.md says in its tables and programs, taken apart for being run. */

/** A line of a table: what is written there, and what takes its place here. */
export interface Row {
  /** The number of the line in the page. */
  readonly line: number;
  readonly there: string;
  /** The pieces of code that take its place, in their order; none when there is none yet. */
  readonly here: readonly Piece[];
  /** What stands in its place when there is no code. */
  readonly instead: string;
}

/** A piece of code between backquotes, and what is said to come of it. */
export interface Piece {
  readonly code: string;
  /** An expression that the result is equal to. */
  readonly gives: string | undefined;
  /** The name of the error that it fails with. */
  readonly throws: string | undefined;
}

/** A program of the page with what it prints. */
export interface Program {
  readonly line: number;
  readonly code: string;
  readonly prints: string | undefined;
}

/**
 * @returns every line of every table that has a column "here", the second.
 * @throws {Error} for a line that is not formed so.
 */
export function rowsOf(page: string): Row[] {
  const rows: Row[] = [];
  let isTable = false;
  page.split('\n').forEach((text, index) => {
    if (!text.startsWith('|')) isTable = false;
    else if (/^\| [^|]+ \| here \| to know \|$/.test(text)) isTable = true;
    else if (!isTable) throw new Error(`line ${String(index + 1)}: a table without the columns "here" and "to know"`);
    else if (!/^(?:\|---){3}\|$/.test(text)) rows.push(rowOf(text, index + 1));
  });
  return rows;
}

function rowOf(text: string, line: number): Row {
  // A bar in the code is written \|.
  const cells = text
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll('\\|', '|'));
  if (cells.length !== 3) throw new Error(`line ${String(line)}: ${String(cells.length)} columns instead of 3`);
  const [there, here, toKnow] = cells;
  const codes = spansOf(here);
  // Words between the pieces are not run, so that there are none but "then".
  const words = here
    .replace(/`[^`]+`/g, '')
    .replaceAll('then', '')
    .trim();
  if (codes.length > 0 && words !== '') throw new Error(`line ${String(line)}: "${words}" stands beside the code`);
  return {
    line,
    there,
    instead: codes.length > 0 ? '' : here,
    here: codes.map((code, index) => ({
      code,
      ...(index === codes.length - 1 ? outcomeOf(toKnow) : { gives: undefined, throws: undefined }),
    })),
  };
}

/** What comes of the last piece: "gives `…`" or "throws `…`" at the beginning of what there is to know. */
function outcomeOf(toKnow: string): { gives: string | undefined; throws: string | undefined } {
  return { gives: /^gives `([^`]+)`/.exec(toKnow)?.[1], throws: /^throws `([^`]+)`/.exec(toKnow)?.[1] };
}

const spansOf = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code);

/** @returns every program in TypeScript, with the text that follows as what it prints. */
export function programsOf(page: string): Program[] {
  return [...page.matchAll(/^```ts\n([^]*?)^```\n(?:\n[^\n`]+\n\n```text\n([^]*?)^```\n)?/gm)].map((match) => ({
    line: page.slice(0, match.index).split('\n').length,
    code: match[1],
    prints: match[2],
  }));
}
