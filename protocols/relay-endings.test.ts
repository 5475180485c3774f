// When and how a relay ends, to the millisecond: in a simulated network, where nothing else takes time.

import { getEventListeners } from 'node:events';

import { describe, expect, it } from 'vitest';

import { ClosedError } from '../core/errors.ts';
import type { Connection } from '../reactor/connections/connection.ts';
import { World } from '../reactor/simulated/world.ts';
import { Relay } from './relay.ts';
import type { RelayOptions } from './relay.ts';

interface Scene {
  readonly world: World;
  /** The peers of the relay's first and second connection. */
  readonly near: Connection;
  readonly far: Connection;
  readonly first: Connection;
  readonly second: Connection;
  readonly relay: Relay;
}

/**
 * Calls `use` with a relay between two peers with small buffers. Asserts afterwards that the relay released everything.
 */
async function withRelay(options: RelayOptions, use: (scene: Scene) => Promise<void>): Promise<void> {
  const world = new World();
  const machines = ['near', 'relay', 'far'].map((name) =>
    world.machine(name, { sendBuffer: 1_000, receiveBuffer: 1_000 }),
  );
  const [nearHost, host, farHost] = machines;
  await world.run(
    (async () => {
      const [front, back] = await Promise.all(
        [host, farHost].map(({ reactor }) => reactor.listen({ host: '0.0.0.0', port: 7 })),
      );
      const [near, first] = await Promise.all([nearHost.reactor.connect({ host: 'relay', port: 7 }), front.accept()]);
      const [second, far] = await Promise.all([host.reactor.connect({ host: 'far', port: 7 }), back.accept()]);
      const relay = new Relay(first, second, options);
      await use({ world, near, far, first, second, relay });
      await world.sleep(1);
      expect([first.closed, second.closed]).toEqual([true, true]);
      expect([first, second].map((each) => each.listenerCount('broken'))).toEqual([0, 0]);
      expect([host.reactor.loop.deadlines.size, host.reactor.operations().length]).toEqual([0, 0]);
      for (const { reactor } of machines) reactor.abort();
    })(),
  );
}

/** The result or the error of a promise, and after how many milliseconds it settled. */
async function ending(world: World, promise: PromiseLike<unknown>): Promise<[unknown, number]> {
  const startedAt = world.now();
  const outcome = await promise.then(
    (value) => value,
    (error: unknown) => error,
  );
  return [outcome, world.now() - startedAt];
}

const receiveAll = (connection: Connection): Promise<unknown> =>
  connection.receive('*a').then(
    (bytes) => bytes.length,
    (error: unknown) => [(error as NodeJS.ErrnoException).code, ((error as ClosedError).partial as Uint8Array).length],
  );

/** Sends until the connection takes no more. @returns the number of bytes sent. */
async function fill(world: World, connection: Connection): Promise<number> {
  let sent = 0;
  for (let count; (count = connection.trySend(new Uint8Array(500))) > 0; sent += count) await world.sleep(1);
  return sent;
}

