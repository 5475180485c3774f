/** Reads the tables and programs of docs/coming-from.md, so that a test can run their code. */

/** A line of a table: a call of the other library, and the code that replaces it. */
export interface Row {
  /** The number of the line in the page. */
  readonly line: number;
  readonly there: string;
  /** The pieces of code that replace it, in order; empty if there are none. */
  readonly here: readonly Piece[];
  /** The text of the column if it has no code. */
  readonly instead: string;
}

/** A piece of code between backquotes, and its outcome according to the page. */
export interface Piece {
  readonly code: string;
  /** An expression that the result is equal to. */
  readonly gives: string | undefined;
  /** The name of the error that it fails with. */
  readonly throws: string | undefined;
}

/** A program of the page, and the output that the page shows. */
export interface Program {
  readonly line: number;
  readonly code: string;
  readonly prints: string | undefined;
}

/**
 * @returns every line of every table. The second column of each table must be "here".
 * @throws {Error} for a line of another form.
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
  // A bar inside code is written as \|.
  const cells = text
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll('\\|', '|'));
  if (cells.length !== 3) throw new Error(`line ${String(line)}: ${String(cells.length)} columns instead of 3`);
  const [there, here, toKnow] = cells;
  const codes = spansOf(here);
  // Words between the pieces are not run, so the only allowed word is "then".
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

/** The outcome of the last piece: "gives `…`" or "throws `…`" at the beginning of the third column. */
function outcomeOf(toKnow: string): { gives: string | undefined; throws: string | undefined } {
  return { gives: /^gives `([^`]+)`/.exec(toKnow)?.[1], throws: /^throws `([^`]+)`/.exec(toKnow)?.[1] };
}

const spansOf = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code);

/** @returns every TypeScript program. A text block that follows a program is its output. */
export function programsOf(page: string): Program[] {
  return [...page.matchAll(/^```ts\n([^]*?)^```\n(?:\n[^\n`]+\n\n```text\n([^]*?)^```\n)?/gm)].map((match) => ({
    line: page.slice(0, match.index).split('\n').length,
    code: match[1],
    prints: match[2],
  }));
}
