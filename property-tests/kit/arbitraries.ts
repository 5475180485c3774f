/** Random plans for simulated runs. fast-check shrinks them to the smallest plan that still fails. */

import fc from 'fast-check';

import type { Timeouts } from '../../core/timeouts.ts';
import type { Fault, FaultErrno, FaultPlan } from '../../reactor/faults/fault.ts';
import type { LinkOptions } from '../../reactor/simulated/link.ts';
import type { Moment, Scheduled } from './schedule.ts';

/** Bytes to send: all values, and any length from 0 to `maxLength`. */
export function payload(maxLength = 4096): fc.Arbitrary<Uint8Array> {
  return fc.oneof(
    fc.uint8Array({ maxLength: Math.min(64, maxLength) }),
    fc
      .tuple(fc.nat(maxLength), fc.nat(255))
      .map(([length, seed]) => Uint8Array.from({ length }, (_, index) => (index * 31 + seed) & 0xff)),
  );
}

/**
 * How the network carries bytes: in segments of one byte up to all at once, with and without latency, sometimes at a
 * limited bandwidth.
 */
export function link(): fc.Arbitrary<LinkOptions> {
  return fc.record(
    {
      segment: fc.oneof(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 17, max: 65_536 })),
      latencyMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 50 })),
      bandwidth: fc.constantFrom(20_000, 1_000_000),
    },
    { requiredKeys: ['segment', 'latencyMs'] },
  );
}

/** The kernel buffers of a host, from 1 byte to 64 KiB. */
export function buffers(): fc.Arbitrary<{ sendBuffer: number; receiveBuffer: number }> {
  const size = fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 65, max: 65_536 }));
  return fc.record({ sendBuffer: size, receiveBuffer: size });
}

/** A moment: up to `maxMs` milliseconds (often 0) and then up to five turns later. */
export function moment(maxMs = 60): fc.Arbitrary<Moment> {
  return fc.record({ afterMs: fc.oneof(fc.constant(0), fc.nat(maxMs)), turns: fc.nat(5) });
}

/**
 * A schedule: a list of things that happen, each some time after the one before. About half of them happen in the same
 * millisecond as the one before, in the same turn or a later one. {@link follow} runs a schedule.
 * @param what the arbitrary of the things.
 * @param options `maxLength`: the most things, 10 by default. `maxMs`: the longest time after the thing before, in
 * milliseconds, 60 by default.
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

/** A schedule of the given things: each once, in any order and at any moments. */
export function scheduleOf<T>(things: readonly T[], maxMs = 60): fc.Arbitrary<Scheduled<T>[]> {
  const ordered = fc.shuffledSubarray([...things], { minLength: things.length });
  const moments = fc.array(moment(maxMs), { minLength: things.length, maxLength: things.length });
  return fc.tuple(ordered, moments).map(([order, at]) => order.map((what, index) => ({ what, ...at[index] })));
}

/**
 * Both limits of an operation: up to `maxMs` milliseconds, zero (one attempt without waiting), or one of the values
 * that mean no limit.
 */
export function timeouts(maxMs = 200): fc.Arbitrary<Timeouts> {
  const limit = fc.oneof(
    { weight: 6, arbitrary: fc.nat(maxMs) },
    { weight: 1, arbitrary: fc.constant(0) },
    { weight: 3, arbitrary: fc.constantFrom(undefined, Infinity, -1) },
  );
  return fc.record({ blockMs: limit, totalMs: limit });
}

/** Faults that do not change the outcome of a correct program: delays, short counts, interruptions. */
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
