/** The processor time of a process. */
import { readdirSync, readFileSync } from 'node:fs';

/**
 * Reads the time from outside of the process. A busy server might answer a request for it late, and the time would then
 * cover another span than the count of the load.
 * @returns seconds of all threads, user and system. They are exact to the nanosecond, while `/proc/PID/stat` counts
 * only hundredths of a second.
 */
export function processorSeconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.reduce((sum, thread) => sum + nanoseconds(`/proc/${pid}/task/${thread}/schedstat`), 0) / 1e9;
}

function nanoseconds(file: string): number {
  try {
    return Number(readFileSync(file, 'utf8').split(' ')[0]);
  } catch {
    // The thread ended after it was listed.
    return 0;
  }
}
