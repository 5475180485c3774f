import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { harmlessFaults, link } from './arbitraries.ts';
import { checkLaw, tryLaw } from './law.ts';
import { pairIn } from './scenarios.ts';
import { simulate } from './simulate.ts';

/** A law that every plan with more than three bytes breaks, and the plans that were run. */
function wrongLaw(): { plans: number[]; check: () => Promise<void> } {
  const plans: number[] = [];
  return {
    plans,
    check: () =>
      tryLaw(
        fc.record({ length: fc.integer({ min: 1, max: 200 }), link: link(), faults: harmlessFaults() }),
        100,
        ({ length, link: carrying, faults }) => {
          plans.push(length);
          return simulate({ link: carrying, faults }, async (world) => {
            const { client, server } = await pairIn(world);
            await Promise.all([client.send(new Uint8Array(length)), server.receive(length)]);
            if (length > 3) throw new Error(`${String(length)} bytes are too many`);
          });
        },
      ),
  };
}

async function failureOf(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(Error);
  return error as Error;
}

describe('a law that is broken', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it("fails with the smallest plan, the trace of its run, and the command that replays it (the message's parts)", async () => {
    vi.stubEnv('WANTIO_TRACE_DIR', undefined);
    const { message, cause } = await failureOf(wrongLaw().check());
    expect(message).toMatch(
      /^Property failed after \d+ tests, shrunk \d+ times\n\{ seed: -?\d+, path: "[\d:]+", endOnFailure: true \}\nCounterexample: \[/,
    );
    expect(message).toContain('Counterexample: [{"length":4,');
    expect(message).toContain('\nError: 4 bytes are too many\n\ntrace:\n      0.0 ms  there    socket(IPv4) = 3\n');
    expect(message).toContain('send(3, 4 B) = 4\n');
    expect(message).toContain('\ndiagram (Mermaid):\nsequenceDiagram\n  participant there\n  participant here\n');
    expect(message).toMatch(/\n {2}Note over here: \S+ ms send 3 4 of 4 B\n/);
    const command =
      /\nreplay: WANTIO_SEED=-?\d+ WANTIO_PATH=[\d:]+ npx vitest run property-tests\/kit\/law\.test\.ts -t '(.*)'$/.exec(
        message,
      );
    const name =
      "a law that is broken fails with the smallest plan, the trace of its run, and the command that replays it (the message's parts)";
    expect(name).toMatch(new RegExp(String(command?.[1].replace("'\\''", "'"))));
    // The message shows the cause once, and its trace once.
    expect((cause as Error).message).toBe('4 bytes are too many');
    expect(message.split('bytes are too many')).toHaveLength(2);
  });

  it('runs only the smallest plan again when its seed and path are given', async () => {
    const { message } = await failureOf(wrongLaw().check());
    const [, seed, path] = /WANTIO_SEED=(-?\d+) WANTIO_PATH=([\d:]+)/.exec(message) ?? [];
    vi.stubEnv('WANTIO_PATH', path);
    const { seed: before } = fc.readConfigureGlobal();
    fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(seed) });
    const again = wrongLaw();
    const replayed = await failureOf(again.check());
    fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: before });
    expect(again.plans).toEqual([4]);
    expect(/Counterexample: .*/.exec(replayed.message)?.[0]).toBe(/Counterexample: .*/.exec(message)?.[0]);
  });

  it('writes the whole trace and the whole diagram into files in WANTIO_TRACE_DIR', async () => {
    const folder = join(mkdtempSync(join(tmpdir(), 'wantio-')), 'traces');
    vi.stubEnv('WANTIO_TRACE_DIR', folder);
    const { message } = await failureOf(wrongLaw().check());
    const [diagram, trace] = readdirSync(folder).sort();
    expect(message).toContain(`\nwhole trace: ${join(folder, trace)}\ndiagram (Mermaid): ${join(folder, diagram)}\n`);
    expect([diagram.endsWith('.mmd'), trace.endsWith('.txt')]).toEqual([true, true]);
    expect(readFileSync(join(folder, diagram), 'utf8')).toMatch(/^sequenceDiagram\n {2}participant there\n/);
    expect(readFileSync(join(folder, trace), 'utf8')).toContain('send(3, 4 B) = 4\n');
  });

  it('names the path of the commands in its replay command', async () => {
    class Fails implements fc.Command<object, object> {
      check = (): boolean => true;
      run = (): void => {
        throw new Error('never works');
      };
      toString = (): string => 'Fails';
    }
    const { message } = await failureOf(
      checkLaw(
        fc.property(fc.commands([fc.constant(new Fails())]), (commands) => {
          fc.modelRun(() => ({ model: {}, real: {} }), commands);
        }),
        50,
      ),
    );
    expect(message).toMatch(/\nreplay: WANTIO_SEED=-?\d+ WANTIO_PATH=[\d:]+ WANTIO_COMMANDS=\S+ npx vitest/);
  });
});

describe('a law that holds', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  /** @returns how many plans were tried. */
  async function plansOf(count: number): Promise<number> {
    let plans = 0;
    await checkLaw(
      fc.property(fc.nat(), () => {
        plans++;
      }),
      count,
    );
    return plans;
  }

  it('is tried on as many plans as it asks for, times WANTIO_LAW_FACTOR', async () => {
    for (const name of ['WANTIO_LAW_MS', 'WANTIO_LAW_UNTIL', 'WANTIO_LAW_FACTOR']) vi.stubEnv(name, undefined);
    expect(await plansOf(100)).toBe(100);
    vi.stubEnv('WANTIO_LAW_FACTOR', '2.5');
    expect(await plansOf(100)).toBe(250);
    vi.stubEnv('WANTIO_LAW_FACTOR', '0.1');
    expect(await plansOf(100)).toBe(10);
  });

  it('is tried on no fewer plans than it asks for, however short WANTIO_LAW_MS is', async () => {
    vi.stubEnv('WANTIO_LAW_FACTOR', '1000');
    vi.stubEnv('WANTIO_LAW_MS', '0.001');
    expect(await plansOf(100)).toBe(100);
  });

  it('fails when it needs faults and none happened', async () => {
    await expect(tryLaw(fc.constant({}), 5, (plan) => simulate(plan, () => Promise.resolve()))).rejects.toThrow(
      'not one fault happened: the law was not tried',
    );
  });
});
