/** Two processes that take the same sessions at the same time. */

import { fileURLToPath } from 'node:url';

import { compiledOf } from '../../../reactor/testing/compiled.ts';
import { Program } from '../tls/program.ts';
import type { TakingSessionStore } from '../../stores/store.ts';
import { bytes } from './check-store.ts';

const program = fileURLToPath(new URL('taker.ts', import.meta.url));

/**
 * Sets 200 sessions, and lets two processes take each of them at the same time.
 * @param store keeps its sessions in `directory`, as the processes do.
 * @returns how many sessions went to neither process, to one, and to both; and how many values came back changed.
 */
export async function raceOfTakers(
  kind: 'files' | 'lmdb',
  directory: string,
  store: TakingSessionStore,
): Promise<{ readonly toNobody: number; readonly toOne: number; readonly toBoth: number; readonly wrong: number }> {
  const keys = Array.from({ length: SESSIONS }, (_, index) => `key-${String(index)}`);
  await Promise.all(keys.map(async (key, index) => store.set(key, bytes(300, index), 600_000)));
  const takers = Array.from({ length: 2 }, () => new Program(process.execPath, compiledOf(program), kind, directory));
  await Promise.all(takers.map((taker) => taker.says(/ready/)));
  const given = [0, 0, 0];
  let wrong = 0;
  for (let first = 0; first < SESSIONS; first += AT_ONCE) {
    // Both processes start each batch together, so that neither can take all of it before the other starts.
    for (const taker of takers) taker.write(`${JSON.stringify(keys.slice(first, first + AT_ONCE))}\n`);
    const answers = await Promise.all(
      takers.map(async (taker) => JSON.parse((await taker.saysNext(/\[.*\]\n/))[0]) as (string | null)[]),
    );
    for (let index = 0; index < AT_ONCE; index++) {
      const values = answers.map((answer) => answer[index]).filter((value) => value !== null);
      given[values.length]++;
      wrong += values.filter((value) => value !== Buffer.from(bytes(300, first + index)).toString('base64')).length;
    }
  }
  for (const taker of takers) taker.end();
  await Promise.all(takers.map((taker) => taker.exit()));
  const [toNobody, toOne, toBoth] = given;
  return { toNobody, toOne, toBoth, wrong };
}

const SESSIONS = 200;
const AT_ONCE = 10;