describe('a relay ends', () => {
  it('when both sides have ended, closes both connections, and resolves with its statistics', () =>
    withRelay({ idleMs: 1_000, totalMs: 10_000 }, async ({ world, near, far, relay }) => {
      const done = ending(world, relay.done);
      await near.send('question');
      await near.shutdown('send');
      expect(await receiveAll(far)).toBe(8);
      await world.sleep(300);
      await far.send('the answer');
      await far.shutdown('send');
      expect(await receiveAll(near)).toBe(10);
      await Promise.all([near.close(), far.close()]);
      expect(await done).toEqual([{ forward: 8, backward: 10, durationMs: 300 }, 300]);
    }));

  it('when no bytes move for idleMs', () =>
    withRelay({ idleMs: 250 }, async ({ world, near, far, relay }) => {
      const done = ending(world, relay.done);
      for (const [from, restMs] of [
        [near, 200],
        [far, 240],
        [near, 10],
      ] as const) {
        await from.send('x');
        await world.sleep(restMs);
      }
      const [error, tookMs] = await done;
      expect(error).toMatchObject({
        name: 'OperationTimeoutError',
        mode: 'block',
        want: 'read',
        message: 'relay timed out (block 250 ms) waiting to read',
      });
      expect(tookMs).toBe(200 + 240 + 250);
      expect(await receiveAll(far)).toEqual(['ECONNRESET', 2]);
    }));

  it('at totalMs, however busy it is', () =>
    withRelay({ totalMs: 400, idleMs: 100 }, async ({ world, near, far, relay }) => {
      const done = ending(world, relay.done);
      const busy = (async () => {
        for (;;) {
          await near.send('x');
          await far.receive(1);
          await world.sleep(50);
        }
      })().catch(() => undefined);
      const [error, tookMs] = await done;
      expect(error).toMatchObject({ mode: 'total', want: null, message: 'relay timed out (total 400 ms)' });
      expect(tookMs).toBe(400);
      await busy;
    }));

  it('at once when its signal aborts, before or while it runs, and removes its listener from the signal', async () => {
    for (const waitMs of [0, 50]) {
      const cancel = new AbortController();
      if (waitMs === 0) cancel.abort('no more');
      await withRelay({ signal: cancel.signal }, async ({ world, near, far, first, second, relay }) => {
        const done = ending(world, relay.done);
        await world.sleep(waitMs);
        cancel.abort('no more');
        const [error, tookMs] = await done;
        expect(error).toMatchObject({
          name: 'ClosedError',
          message: 'relay failed: it was cancelled',
          cause: 'no more',
        });
        expect(tookMs).toBe(waitMs);
        expect([first.closeReason, second.closeReason]).toEqual([error, error]);
        expect(await Promise.all([receiveAll(near), receiveAll(far)])).toEqual([
          ['ECONNRESET', 0],
          ['ECONNRESET', 0],
        ]);
        expect(getEventListeners(cancel.signal, 'abort')).toEqual([]);
      });
    }
    const kept = new AbortController();
    await withRelay({ signal: kept.signal }, async ({ near, far, relay }) => {
      await Promise.all([near.close(), far.close(), relay.done]);
      expect(getEventListeners(kept.signal, 'abort')).toEqual([]);
      kept.abort();
    });
  });

  it.each(['near', 'far'] as const)(
    'with the error of the %s side when that breaks, and resets the other side',
    (which) =>
      withRelay({}, async (scene) => {
        const { world, relay, first, second } = scene;
        const [broken, other] = which === 'near' ? [scene.near, scene.far] : [scene.far, scene.near];
        const done = ending(world, relay.done);
        await broken.send('so far');
        await world.sleep(20);
        broken.abort();
        const [error, tookMs] = await done;
        expect(error).toMatchObject({ code: 'ECONNRESET' });
        expect(tookMs).toBe(20);
        expect(await receiveAll(other)).toEqual(['ECONNRESET', 6]);
        expect([first, second].map(({ closeReason }) => (closeReason as NodeJS.ErrnoException).code)).toEqual([
          'ECONNRESET',
          'ECONNRESET',
        ]);
      }),
  );

  it('after a clean close of the other side when the broken side had half-closed before', () =>
    withRelay({ close: { idleMs: 300 } }, async ({ world, near, far, relay }) => {
      const done = ending(world, relay.done);
      await near.send('question');
      await near.shutdown('send');
      expect(await receiveAll(far)).toBe(8);
      await world.sleep(20);
      near.abort();
      const [error, tookMs] = await done;
      expect(error).toMatchObject({ code: 'EPIPE' });
      expect(tookMs).toBe(20 + 300);
      // The far side received the whole question, so the relay does not reset it before the limit. After the limit the
      // far side learns that its answer goes nowhere.
      await far.send('too late');
      await world.sleep(1);
      await expect(far.send('too late')).rejects.toBeInstanceOf(Error);
    }));

  it("after a slow reader has received everything that the relay's machine got from the broken side", () =>
    withRelay({ close: { idleMs: 300 } }, async ({ world, near, far, relay }) => {
      const done = ending(world, relay.done);
      const sent = await fill(world, near);
      expect(sent).toBeGreaterThan(2_000);
      near.abort();
      let got = 0;
      for (;;) {
        await world.sleep(200);
        const piece = await far.receive('*s').catch((error: unknown) => error);
        if (!(piece instanceof Uint8Array)) {
          expect(piece).toMatchObject({ code: 'ECONNRESET' });
          break;
        }
        got += piece.length;
      }
      const [error] = await done;
      expect(error).toMatchObject({ code: 'ECONNRESET' });
      // Bytes in the send buffer of the broken side are lost. Bytes that reached the relay's machine are not.
      expect(got).toBeGreaterThanOrEqual(sent - 1_000);
      expect(relay.statistics.forward).toBe(got);
    }));

  it("within the limits of its closes when the other side takes none of the broken side's bytes", () =>
    withRelay({ close: { idleMs: 300 } }, async ({ world, near, far, relay }) => {
      await fill(world, near);
      const done = ending(world, relay.done);
      near.abort();
      const [error, tookMs] = await done;
      expect(error).toMatchObject({ code: 'ECONNRESET' });
      expect(tookMs).toBe(300);
      far.abort();
    }));

  it('at once when both sides are broken', () =>
    withRelay({}, async ({ world, near, far, relay }) => {
      // This is more than the far side takes, so the relay stops reading and does not notice that the near side breaks.
      await fill(world, near);
      near.abort();
      await world.sleep(100);
      const done = ending(world, relay.done);
      far.abort();
      const [error, tookMs] = await done;
      expect(error).toMatchObject({ code: 'ECONNRESET' });
      expect(tookMs).toBe(0);
    }));

  it('when other code aborts one of its connections, with the reason of that abort', async () => {
    for (const which of ['first', 'second'] as const) {
      await withRelay({}, async (scene) => {
        const mine = new ClosedError('mine');
        const done = ending(scene.world, scene.relay.done);
        scene[which].abort(mine);
        const [error, tookMs] = await done;
        expect((error as Error).message).toContain('mine');
        expect(tookMs).toBe(0);
        expect(await receiveAll(which === 'first' ? scene.far : scene.near)).toEqual(['ECONNRESET', 0]);
      });
    }
  });
});

