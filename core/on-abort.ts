/** One listener on an `AbortSignal`, shared by any number of tasks. */

/**
 * Calls `task` once when `signal` is aborted. All tasks of one signal share one listener, because Node warns of a leak
 * at eleven listeners.
 * @param signal not aborted yet.
 * @returns a function that removes the task.
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
        // As an EventTarget does: an error in one listener does not keep the others from being called.
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

/** The tasks that wait for one signal. */
interface Wait {
  readonly tasks: Set<() => void>;
  readonly abort: () => void;
}

const waits = new WeakMap<AbortSignal, Wait>();
