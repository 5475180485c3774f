/**
 * The setup file of the vitest project "under faults". Every reactor over real sockets gets system calls that fail in
 * ways that do not change the outcome of a correct program. The faults of each test are drawn from the seed of the run
 * and the name of the test.
 */

import { afterAll, beforeEach, vi } from 'vitest';

import type { epollGround } from '../reactor/epoll/epoll-ground.ts';
import { drawnFaults } from '../reactor/faults/drawn-faults.ts';
import { PASS } from '../reactor/faults/fault.ts';
import { FaultInjector } from '../reactor/faults/fault-injector.ts';

declare module 'vitest' {
  interface TaskMeta {
    /** The number of faults that happened while the file ran, by kind. */
    faults?: Record<string, number>;
  }
}

/** Tests that check the result of a single system call. A fault would change it, so these tests run without faults. */
const ONE_CALL = new Set([
  'survives a shortage of descriptors: drops one client, pauses, and continues',
  'has try methods that do not wait, and shows its want',
  'is emitted once in each turn while it lasts, and never inside subscribe',
  'is disarmed for a handler that spins, with a "spin" event, and armed again by the next try',
  'is emitted for the end until the end was received',
  'tries the handshake step by step, as LuaSec does',
  'counts decrypted bytes as readable',
  'returns END for each read after close_notify',
  // What does not speak TLS is named after the first bytes that came.
  'speaks plain HTTP',
  'a server that speaks plain HTTP',
  'when the server speaks plain HTTP',
  // openssl s_client takes the answer to STARTTLS with one read, whatever that brings.
  'starts TLS in the middle of a plain SMTP dialogue',
]);

const faults = drawnFaults(Number(process.env.WANTIO_SEED));
let exempt = false;
const injector = new FaultInjector((context) => (exempt ? PASS : faults.rule(context)));

vi.mock('../reactor/epoll/epoll-ground.ts', async (importOriginal) => {
  const original = await importOriginal<{ epollGround: typeof epollGround }>();
  return {
    ...original,
    epollGround: (...wrap: Parameters<typeof epollGround>) => injector.wrap(original.epollGround(...wrap)),
  };
});

beforeEach(({ task }) => {
  exempt = ONE_CALL.has(task.name);
  faults.restart(task.name);
});

afterAll(({}, file) => {
  file.meta.faults = Object.fromEntries(injector.happened);
  if (faults.calls > ENOUGH_CALLS && injector.total === 0)
    throw new Error(`not one fault happened in ${String(faults.calls)} system calls`);
});

// About one call in four fails, so among this many calls there must be a fault.
const ENOUGH_CALLS = 100;
