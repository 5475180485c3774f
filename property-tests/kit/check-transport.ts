/** The conformance checks of transports, for any test runner. Every transport must pass them. */

import assert from 'node:assert/strict';

import type { Transport } from '../../core/transport.ts';
import { DONE, END, WANT_READ, WANT_WRITE } from '../../core/want.ts';

/** Both ends of one channel. They are connected, and the handshake is done. */
export interface TransportPair {
  readonly near: Transport;
  readonly far: Transport;
  /** Whether the transport below distinguishes an abort from an end. Unix sockets do not. */
  readonly tellsAborts: boolean;
  /** Lets everything in flight arrive, so that both ends know their readiness. */
  readonly settle: () => Promise<void>;
  /** Releases everything, including ends that a check has left open. */
  dispose(): Promise<void>;
}

/** One check of a transport or a selector. */
export interface Check {
  readonly name: string;
  /** Runs the check. The promise rejects when the transport or the selector fails the check. */
  readonly run: () => Promise<void>;
}

/**
 * @param make makes a pair with room for at least a few kilobytes.
 * @param makeClogged makes a pair that takes less than 200 KB before it wants to write.
 * @returns the checks.
 */
export function checkTransport(make: () => Promise<TransportPair>, makeClogged: () => Promise<TransportPair>): Check[] {
  const check = (name: string, run: (pair: TransportPair) => Promise<void>, maker = make): Check => ({
    name,
    run: async () => {
      const pair = await maker();
      try {
        await run(pair);
      } finally {
        await pair.dispose();
      }
    },
  });

  return [
    check('stays connected after the handshake, with nothing left to flush', ({ near }) => {
      assert.equal(near.handshake(), DONE);
      assert.equal(near.flush(), DONE);
      assert.equal(near.failure, undefined);
      return Promise.resolve();
    }),
    check('wants to read when no bytes have arrived', async ({ far, settle }) => {
      await settle();
      assert.equal(far.read(new Uint8Array(8)), WANT_READ);
      assert.equal(far.hasBuffered, false);
    }),
    check('returns 0 for a write of 0 bytes', ({ near }) => {
      assert.equal(near.write(new Uint8Array(0)), 0);
      return Promise.resolve();
    }),
    check('delivers bytes in order, whatever the sizes of the reads', async ({ near, far, settle }) => {
      const sent = pattern(1_000);
      assert.equal(near.write(sent), sent.length);
      await settle();
      const received = [];
      for (const size of [1, 2, 300, 5_000]) {
        const into = new Uint8Array(size);
        const count = far.read(into);
        assert(count > 0, `read ${String(count)}`);
        received.push(into.slice(0, count));
        await settle();
      }
      assert.deepEqual(Buffer.concat(received), Buffer.from(sent));
      assert.equal(far.read(new Uint8Array(8)), WANT_READ);
    }),
    check('delivers buffered bytes one by one, and then wants to read', async ({ near, far, settle }) => {
      near.write(pattern(10));
      await settle();
      const one = new Uint8Array(1);
      for (let i = 0; i < 10; i++) assert.equal(far.read(one), 1);
      assert.equal(far.read(one), WANT_READ);
      assert.equal(far.hasBuffered, false);
    }),
    check(
      'makes the writer want to write while the reader pauses, and loses no bytes',
      async ({ near, far, settle }) => {
        const sent = pattern(200_000);
        const received: Uint8Array[] = [];
        let [written, read, wants] = [0, 0, 0];
        while (read < sent.length) {
          const count = written < sent.length ? near.write(sent.subarray(written)) : 0;
          if (count === WANT_WRITE) wants++;
          else assert(count >= 0, `write ${String(count)}`);
          written += Math.max(0, count);
          if (count > 0) continue;
          if (near.hasUnflushed) near.flush();
          await settle();
          for (const into = new Uint8Array(10_000); ;) {
            const got = far.read(into);
            if (got < 0) break;
            received.push(into.slice(0, got));
            read += got;
          }
          await settle();
        }
        assert(wants > 0, 'the writer never wanted to write');
        assert(Buffer.concat(received).equals(sent));
      },
      makeClogged,
    ),
    check(
      'delivers an end after the bytes before it, and keeps the other direction open',
      async ({ near, far, settle }) => {
        near.write(pattern(100));
        assert.equal(near.shutdown(), DONE);
        await settle();
        assert.equal(far.read(new Uint8Array(200)), 100);
        await settle();
        assert.equal(far.read(new Uint8Array(8)), END);
        assert.equal(far.write(pattern(50)), 50);
        await settle();
        assert.equal(near.read(new Uint8Array(200)), 50);
      },
    ),
    check(
      'makes the reads of the other end throw after an abort, or return END where an abort looks like an end',
      async ({ near, far, settle, tellsAborts }) => {
        near.abort();
        await settle();
        if (tellsAborts) {
          assert.throws(() => far.read(new Uint8Array(8)));
          assert.notEqual(far.failure, undefined);
        } else assert.equal(far.read(new Uint8Array(8)), END);
      },
    ),
    check('ignores a second close and an abort after it', ({ near }) => {
      near.close();
      near.close();
      near.abort();
      return Promise.resolve();
    }),
  ];
}

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 7 + (index >> 8)) & 0xff);
}
