/** Protection against exceptions of users' code that wantio calls, such as event listeners. */

/** Runs `task`. If it throws, the error is thrown again from a microtask, so that the caller continues undisturbed. */
export function guarded(task: () => void): void {
  try {
    task();
  } catch (error) {
    surface(error);
  }
}

/** Throws `error` from a microtask. For hot code, where the closure for {@link guarded} would cost too much. */
export function surface(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
