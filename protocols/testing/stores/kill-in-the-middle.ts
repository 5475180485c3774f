/** Kills a program while it writes. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { compiledOf } from '../../../reactor/testing/compiled.ts';

/**
 * Runs a TypeScript program that prints "writing" and then never ends. Kills it with SIGKILL at a random moment after
 * that.
 * @param args the arguments of the program.
 */
export async function killInTheMiddle(program: string, ...args: string[]): Promise<void> {
  const child = spawn(process.execPath, [compiledOf(program), ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  await Promise.race([
    once(child.stdout, 'data'),
    exited.then(() => {
      throw new Error('the program ended before it wrote');
    }),
  ]);
  // A random number of turns, so that each kill hits another point of the program's work.
  for (let turns = Math.floor(Math.random() * 50); turns > 0; turns--)
    await new Promise((resolve) => setImmediate(resolve));
  child.kill('SIGKILL');
  await exited;
}
