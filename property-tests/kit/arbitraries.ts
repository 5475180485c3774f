/** Random plans for simulated runs, which fast-check shrinks to the smallest that still fails. */

import fc from 'fast-check';

import type { Timeouts } from '../../core/timeouts.ts';
import type { Fault, FaultErrno, FaultPlan } from '../../reactor/faults/fault.ts';
import type { LinkOptions } from '../../reactor/simulated/link.ts';
import type { Moment, Scheduled } from './schedule.ts';

/** Bytes to send: all values, and lengths from none to `maxLength`. */
export function payload(maxLength = 4096): fc.Arbitrary<Uint8Array> {
  return fc.oneof(
    fc.uint8Array({ maxLength: Math.min(64, maxLength) }),
    fc
      .tuple(fc.nat(maxLength), fc.nat(255))
      .map(([length, seed]) => Uint8Array.from({ length }, (_, index) => (index * 31 + seed) & 0xff)),
  );
}

/** How the network carries bytes: from every byte alone to all at once, with and without latency. */
export function link(): fc.Arbitrary<LinkOptions> {
  return fc.record({
    segment: fc.oneof(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 17, max: 65_536 })),
    latencyMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 50 })),
  });
}

/** The kernel's buffers of a host, from very small to common. */
export function buffers(): fc.Arbitrary<{ sendBuffer: number; receiveBuffer: number }> {
  const size = fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 65, max: 65_536 }));
  return fc.record({ sendBuffer: size, receiveBuffer: size });
}

/** A moment: at once, some turns later, or after up to `maxMs` milliseconds and then some turns. */
export function moment(maxMs = 60): fc.Arbitrary<Moment> {
  return fc.record({ afterMs: fc.oneof(fc.constant(0), fc.nat(maxMs)), turns: fc.nat(5) });
}

/**
 * A schedule: how many things happen, which, in which order, and when, each counted from the one before. Half of them
 * happen within the same millisecond as the one before, in the same turn or in a later one. {@link follow} follows it.
 * @param what draws what happens.
 * @param options.maxLength how many at most; 10 unless given.
 * @param options.maxMs how long after the one before at most, in milliseconds; 60 unless given.
 */
export function schedule<T>(
  what: fc.Arbitrary<T>,
  { maxLength = 10, maxMs = 60 }: { maxLength?: number; maxMs?: number } = {},
): fc.Arbitrary<Scheduled<T>[]> {
  return fc.array(
    fc.tuple(what, moment(maxMs)).map(([drawn, at]) => ({ what: drawn, ...at })),
    { maxLength },
  );
}

/** The given things, each once, in any order and at any moments. */
export function scheduleOf<T>(things: readonly T[], maxMs = 60): fc.Arbitrary<Scheduled<T>[]> {
  const ordered = fc.shuffledSubarray([...things], { minLength: things.length });
  const moments = fc.array(moment(maxMs), { minLength: things.length, maxLength: things.length });
  return fc.tuple(ordered, moments).map(([order, at]) => order.map((what, index) => ({ what, ...at[index] })));
}

/**
 * Both limits of an operation: up to `maxMs` milliseconds, zero (one try and no wait), and every way to say that there
 * is none.
 */
export function timeouts(maxMs = 200): fc.Arbitrary<Timeouts> {
  const limit = fc.oneof(
    { weight: 6, arbitrary: fc.nat(maxMs) },
    { weight: 1, arbitrary: fc.constant(0) },
    { weight: 3, arbitrary: fc.constantFrom(undefined, Infinity, -1) },
  );
  return fc.record({ blockMs: limit, totalMs: limit });
}

/** Faults that a correct program does not notice: delays, short counts, interruptions. */
export function harmlessFaults(): fc.Arbitrary<FaultPlan> {
  return fc.record({
    recv: many(harmless()),
    send: many(fc.oneof(harmless(), fc.constant<Fault>({ kind: 'errno', code: 'ENOBUFS' }))),
  });
}

/** Faults of every kind. */
export function anyFaults(): fc.Arbitrary<FaultPlan> {
  const lasting = fc.constantFrom<Fault>({ kind: 'reset' }, { kind: 'end' }, { kind: 'hold' });
  const bytes = many(
    fc.oneof(
      { arbitrary: harmless(), weight: 8 },
      { arbitrary: errno('ECONNRESET', 'EPIPE', 'ETIMEDOUT'), weight: 1 },
      { arbitrary: lasting, weight: 1 },
    ),
  );
  return fc.record({
    recv: bytes,
    send: bytes,
    accept: sparse(errno('EAGAIN', 'EINTR', 'EMFILE', 'ECONNABORTED')),
    connect: sparse(errno('ECONNREFUSED', 'EINTR', 'ETIMEDOUT')),
    socket: sparse(errno('EMFILE')),
  });
}

function harmless(): fc.Arbitrary<Fault> {
  return fc.oneof(
    fc.constant<Fault>({ kind: 'pass' }),
    fc.integer({ min: 1, max: 20 }).map((ms): Fault => ({ kind: 'delay', ms })),
    fc.integer({ min: 1, max: 40 }).map((bytes): Fault => ({ kind: 'short', bytes })),
    fc.constant<Fault>({ kind: 'zero' }),
    errno('EINTR', 'EAGAIN'),
  );
}

function errno(...codes: FaultErrno[]): fc.Arbitrary<Fault> {
  return fc.constantFrom(...codes).map((code): Fault => ({ kind: 'errno', code }));
}

function many(fault: fc.Arbitrary<Fault>): fc.Arbitrary<Fault[]> {
  return fc.array(fault, { maxLength: 24 });
}

function sparse(fault: fc.Arbitrary<Fault>): fc.Arbitrary<Fault[]> {
  return fc.array(
    fc.oneof({ arbitrary: fc.constant<Fault>({ kind: 'pass' }), weight: 3 }, { arbitrary: fault, weight: 1 }),
    { maxLength: 4 },
  );
}
