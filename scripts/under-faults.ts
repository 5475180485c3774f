/**
 * Runs before each test file of the project "under faults": every reactor over real sockets stands on system calls that
 * go wrong, in ways that a correct program does not notice. Which do is drawn for each test from the run's seed and the
 * test's name.
 */

import { afterAll, beforeEach, vi } from 'vitest';

import type { epollGround } from '../reactor/epoll/epoll-ground.ts';
import { drawnFaults } from '../reactor/faults/drawn-faults.ts';
import { PASS } from '../reactor/faults/fault.ts';
import { FaultInjector } from '../reactor/faults/fault-injector.ts';

declare module 'vitest' {
  interface TaskMeta {
    /** The faults that happened while the file ran, by kind. */
    faults?: Record<string, number>;
  }
}

/** Tests that make a call once and look at what comes of that very call: a fault may come of it. They run without. */
const ONE_CALL = new Set([
  'survives a shortage of descriptors: turns one client away, pauses, and goes on',
  'tries without waiting, and says what it wants',
  'is told once in a turn for as long as it lasts, and never inside of subscribe',
  'disarms a handler that spins, says so, and arms it again with the next try',
  'tells of the end, and stops telling once it was received',
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

// Of so many calls, drawn as they are, some go wrong.
const ENOUGH_CALLS = 100;
