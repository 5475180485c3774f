/** Random plans for simulated runs, which fast-check shrinks to the smallest that still fails. */

import fc from 'fast-check';

import type { Fault, FaultErrno, FaultPlan } from '../../reactor/faults/fault.ts';
import type { LinkOptions } from '../../reactor/simulated/link.ts';

/** Bytes to send: all values, and lengths from none to `maxLength`. */
export function payload(maxLength = 4096): fc.Arbitrary<Uint8Array> {
  return fc.oneof(
    fc.uint8Array({ maxLength: Math.min(64, maxLength) }),
    fc.tuple(fc.nat(maxLength), fc.nat(255)).map(([length, seed]) => Uint8Array.from({ length }, (_, index) => (index * 31 + seed) & 0xff)),
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

/** Faults that a correct program does not notice: delays, short counts, interruptions. */
export function harmlessFaults(): fc.Arbitrary<FaultPlan> {
  return fc.record({ recv: many(harmless()), send: many(fc.oneof(harmless(), fc.constant<Fault>({ kind: 'errno', code: 'ENOBUFS' }))) });
}

/** Faults of every kind. */
export function anyFaults(): fc.Arbitrary<FaultPlan> {
  const lasting = fc.constantFrom<Fault>({ kind: 'reset' }, { kind: 'end' }, { kind: 'hold' });
  const bytes = many(fc.oneof({ arbitrary: harmless(), weight: 8 }, { arbitrary: errno('ECONNRESET', 'EPIPE', 'ETIMEDOUT'), weight: 1 }, { arbitrary: lasting, weight: 1 }));
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
  return fc.array(fc.oneof({ arbitrary: fc.constant<Fault>({ kind: 'pass' }), weight: 3 }, { arbitrary: fault, weight: 1 }), { maxLength: 4 });
}
