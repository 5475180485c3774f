/** How long a process has run on a processor. */
import { readdirSync, readFileSync } from 'node:fs';

/**
 * Read from outside: a server that is busy moving bytes may answer questions late, and with that the figures would be
 * of another span of time than the load's.
 * @returns seconds, of all threads, user and system; exact to the nanosecond where `/proc/PID/stat` counts hundredths.
 */
export function processorSeconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  return (
    threads.reduce(
      (sum, thread) => sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
      0,
    ) / 1e9
  );
}
