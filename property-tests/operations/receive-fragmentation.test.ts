// Law: a sequence of receives has the same results, errors, partials and leftover, however the bytes are cut into
// pieces.

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { WantioError } from '../../core/errors.ts';
import { Inflow } from '../../core/inflow.ts';
import { Operation } from '../../core/operation.ts';
import { patternOf, until } from '../../core/pattern.ts';
import type { PatternName } from '../../core/pattern.ts';
import { ReceiveStep, SkipStep } from '../../core/receive.ts';
import type { Step } from '../../core/operation.ts';
import { ManualVenue } from '../../core/testing/manual-venue.ts';
import { ScriptedTransport } from '../../core/testing/scripted-transport.ts';
import type { ReadEvent } from '../../core/testing/scripted-transport.ts';
import { END, WANT_LOOKUP, WANT_READ, WANT_WRITE } from '../../core/want.ts';
import { checkLaw } from '../kit/law.ts';

/**
 * One receive. A request of `'*s'` stands for several receives that return `maxBytes` together, because the result of a
 * single one depends on the pieces.
 */
interface Request {
  readonly pattern: PatternName | Until | Skip;
  readonly maxBytes: number;
  readonly prefix: string;
}

/** `receiveUntil`. */
interface Until {
  readonly delimiter: string;
}

/** `skip`. */
interface Skip {
  readonly skip: number;
}

/** The outcome of a receive. Bytes are Latin-1 text, one character for each byte. */
type Outcome = { readonly value: string } | { readonly code: string; readonly partial: string };

interface Outcomes {
  readonly outcomes: readonly Outcome[];
  readonly left: string;
}

const LIMIT_MS = 10;

test('the results of receives do not depend on fragmentation', async () => {
  await checkLaw(
    fc.asyncProperty(
      stream,
      fc.boolean(),
      fc.array(request, { minLength: 1, maxLength: 8, size: 'max' }),
      cuts,
      async (bytes, ends, requests, { at, wants }) => {
        const end: ReadEvent[] = ends ? [END] : [];
        const expected = model(bytes, ends, requests);
        expect(await receiveAll([...(bytes === '' ? [] : [latin1(bytes)]), ...end], requests), 'whole').toEqual(
          expected,
        );
        expect(await receiveAll([...piecesOf(bytes, at, wants), ...end], requests), 'in pieces').toEqual(expected);
        expect(await receiveAll([...Array.from(bytes, latin1), ...end], requests), 'byte by byte').toEqual(expected);
        expect(
          await receiveAll(
            [...Array.from(bytes, latin1).flatMap((byte) => [WANT_READ, byte] as const), WANT_READ, ...end],
            requests,
          ),
          'byte by byte, waiting for each',
        ).toEqual(expected);
      },
    ),
    1_000,
  );
});

/** Receives from a peer that follows `script`. After its end, each receive times out. */
async function receiveAll(script: readonly ReadEvent[], requests: readonly Request[]): Promise<Outcomes> {
  const inflow = new Inflow(new ScriptedTransport({ reads: script }));
  const outcomes: Outcome[] = [];
  for (const { pattern, maxBytes, prefix } of requests) {
    inflow.input.prepend(latin1(prefix));
    outcomes.push(
      await (pattern === '*s'
        ? receiveSome(inflow, maxBytes, script.length)
        : receive(inflow, pattern, maxBytes, script.length)),
    );
  }
  const rest = await receiveSome(inflow, Infinity, script.length);
  return { outcomes, left: 'value' in rest ? rest.value : rest.partial };
}

async function receiveSome(inflow: Inflow, count: number, patience: number): Promise<Outcome> {
  let value = '';
  while (value.length < count) {
    const outcome = await receive(inflow, '*s', count - value.length, patience);
    if (!('value' in outcome)) return { ...outcome, partial: value + outcome.partial };
    if (outcome.value === '') break;
    value += outcome.value;
  }
  return { value };
}

/** @param patience how often the operation is woken before its limit passes: once for each event of the script. */
async function receive(
  inflow: Inflow,
  pattern: Request['pattern'],
  maxBytes: number,
  patience: number,
): Promise<Outcome> {
  const venue = new ManualVenue();
  const step: Step<string | Uint8Array | number> =
    typeof pattern !== 'object'
      ? new ReceiveStep(inflow, patternOf(pattern), maxBytes)
      : 'skip' in pattern
        ? new SkipStep(inflow, pattern.skip)
        : new ReceiveStep(inflow, until(latin1(pattern.delimiter)), maxBytes);
  const operation = new Operation(step, venue, { blockMs: LIMIT_MS }).start();
  for (let wake = 0; wake <= patience && !operation.settled; wake++) venue.ready();
  venue.advance(LIMIT_MS);
  try {
    const value = await operation;
    return { value: value instanceof Uint8Array ? textOf(value) : String(value) };
  } catch (error) {
    if (!(error instanceof WantioError)) throw error;
    if (step instanceof SkipStep) return { code: error.code, partial: String(operation.last) };
    expect(error.partial, 'the partial of a failed receive').toBeInstanceOf(Uint8Array);
    return { code: error.code, partial: textOf(error.partial ?? new Uint8Array()) };
  }
}

