/** Waiting for a signal together with many others. */

/**
 * Calls `task` once when `signal` is aborted. However many wait for one signal, it has one listener: Node warns of a
 * leak at eleven.
 * @param signal not aborted yet.
 * @returns how to wait no more.
 */
export function onAbort(signal: AbortSignal, task: () => void): () => void {
  const waiting = waits.get(signal) ?? listenTo(signal);
  waiting.tasks.add(task);
  return () => {
    if (!waiting.tasks.delete(task) || waiting.tasks.size > 0) return;
    signal.removeEventListener('abort', waiting.abort);
    waits.delete(signal);
  };
}

function listenTo(signal: AbortSignal): Wait {
  const tasks = new Set<() => void>();
  const abort = (): void => {
    waits.delete(signal);
    for (const task of tasks) {
      tasks.delete(task);
      try {
        task();
      } catch (error) {
        // As an event target does it: the other listeners are told all the same.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  };
  const waiting = { tasks, abort };
  waits.set(signal, waiting);
  signal.addEventListener('abort', abort, { once: true });
  return waiting;
}

/** All who wait for one signal. */
interface Wait {
  readonly tasks: Set<() => void>;
  readonly abort: () => void;
}

const waits = new WeakMap<AbortSignal, Wait>();
