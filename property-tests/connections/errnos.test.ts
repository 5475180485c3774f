// Law: whatever errno a system call returns, once or for ever, every operation settles with a result or a WantioError.
// The reactor does not repeat a failing call without end in one turn. When the calls succeed again, the listener serves
// again.

import { constants } from 'node:os';

import { describe, expect, it } from 'vitest';

import { SystemError, WantioError } from '../../core/errors.ts';
import { passOn, systemError } from '../../reactor/system-calls.ts';
import type { SystemCalls } from '../../reactor/system-calls.ts';
import { World } from '../../reactor/simulated/world.ts';
import type { Ground } from '../../reactor/ground.ts';

/** The calls that this test makes fail. */
const CALLS = [
  'socket',
  'bind',
  'listen',
  'connect',
  'accept',
  'recv',
  'send',
  'shutdown',
  'setOption',
  'pendingError',
  'register',
] as const;
type Call = (typeof CALLS)[number];

/** The failure: after `passed` calls that succeed, `times` calls fail with `errno`. */
interface Wrong {
  readonly call: Call;
  readonly errno: number;
  passed: number;
  times: number;
  /** Counts: all calls, the calls of this turn, and the most calls of any turn. */
  calls: number;
  inTurn: number;
  mostInTurn: number;
}

const { EINTR, ENOBUFS, ENOMEM } = constants.errno;

/** Every errno of Linux, each once. */
const ERRNOS = [...new Set(Object.values(constants.errno))].sort((one, other) => one - other);

function wrongGround(ground: Ground, wrong: Wrong): Ground {
  const meets = (call: Call): boolean => {
    if (call !== wrong.call) return false;
    wrong.calls++;
    wrong.mostInTurn = Math.max(wrong.mostInTurn, ++wrong.inTurn);
    // An endless loop would hang the test, so it ends here.
    if (wrong.inTurn > 1_000) throw new Error(`${call} was called ${String(wrong.inTurn)} times in one turn`);
    return wrong.passed-- <= 0 && wrong.times-- > 0;
  };
  const calls: SystemCalls = { ...passOn(ground.calls) };
  const failing = calls as unknown as Record<string, (...values: unknown[]) => unknown>;
  for (const call of CALLS) {
    if (call === 'register') continue;
    const make = failing[call];
    failing[call] = (...values) =>
      meets(call) ? (call === 'pendingError' ? wrong.errno : -wrong.errno) : make(...values);
  }
  const { selector } = ground;
  return {
    ...ground,
    calls,
    selector: {
      register: (handle) => {
        if (meets('register')) throw systemError(-wrong.errno, 'epoll_ctl');
        selector.register(handle);
      },
      deregister: (handle) => {
        selector.deregister(handle);
      },
      poll: (batch) => {
        wrong.inTurn = 0;
        selector.poll(batch);
      },
      onReady: (wake) => {
        selector.onReady(wake);
      },
      setRef: (ref) => {
        selector.setRef(ref);
      },
      close: () => {
        selector.close();
      },
    },
  };
}

const nameOf = (errno: number): string => systemError(-errno, 'x').code;

/**
 * Connects to a server that echoes a line, while `wrong` happens on one side.
 * @returns the outcome as a word or code.
 */
async function visit(wrong: Wrong, side: 'here' | 'there'): Promise<string> {
  const world = new World({ wrap: (ground, host) => (host.name === side ? wrongGround(ground, wrong) : ground) });
  const [here, there] = [world.machine('here'), world.machine('there')];
  const attempt = async (): Promise<string> => {
    try {
      const client = await here.reactor.connect({ host: 'there', port: 7, timeouts: { totalMs: 300 } });
      try {
        await client.send('hi\n', { timeouts: { totalMs: 300 } });
        return (await client.receive('*l', { timeouts: { totalMs: 300 } })) === 'hi' ? 'served' : 'wrong';
      } finally {
        client.abort();
      }
    } catch (error) {
      if (!(error instanceof WantioError)) throw error;
      return error instanceof SystemError ? error.code : error.name;
    }
  };
  return world.run(
    (async () => {
      let listening: string;
      try {
        const listener = await there.reactor.listen({ host: '0.0.0.0', port: 7 });
        listener.on('clientError', () => undefined);
        listener.serve({ timeouts: { totalMs: 300 } }, async (connection) => {
          await connection.send(`${await connection.receive()}\n`);
        });
        listening = 'listens';
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        listening = error.code;
      }
      const outcome = listening === 'listens' ? await attempt() : listening;
      // The system recovers.
      wrong.times = 0;
      await world.sleep(3_000);
      if (listening === 'listens' && wrong.call !== 'socket') expect(await attempt()).toBe('served');
      for (const { reactor } of world.machines) reactor.abort();
      await Promise.all(world.machines.map(({ reactor }) => reactor.close()));
      expect(world.machines.flatMap(({ host }) => (host.openDescriptors === 0 ? [] : [host.name]))).toEqual([]);
      return outcome;
    })(),
    60_000,
  );
}

describe.each(['here', 'there'] as const)('any errno on the machine "%s"', (side) => {
  it.each(CALLS)(
    'of %s hangs no operation and starts no endless loop',
    async (call) => {
      for (const errno of ERRNOS) {
        // These errors are temporary: the library retries the call in each turn. Here they last 200 calls, not for
        // ever.
        const passes =
          (errno === EINTR && (call === 'recv' || call === 'send')) ||
          (call === 'send' && (errno === ENOBUFS || errno === ENOMEM));
        // For `register`, the first call is for the listener and the second for its client.
        for (const [passed, times] of [
          [0, 1],
          [1, 1],
          [0, passes ? 200 : Infinity],
          [1, passes ? 200 : Infinity],
        ]) {
          const wrong: Wrong = { call, errno, passed, times, calls: 0, inTurn: 0, mostInTurn: 0 };
          const what = `${nameOf(errno)} of ${call} after ${String(passed)}, ${times === 1 ? 'once' : `${String(times)} times`}`;
          const outcome = await visit(wrong, side).catch((error: unknown) => {
            throw new Error(what, { cause: error });
          });
          expect(outcome, what).not.toBe('wrong');
          if (passes) expect(outcome, what).toBe('served');
          expect(wrong.mostInTurn, what).toBeLessThanOrEqual(CALLS_A_TURN);
        }
      }
    },
    120_000,
  );
});

// A listener accepts 64 connections in a turn, and may need one call more for its reserve descriptor.
const CALLS_A_TURN = 65;