it('a relay of closed connections ends at once', () =>
  withRelay({}, async ({ world, near, far, first, second, relay }) => {
    first.abort();
    await relay.done.catch(() => undefined);
    for (const pair of [
      [first, second],
      [second, first],
    ] as const) {
      const [error, tookMs] = await ending(world, new Relay(...pair).done);
      expect(error).toBeInstanceOf(ClosedError);
      expect(tookMs).toBe(0);
    }
    near.abort();
    far.abort();
  }));

it('new Relay throws for invalid connections and limits, and leaves the connections untouched', () =>
  withRelay({}, async ({ first, second, near, far, relay }) => {
    const listeners = first.listenerCount('broken');
    for (const [given, message] of [
      [[7, second], 'new Relay: the first connection takes a Connection'],
      [[first, {}], 'new Relay: the second connection takes a Connection'],
      [[first, second, { idle: 7 }], 'new Relay'],
      [[first, second, { idleMs: NaN }], 'idleMs'],
      [[first, second, { totalMs: '7' }], 'totalMs'],
    ] as const)
      expect(() => new (Relay as unknown as new (...args: readonly unknown[]) => Relay)(...given)).toThrow(message);
    expect(first.listenerCount('broken')).toBe(listeners);
    await Promise.all([near.close(), far.close(), relay.done]);
  }));
