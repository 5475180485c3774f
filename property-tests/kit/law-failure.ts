/** The error of a law that fails: the smallest plan, a diagram of its run, and the command that replays it. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

import fc from 'fast-check';

import { EXCERPT, tracedFailure } from './trace.ts';
import type { Trace } from './trace.ts';

/** The place of a law in the tests. */
export interface LawPlace {
  /** The file, relative to the folder in which the tests are run. */
  readonly file: string;
  /** The full name of the test, for the filter of the test runner; `undefined` if the runner does not give it. */
  readonly name?: string | undefined;
}

/**
 * Finds the place of a law in the stack of its call: the file of the test, or else the first file outside of this
 * folder and `node_modules`.
 */
export function placeOf(stack: string | undefined): LawPlace | undefined {
  const files = [...(stack ?? '').matchAll(/[\s(]((?:file:\/\/)?\/[^\n()]+?):\d+:\d+\)?$/gm)]
    .map(([, file]) => (file.startsWith('file:') ? fileURLToPath(file) : file))
    .filter((file) => !file.startsWith(import.meta.dirname + sep) || TEST.test(file));
  const file =
    files.find((each) => TEST.test(each)) ?? files.find((each) => !each.includes(`${sep}node_modules${sep}`));
  return file === undefined ? undefined : { file: relative(process.cwd(), file) };
}

/** @returns the error for a law that failed. Its cause is the error that the run of the smallest plan threw. */
export function lawFailure<P>(details: fc.RunDetails<P>, place: LawPlace | undefined): Error {
  const { counterexamplePath, errorInstance: cause } = details;
  if (counterexamplePath === null) return new Error(fc.defaultReportMessage(details) ?? 'the law could not be tried');
  const plan = fc.stringify(details.counterexample);
  const traced = tracedFailure(cause);
  // The message shows the message of the cause once, without the trace, because the trace follows below.
  if (traced !== undefined && cause instanceof Error) cause.message = traced.message;
  const message = [
    `Property failed after ${String(details.numRuns)} tests, shrunk ${String(details.numShrinks)} times`,
    `{ seed: ${String(details.seed)}, path: "${counterexamplePath}", endOnFailure: true }`,
    `Counterexample: ${plan}`,
    '',
    cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause),
    ...(traced === undefined ? [] : ['', ...picture(traced.trace, details.seed, place)]),
    '',
    `replay: ${replayCommand(details.seed, counterexamplePath, plan, place)}`,
  ].join('\n');
  return new Error(message, { cause });
}

/**
 * @returns the end of the trace as text, and its diagram. If `WANTIO_TRACE_DIR` is set, the whole trace and its diagram
 * are written to files in that folder, and the result names these files instead of showing the diagram.
 */
function picture(trace: Trace, seed: number, place: LawPlace | undefined): string[] {
  const excerpt = trace.last(EXCERPT);
  const omitted = trace.entries.length - excerpt.entries.length;
  const text = [`trace${omitted > 0 ? ` (${String(omitted)} calls before)` : ''}:`, excerpt.toString()];
  const { WANTIO_TRACE_DIR: folder } = process.env;
  if (folder === undefined) return [...text, '', 'diagram (Mermaid):', excerpt.toMermaid()];
  mkdirSync(folder, { recursive: true });
  const stem = join(folder, `${(place?.name ?? 'law').replaceAll(/\W+/g, '-')}-${String(seed)}`);
  writeFileSync(`${stem}.txt`, `${trace.toString()}\n`);
  writeFileSync(`${stem}.mmd`, `${trace.toMermaid()}\n`);
  return [...text, '', `whole trace: ${stem}.txt`, `diagram (Mermaid): ${stem}.mmd`];
}

function replayCommand(seed: number, path: string, plan: string, place: LawPlace | undefined): string {
  const [, commands] = /replayPath="([^"]*)"/.exec(plan) ?? [];
  const variables = [
    `WANTIO_SEED=${String(seed)}`,
    `WANTIO_PATH=${path}`,
    ...(commands === undefined ? [] : [`WANTIO_COMMANDS=${commands}`]),
  ];
  const filter =
    place?.name === undefined ? '' : ` -t ${quoted(`^${place.name.replaceAll(/[$()*+.?[\\\]^{|}]/g, '\\$&')}$`)}`;
  const target = `npx vitest run ${place?.file ?? 'FILE'}${filter}`;
  return `${variables.join(' ')} ${target}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

const TEST = /\.(?:test|spec)\.[cm]?[jt]sx?$/;
