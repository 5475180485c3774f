/** What a law says when it fails: the smallest plan, a picture of its run, and how to replay it. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

import fc from 'fast-check';

import { EXCERPT, tracedFailure } from './trace.ts';
import type { Trace } from './trace.ts';

/** Where a law stands. */
export interface LawPlace {
  /** The file, from where tests are run. */
  readonly file: string;
  /** Its full name, as the test runner's filter takes it; `undefined` when no runner tells it. */
  readonly name?: string | undefined;
}

/**
 * Where a law stands by the stack of its call: the file of the test, or else the first one outside of `kit`, the folder
 * of laws.
 */
export function placeOf(stack: string | undefined): LawPlace | undefined {
  const files = [...(stack ?? '').matchAll(/[\s(]((?:file:\/\/)?\/[^\n()]+?):\d+:\d+\)?$/gm)]
    .map(([, file]) => (file.startsWith('file:') ? fileURLToPath(file) : file))
    .filter((file) => !file.startsWith(import.meta.dirname + sep) || TEST.test(file));
  const file =
    files.find((each) => TEST.test(each)) ?? files.find((each) => !each.includes(`${sep}node_modules${sep}`));
  return file === undefined ? undefined : { file: relative(process.cwd(), file) };
}

/** @returns the error for a law that failed; its cause is what the run of the smallest plan threw. */
export function lawFailure<P>(details: fc.RunDetails<P>, place: LawPlace | undefined): Error {
  const { counterexamplePath, errorInstance: cause } = details;
  if (counterexamplePath === null) return new Error(fc.defaultReportMessage(details) ?? 'the law could not be tried');
  const plan = fc.stringify(details.counterexample);
  const traced = tracedFailure(cause);
  // The message of the cause is told once, without its trace.
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

/** The trace as text and as a diagram: here what matters of it, and all of it in files where that is asked for. */
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
