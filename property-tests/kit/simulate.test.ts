import { setTimeout as sleepReally } from 'node:timers/promises';

import { expect, it } from 'vitest';

import { AbortError } from '../../core/errors.ts';
import { DeadlockError, LivelockError, World } from '../../reactor/simulated/world.ts';
import { LeakError, simulate } from './simulate.ts';

it('a run ends at the moment at which its scenario settles, whatever deadlines are still armed', async () => {
  const { endedAtMs } = await simulate({}, async (world) => {
    const [here, there] = [world.machine('here'), world.machine('there')];
    const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
    const [client, server] = await Promise.all([here.reactor.connect({ host: 'there', port: 7 }), listener.accept()]);
    const receiving = server.receive(1, { timeouts: { totalMs: 60_000 } });
    await world.sleep(5);
    await client.send('x');
    await receiving;
    // The close is still running at the end, with its deadlines armed.
    void client.close();
  });
  expect(endedAtMs).toBe(5);
});

it('a DeadlockError names a real timer that the scenario awaits', async () => {
  const cancel = new AbortController();
  const error: unknown = await simulate({}, () => sleepReally(60_000, undefined, { signal: cancel.signal })).catch(
    (reason: unknown) => reason,
  );
  cancel.abort();
  expect(error).toBeInstanceOf(DeadlockError);
  expect((error as DeadlockError).pending).toEqual(['Timeout']);
  expect((error as Error).message).toContain('pending outside the world, in real time: Timeout');
});

it('a DeadlockError does not name a timer that was pending before the world was made', async () => {
  const cancel = new AbortController();
  const before = sleepReally(60_000, undefined, { signal: cancel.signal }).catch(() => undefined);
  const error: unknown = await simulate({}, () => new Promise(() => undefined)).catch((reason: unknown) => reason);
  cancel.abort();
  await before;
  expect((error as DeadlockError).pending).toEqual([]);
});

it('the errors of simulated runs have the names of their classes', () => {
  expect(new DeadlockError(0, []).name).toBe('DeadlockError');
  expect(new LivelockError(0, 1).name).toBe('LivelockError');
  expect(new LeakError([]).name).toBe('LeakError');
});

it('a sleep takes virtual time in a simulated world', async () => {
  const { endedAtMs } = await simulate({}, (world) =>
    world
      .machine('here')
      .reactor.sleep(86_400_000)
      .then(() => undefined),
  );
  expect(endedAtMs).toBe(86_400_000);
});

it('a sleep rejects with AbortError and frees its deadline when its signal is aborted', async () => {
  const world = new World();
  const { reactor } = world.machine('here');
  const cancel = new AbortController();
  const sleeping = reactor.sleep(1_000, { signal: cancel.signal });
  expect(reactor.operations()).toMatchObject([{ name: 'sleep' }]);
  cancel.abort('enough');
  const error: unknown = await world.run(
    sleeping.then(
      () => undefined,
      (reason: unknown) => reason,
    ),
  );
  expect(error).toBeInstanceOf(AbortError);
  expect(error).toMatchObject({ message: 'sleep was cancelled', cause: 'enough', operation: 'sleep' });
  expect(reactor.loop.deadlines.size).toBe(0);
  expect(world.now()).toBe(0);
  expect(() => reactor.sleep(Number.NaN)).toThrow(RangeError);
  await world.run(reactor.close());
});
