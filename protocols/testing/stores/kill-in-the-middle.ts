/** A program that is killed while it writes. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { compiledOf } from '../../../reactor/testing/compiled.ts';

/**
 * Runs a TypeScript program that says "writing" once it writes and goes on for ever, and kills it with SIGKILL at some
 * moment after that.
 * @param args what the program is told.
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
  // Some turns later it is somewhere else in its work each time.
  for (let turns = Math.floor(Math.random() * 50); turns > 0; turns--)
    await new Promise((resolve) => setImmediate(resolve));
  child.kill('SIGKILL');
  await exited;
}