/** The expected outcomes, by the simplest algorithm. */
function model(bytes: string, ends: boolean, requests: readonly Request[]): Outcomes {
  const missing = ends ? 'ERR_WANTIO_CLOSED' : 'ERR_WANTIO_TIMEOUT';
  let left = bytes;
  const take = (count: number): string => {
    const taken = left.slice(0, count);
    left = left.slice(count);
    return taken;
  };
  const outcomeOf = ({ pattern, maxBytes, prefix }: Request): Outcome => {
    left = prefix + left;
    if (typeof pattern === 'object' && 'skip' in pattern) {
      const skipped = take(pattern.skip).length;
      return skipped === pattern.skip ? { value: String(skipped) } : { code: missing, partial: String(skipped) };
    }
    if (typeof pattern === 'object') {
      const { delimiter } = pattern;
      const length = left.indexOf(delimiter);
      const unfinished = left.length - (delimiter.length - 1);
      if (length > maxBytes || (length < 0 && unfinished > maxBytes))
        return { code: 'ERR_WANTIO_BOUNDS', partial: take(maxBytes) };
      // What lies beyond the bound stays in the connection.
      if (length < 0) return { code: missing, partial: take(maxBytes) };
      const value = take(length);
      take(delimiter.length);
      return { value };
    }
    if (pattern === '*l') {
      const [line] = left.split('\n', 1);
      if (line.length > maxBytes) return { code: 'ERR_WANTIO_BOUNDS', partial: take(maxBytes) };
      if (!left.includes('\n')) return { code: missing, partial: take(Infinity) };
      take(line.length + 1);
      return { value: new TextDecoder('utf-8', { ignoreBOM: true }).decode(latin1(line)).split('\r').join('') };
    }
    if (pattern === '*a') {
      if (left.length > maxBytes) return { code: 'ERR_WANTIO_BOUNDS', partial: take(maxBytes) };
      return ends ? { value: take(Infinity) } : { code: missing, partial: take(Infinity) };
    }
    if (pattern === '*s') {
      const enough = ends || left.length >= maxBytes;
      return enough ? { value: take(maxBytes) } : { code: missing, partial: take(Infinity) };
    }
    if (pattern > maxBytes) return { code: 'ERR_WANTIO_BOUNDS', partial: '' };
    return left.length >= pattern ? { value: take(pattern) } : { code: missing, partial: take(Infinity) };
  };
  return { outcomes: requests.map(outcomeOf), left };
}

function piecesOf(bytes: string, cuts: readonly number[], wants: readonly (readonly Want[])[]): ReadEvent[] {
  const events: ReadEvent[] = [];
  const bounds = [0, ...cuts.map((cut) => Math.round(cut * bytes.length)).sort((a, b) => a - b), bytes.length];
  for (let index = 1; index < bounds.length; index++) {
    events.push(...(wants[index % wants.length] ?? []));
    if (bounds[index] > bounds[index - 1]) events.push(latin1(bytes.slice(bounds[index - 1], bounds[index])));
  }
  return events;
}

function latin1(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

type Want = typeof WANT_READ | typeof WANT_WRITE | typeof WANT_LOOKUP;

// Bytes that matter to patterns and decoders are frequent: line ends, parts of characters, a byte order mark.
const part = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('\n', '\r', '\r\n', 'a', 'bc') },
  { weight: 1, arbitrary: fc.constantFrom('€', '😀', '\ufeff').map((text) => textOf(Buffer.from(text))) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 6 }).map(textOf) },
);
const stream = fc.array(part, { maxLength: 40, size: 'max' }).map((parts) => parts.join(''));

const maxBytes = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constant(1_000));
const request: fc.Arbitrary<Request> = fc.record({
  pattern: fc.oneof(
    { weight: 2, arbitrary: fc.constant('*l' as const) },
    fc.constantFrom('*a' as const, '*s' as const),
    fc.nat(12),
    fc.constantFrom('\n', '\r\n', 'aa', 'a\na', 'bcbc').map((delimiter) => ({ delimiter })),
    fc.nat(12).map((skip) => ({ skip })),
  ),
  maxBytes,
  prefix: fc.oneof(
    { weight: 2, arbitrary: fc.constant('') },
    fc.array(part, { maxLength: 3 }).map((parts) => parts.join('')),
  ),
});

const want = fc.constantFrom<Want[]>(WANT_READ, WANT_WRITE, WANT_LOOKUP);
const cuts = fc.record({
  at: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12, size: 'max' }),
  wants: fc.array(fc.array(want, { maxLength: 2 }), { minLength: 1, maxLength: 5 }),
});
